"""Many demonstrations in one file: the oracle lives through generated worlds on every core.

The file is parquet in the form that verl's supervised trainer reads too: a column `messages` (role and content, the
last one is what should be said) and a column `role` (which of the four agents says it).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import cast

from memquartet.benchmarks.worlds.catalog import NamedWorld, make_worlds
from memquartet.benchmarks.worlds.dialogue import DEFAULT_DIALOGUE
from memquartet.benchmarks.worlds.observed import observed_samples
from memquartet.benchmarks.worlds.scenes import DEFAULT_SCENE
from memquartet.benchmarks.worlds.sentences import sentence_samples
from memquartet.benchmarks.worlds.stream import DEFAULT_STREAM
from memquartet.benchmarks.worlds.talk import DEFAULT_TALK
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.systems.oracle import UNKNOWN
from memquartet.training.dataset import parquet_writer
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.settings import TrainingSettings

SHARD = 50
"""Samples that a process makes at once."""
CHUNK_LINES = (3, 12)
"""Least and most lines of a chunk."""
CHARACTERS_A_LINE = 100
"""Of a talk's chunk."""
FACT_TOP_K = (3, 5)
ANSWER_TOP_K = (4, 10)
SLIP_SHARES = (0.0, 0.0, 0.15, 0.4)
"""Shares of a sample's updates after which the old memory stays too; see `demonstrate`."""
LAPSE_SHARES = (0.0, 0.0, 0.3, 0.6)
"""Shares of a sample's facts that only its lines say; without lines there are none."""

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in total)."""


def make_demonstrations(
    worlds: Sequence[NamedWorld],
    settings: TrainingSettings,
    *,
    varied: bool = True,
    processes: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[Demonstration]:
    """Live through worlds with the oracle team; equal arguments give equal demonstrations in equal order.

    Args:
        worlds: how many samples of which kinds.
        settings: those of the training to come: its prompts, retrieval and budgets.
        varied: whether each sample draws its own chunk length, numbers of retrieved memories and share of slips, so
            that what is taught does not hang on one setting.
        processes: by default one a core.
        progress: called as samples are done.
    """
    shards = list(_shards(worlds))
    total = sum(world.n for world in shards)
    made: dict[int, list[Demonstration]] = {}
    workers = min(processes or os.cpu_count() or 1, len(shards))
    # Not forked: the caller may run threads, of torch or of a progress bar.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(_live, shard, settings, varied=varied): number for number, shard in enumerate(shards)
        }
        done = 0
        for ended in as_completed(waiting):
            made[waiting[ended]] = ended.result()
            done += shards[waiting[ended]].n
            progress(done, total)
    # Equal prompts of different samples, a greeting without facts say, teach nothing twice.
    return list(dict.fromkeys(shown for number in range(len(shards)) for shown in made[number]))


def observed_demonstrations(
    path: Path,
    conversation: str,
    count: int,
    settings: TrainingSettings,
    *,
    varied: bool = True,
    seed: int = 0,
) -> list[Demonstration]:
    """Extractions and answers in a real conversation whose observations are known; see `worlds.observed`.

    Decisions are left out: nobody wrote down which observations say the same.

    Args:
        path: a file in LoCoMo's form.
        conversation: its id, such as "conv-26".
        count: in how many ways it is cut into chunks.
        settings: those of the training to come.
        varied: whether each sample draws its own numbers of retrieved memories and of searches.
        seed: of the cuts and of the numbers of retrieved memories.

    Raises:
        InputError: see `observed_samples`.
    """
    samples = observed_samples(path, conversation, count, seed=seed)
    return _read_and_answered(samples, settings, f"observed/{seed}", varied=varied)


def asked_demonstrations(
    paths: Sequence[Path],
    ways: int,
    settings: TrainingSettings,
    *,
    varied: bool = True,
    seed: int = 0,
) -> list[Demonstration]:
    """Extractions and answers of sentences that people asked about; see `worlds.sentences`.

    Args:
        paths: files in QAMR's readable form.
        ways: in how many samples each sentence stands.
        settings: those of the training to come.
        varied: whether each sample draws its own numbers of retrieved memories and of searches.
        seed: of the mixing and of the numbers of retrieved memories.

    Raises:
        InputError: see `read_sentences`.
    """
    samples = sentence_samples(paths, ways, seed=seed)
    return _read_and_answered(samples, settings, f"sentences/{seed}", varied=varied)


def _read_and_answered(
    samples: Iterable[Sample], settings: TrainingSettings, name: str, *, varied: bool
) -> list[Demonstration]:
    """Without decisions and summaries, which real text does not say."""
    made: list[Demonstration] = []
    for number, sample in enumerate(samples):
        draw = Random(f"demonstrations/{name}/{number}")
        drawn = drawn_settings(settings, draw) if varied else settings
        lapses = drawn_faults(drawn, draw)["lapses"] if varied else 0.0
        shown = asyncio.run(demonstrate(sample, drawn, lapses=lapses, random=draw))
        made += [one for one in shown if one.role in (Role.EXTRACTOR, Role.ANSWERER)]
    return list(dict.fromkeys(made))


def with_few_abstentions(demonstrations: Sequence[Demonstration], share: float) -> list[Demonstration]:
    """The demonstrations in their order, without the last of the answers that there is no information.

    A small model that sees such answers often gives them where the memories do hold what is asked for.

    Args:
        demonstrations: of all roles.
        share: most, in [0, 1], that such answers may be of all answers that are left.
    """
    answers = [one for one in demonstrations if one.role is Role.ANSWERER]
    unknown = sum(one.output == UNKNOWN for one in answers)
    # With k of them left, k / (k + the others) is at most the share.
    most = unknown if share >= 1 else int((len(answers) - unknown) * share / (1 - share) + 1e-9)
    kept: list[Demonstration] = []
    for one in demonstrations:
        if one.role is Role.ANSWERER and one.output == UNKNOWN:
            most -= 1
            if most < 0:
                continue
        kept.append(one)
    return kept


def write_demonstrations(demonstrations: Sequence[Demonstration], path: Path) -> None:
    """Write a parquet file.

    Raises:
        InputError: there are none.
        MissingExtraError: pyarrow is not installed.
    """
    if not demonstrations:
        raise InputError(f"no demonstrations for {str(path)!r}")
    arrow = parquet_writer()
    rows = [{"role": shown.role.value, "messages": _as_chat(shown)} for shown in demonstrations]
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), path, compression="zstd")


def read_demonstrations(path: Path) -> list[Demonstration]:
    """The demonstrations of a file.

    Raises:
        InputError: the file holds something else.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = parquet_writer()
    try:
        rows = arrow.parquet.read_table(path, columns=["role", "messages"]).to_pylist()
        return [_from_row(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{str(path)!r} holds no demonstrations ({error}); `memquartet data demonstrations` makes them"
        ) from error


def digest(demonstrations: Sequence[Demonstration]) -> str:
    """BLAKE2b (hex) of prompts and outputs in order."""
    hashed = hashlib.blake2b(digest_size=16)
    for shown in demonstrations:
        for message in shown.messages:
            hashed.update(f"{message.speaker.value}\x1f{message.content}\x1e".encode("utf-8", "replace"))
        hashed.update(f"{shown.role.value}\x1f{shown.output}\x1d".encode("utf-8", "replace"))
    return hashed.hexdigest()


def _shards(worlds: Sequence[NamedWorld]) -> Iterator[NamedWorld]:
    for world in worlds:
        for start in range(0, world.n, SHARD):
            yield replace(world, first=world.first + start, n=min(SHARD, world.n - start))


def _live(world: NamedWorld, settings: TrainingSettings, *, varied: bool) -> list[Demonstration]:
    return asyncio.run(_live_through(world, settings, varied=varied))


async def _live_through(
    world: NamedWorld, settings: TrainingSettings, *, varied: bool
) -> list[Demonstration]:
    made: list[Demonstration] = []
    for number in range(world.first, world.first + world.n):
        draw = Random(f"demonstrations/{world.kind}/{world.seed}/{number}") if varied else None
        lines = draw.randint(*CHUNK_LINES) if draw else DEFAULT_STREAM.chunk_lines
        (sample,) = make_worlds(
            world.kind,
            world.seed,
            1,
            world.split,
            data=world.data,
            stream=replace(DEFAULT_STREAM, chunk_lines=lines),
            dialogue=replace(DEFAULT_DIALOGUE, lines=lines) if draw else DEFAULT_DIALOGUE,
            talk=replace(DEFAULT_TALK, characters=CHARACTERS_A_LINE * lines) if draw else DEFAULT_TALK,
            scene=replace(DEFAULT_SCENE, lines=lines) if draw else DEFAULT_SCENE,
            fresh=world.fresh,
            size=world.size,
            first=number,
        )
        if draw:
            drawn = drawn_settings(settings, draw)
            made += await demonstrate(sample, drawn, **drawn_faults(drawn, draw), random=draw)
        else:
            made += await demonstrate(sample, settings)
    return made


def drawn_settings(settings: TrainingSettings, draw: Random) -> TrainingSettings:
    """The settings with numbers of retrieved memories, and of searches and lines up to theirs, as they may be in use."""
    return settings.model_copy(
        update={
            "fact_top_k": draw.choice(FACT_TOP_K),
            "answer_top_k": draw.randint(*ANSWER_TOP_K),
            "max_searches": draw.randint(0, settings.max_searches),
            # The most is what is used in the end, so it is drawn most often.
            "line_top_k": draw.choice((0, draw.randint(0, settings.line_top_k), *[settings.line_top_k] * 2)),
        }
    )


def drawn_faults(settings: TrainingSettings, draw: Random) -> Mapping[str, float]:
    """How often the demonstrating team slips and overlooks; see `demonstrate`."""
    lapses = draw.choice(LAPSE_SHARES)
    return {"slips": draw.choice(SLIP_SHARES), "lapses": lapses if settings.line_top_k else 0.0}


def _as_chat(shown: Demonstration) -> list[dict[str, str]]:
    chat = [{"role": m.speaker.value, "content": m.content} for m in shown.messages]
    return [*chat, {"role": Speaker.ASSISTANT.value, "content": shown.output}]


def _from_row(row: dict[str, object]) -> Demonstration:
    *prompt, said = [
        Message(speaker=Speaker(one["role"]), content=one["content"])
        for one in cast("list[dict[str, str]]", row["messages"])
    ]
    return Demonstration(role=Role(str(row["role"])), messages=tuple(prompt), output=said.content)
