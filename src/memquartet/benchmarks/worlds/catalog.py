"""Generated worlds by name."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from memquartet.benchmarks.worlds.dialogue import DEFAULT_DIALOGUE, DialogueShape, dialogue_samples
from memquartet.benchmarks.worlds.dialogue_words import dialogue_words
from memquartet.benchmarks.worlds.stream import DEFAULT_STREAM, StreamShape, stream_samples
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, built_in, from_trex
from memquartet.core.samples import Sample

PREFIX = "world:"


class WorldKind(StrEnum):
    """What can be generated."""

    CONFLICT = "conflict"
    """Streams of facts that are restated, contradicted and withdrawn."""
    DIALOGUE = "dialogue"
    """Two people talk about themselves and others."""


def make_worlds(
    kind: WorldKind,
    seed: int,
    count: int,
    split: WorldSplit = WorldSplit.TRAIN,
    *,
    data: Path | None = None,
    stream: StreamShape = DEFAULT_STREAM,
    dialogue: DialogueShape = DEFAULT_DIALOGUE,
    first: int = 0,
) -> Iterator[Sample]:
    """Generate samples of known truth; equal arguments give equal samples.

    Args:
        kind: what happens in them.
        seed: samples of different seeds have nothing to do with each other.
        count: how many; there is no limit.
        split: training and validation share no name, wording or relation.
        data: a folder with T-REx triples for real names in fact streams; without it names are invented.
        stream: size and contents of fact streams.
        dialogue: size and contents of dialogues.
        first: number of the first sample; sample n of a seed is the same in every call.

    Raises:
        InputError: the data folder cannot be read.
    """
    match kind:
        case WorldKind.CONFLICT:
            words = built_in(split) if data is None else from_trex(data, split)
            return stream_samples(count, seed=seed, words=words, shape=stream, first=first)
        case WorldKind.DIALOGUE:
            return dialogue_samples(
                count, seed=seed, words=dialogue_words(split), shape=dialogue, first=first
            )
