"""Generated worlds by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import assert_never
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from memquartet.benchmarks.worlds.cards import cards
from memquartet.benchmarks.worlds.chinese import (
    DEFAULT_CHINESE,
    ChineseShape,
    chinese_samples,
    chinese_words,
)
from memquartet.benchmarks.worlds.classification import (
    DEFAULT_CLASSIFICATION,
    ClassificationShape,
    classification_samples,
    classification_words,
)
from memquartet.benchmarks.worlds.dialogue import DEFAULT_DIALOGUE, DialogueShape, dialogue_samples
from memquartet.benchmarks.worlds.dialogue_words import dialogue_words
from memquartet.benchmarks.worlds.documents import (
    DEFAULT_DOCUMENTS,
    DocumentShape,
    document_samples,
    document_words,
)
from memquartet.benchmarks.worlds.fresh import FreshWords
from memquartet.benchmarks.worlds.scenes import DEFAULT_SCENE, SceneShape, scene_samples
from memquartet.benchmarks.worlds.stream import DEFAULT_STREAM, StreamShape, stream_samples
from memquartet.benchmarks.worlds.talk import DEFAULT_TALK, TalkShape, talk_samples
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, built_in, from_trex
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError

PREFIX = "world:"


class WorldKind(StrEnum):
    """What can be generated."""

    CONFLICT = "conflict"
    """Streams of facts that are restated, contradicted and withdrawn."""
    DIALOGUE = "dialogue"
    """Two people talk about themselves and others, a short line a fact."""
    FRIENDS = "friends"
    """Two friends chat for weeks, in long turns about many things."""
    ASSISTANT = "assistant"
    """A user asks an assistant for advice and mentions this and that."""
    SCENES = "scenes"
    """Two people talk as people do; each scene was written whole."""
    CLASSIFICATION = "classification"
    """Labelled examples, then new texts to label."""
    DOCUMENTS = "documents"
    """Passages about people, firms and places, then questions about what they say."""
    CHINESE = "chinese"
    """Lists of facts and dialogues in Chinese."""


FRESHENED = (WorldKind.DIALOGUE, WorldKind.FRIENDS, WorldKind.ASSISTANT, WorldKind.DOCUMENTS)
"""Kinds whose names and values can be exchanged for fresh ones."""
SIZED = (WorldKind.CONFLICT, WorldKind.DIALOGUE, WorldKind.FRIENDS, WorldKind.ASSISTANT)
"""Kinds that can be told at greater length."""
MAX_SIZE = 50
"""More would say little that is new: the words of a split are used up before."""


def make_worlds(
    kind: WorldKind,
    seed: int,
    count: int,
    split: WorldSplit = WorldSplit.TRAIN,
    *,
    data: Path | None = None,
    stream: StreamShape = DEFAULT_STREAM,
    dialogue: DialogueShape = DEFAULT_DIALOGUE,
    talk: TalkShape = DEFAULT_TALK,
    scene: SceneShape = DEFAULT_SCENE,
    classification: ClassificationShape = DEFAULT_CLASSIFICATION,
    documents: DocumentShape = DEFAULT_DOCUMENTS,
    chinese: ChineseShape = DEFAULT_CHINESE,
    fresh: float = 0.0,
    size: int = 1,
    first: int = 0,
) -> Iterator[Sample]:
    """Generate samples of known truth; equal arguments give equal samples.

    Args:
        kind: what happens in them.
        seed: samples of different seeds have nothing to do with each other.
        count: how many; there is no limit.
        split: training and validation share no name, wording or relation; of scenes, no scene and no person's name.
        data: a folder with T-REx triples for real names in fact streams; without it names are invented.
        stream: size and contents of fact streams.
        dialogue: size and contents of dialogues.
        talk: size and contents of the talks of friends, and of a user with an assistant.
        scene: how scenes are cut.
        classification: how many labels and examples there are to learn.
        documents: how many passages there are to read, and what happens in them.
        chinese: size and contents of Chinese samples.
        fresh: share of the names and values, from 0 to 1, that each sample of the kinds `FRESHENED` has anew (see
            `worlds.fresh`); others have none.
        size: how many times as much is said, and as far as the words allow asked, in each sample of the kinds `SIZED`.
        first: number of the first sample; sample n of a seed is the same in every call.

    Raises:
        InputError: the data folder cannot be read.
    """
    stream = replace(stream, facts=stream.facts * size, questions=stream.questions * size)
    dialogue = replace(dialogue, sessions=dialogue.sessions * size, questions=dialogue.questions * size)
    talk = replace(talk, chunks=talk.chunks * size, questions=talk.questions * size)

    def samples(start: int, n: int, other: FreshWords | None) -> Iterator[Sample]:
        match kind:
            case WorldKind.CONFLICT:
                names = built_in(split) if data is None else from_trex(data, split)
                made = stream_samples(n, seed=seed, words=names, shape=stream, first=start)
            case WorldKind.DIALOGUE:
                said = dialogue_words(split)
                said = other.dialogue(said) if other else said
                made = dialogue_samples(n, seed=seed, words=said, shape=dialogue, first=start)
            case WorldKind.FRIENDS | WorldKind.ASSISTANT:
                topics = other.cards(cards(split)) if other else cards(split)
                assistant = kind is WorldKind.ASSISTANT
                made = talk_samples(n, seed=seed, words=topics, assistant=assistant, shape=talk, first=start)
            case WorldKind.SCENES:
                made = scene_samples(n, seed=seed, split=split, shape=scene, first=start)
            case WorldKind.CLASSIFICATION:
                learned = classification_words(split)
                made = classification_samples(n, seed=seed, words=learned, shape=classification, first=start)
            case WorldKind.DOCUMENTS:
                written = document_words(split)
                written = other.documents(written) if other else written
                made = document_samples(n, seed=seed, words=written, shape=documents, first=start)
            case WorldKind.CHINESE:
                made = chinese_samples(n, seed=seed, words=chinese_words(split), shape=chinese, first=start)
            case _:
                assert_never(kind)
        return made

    if not fresh or kind not in FRESHENED:
        return samples(first, count, None)
    return (
        sample
        for number in range(first, first + count)
        for sample in samples(number, 1, FreshWords(split, fresh, Random(f"fresh/{kind}/{seed}/{number}")))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWorld:
    """What a world's name asks for: a kind, and what may stand behind the question mark."""

    kind: WorldKind
    seed: int = 0
    n: int = 10
    split: WorldSplit = WorldSplit.VALIDATION
    first: int = 0
    data: Path | None = None
    fresh: float = 0.0
    size: int = 1


def is_world_name(name: str) -> bool:
    """Whether a data set's name asks for a generated world."""
    return name.startswith(PREFIX)


def named_world(name: str) -> list[Sample]:
    """The samples of a name such as `world:conflict?seed=1&n=4`.

    Raises:
        ConfigError: no such world, or a parameter that is unknown or has a wrong value.
        InputError: the data folder cannot be read.
    """
    wish = read_world_name(name)
    return list(
        make_worlds(
            wish.kind,
            wish.seed,
            wish.n,
            wish.split,
            data=wish.data,
            fresh=wish.fresh,
            size=wish.size,
            first=wish.first,
        )
    )


def read_world_name(name: str) -> NamedWorld:
    """What a name such as `world:conflict?seed=1&n=4` asks for.

    Behind the question mark may stand `seed` (0), `n` (10), `split` (validation), `first` (0), `data`, a folder
    with T-REx triples, `fresh` (0), the share of names and values that each sample has anew, and `size` (1), how many
    times as much is said and asked in each.

    Raises:
        ConfigError: no such world, or a parameter that is unknown or has a wrong value.
    """
    kind, _, query = name.removeprefix(PREFIX).partition("?")
    if kind not in list(WorldKind):
        raise ConfigError(f"no world {kind!r}: use one of {', '.join(PREFIX + one for one in WorldKind)}")
    given = dict(parse_qsl(query, keep_blank_values=True))
    known = [one.name for one in fields(NamedWorld) if one.name != "kind"]
    if unknown := sorted(given.keys() - set(known)):
        raise ConfigError(f"{name!r}: unknown parameter {unknown[0]!r}, expected some of {', '.join(known)}")
    try:
        wish = TypeAdapter(NamedWorld).validate_python({**given, "kind": kind})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ConfigError(f"{name!r}, {place}: {fault['msg']}, given {fault['input']!r}") from error
    if wish.n < 1 or wish.first < 0:
        raise ConfigError(
            f"{name!r}: n must be at least 1 and first at least 0, given {wish.n} and {wish.first}"
        )
    if not 0 <= wish.fresh <= 1:
        raise ConfigError(f"{name!r}: fresh must be a share from 0 to 1, given {wish.fresh}")
    if wish.fresh and wish.kind not in FRESHENED:
        raise ConfigError(f"{name!r}: fresh is for {', '.join(FRESHENED)}")
    if not 1 <= wish.size <= MAX_SIZE:
        raise ConfigError(f"{name!r}: size must be from 1 to {MAX_SIZE}, given {wish.size}")
    if wish.size > 1 and wish.kind not in SIZED:
        raise ConfigError(f"{name!r}: size is for {', '.join(SIZED)}")
    return wish
