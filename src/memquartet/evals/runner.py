"""Running systems over samples: concurrent, resumable, nothing scored that was not answered.

A run is a folder: `run.json` (what is run: samples, systems with their settings, seed, config, a hash of the prompts, and
the versions and commands that ran it), `SYSTEM.jsonl` (a
transcript a sample, appended when its episode is over), `SYSTEM.questions.jsonl` (a line a question with its score)
and `results.json`. Starting the same run again goes on where it stopped: samples that are finished are not touched,
of the others only the questions without an answer are asked. With a `CachedModel` also the calls of samples that
were under way are not paid for again. Another run in the same folder is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from memquartet import __version__
from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Episode, Failure
from memquartet.errors import BudgetError, ConfigError, first_of_group
from memquartet.evals.files import disk, read_json, write_json
from memquartet.evals.memory_quality import check_truth
from memquartet.evals.on_policy import OnPolicy
from memquartet.evals.provenance import made_with, prompts_hash
from memquartet.evals.results import QUESTIONS_SUFFIX, SystemResult, write_questions
from memquartet.evals.scores import ScoreAnswer, by_metric, system_result
from memquartet.llm.budget import Budget
from memquartet.llm.cache import count_saved
from memquartet.rollout.episode import unanswered
from memquartet.rollout.transcripts import append_episode, read_episodes
from memquartet.systems.living import settings_of
from memquartet.systems.protocols import MemorySystem

T = TypeVar("T")
ReportProgress = Callable[[str, str], None]
"""Called with the system's name and "chunk", "dialogue" or "question" after each finished unit of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many samples are read, and how many questions answered, at the same time."""

    samples: int = 4
    questions: int = 32

    def __post_init__(self) -> None:
        if self.samples < 1 or self.questions < 1:
            raise ConfigError(f"at least one sample and one question at a time, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the systems of one `evaluate` share."""

    out: Path
    seed: int
    budget: Budget
    reading: asyncio.Semaphore
    asking: asyncio.Semaphore
    on_progress: ReportProgress


async def evaluate(
    samples: Sequence[Sample],
    systems: Sequence[MemorySystem],
    *,
    out: Path,
    seed: int = 0,
    config: Mapping[str, object],
    command: str = "",
    concurrency: Concurrency | None = None,
    budget: Budget | None = None,
    score_answer: ScoreAnswer = by_metric,
    on_policy: OnPolicy | None = None,
    on_progress: ReportProgress = lambda _system, _unit: None,
) -> list[SystemResult]:
    """Run every system over every sample and score the answers.

    Systems run one after another; a system's samples and their questions at the same time.

    Args:
        samples: what to read and to ask; their ids must differ, and the question ids within each.
        systems: what is compared; a folder may get more of them later.
        out: the run's folder; made if missing.
        seed: of every episode.
        config: what else makes this run this run (model, dataset, revision); compared when a run is resumed.
        command: how the run was started; written down with the versions, and not compared.
        concurrency: bounds for what runs at the same time.
        budget: what may be spent now; what is over it stays unanswered until a later run.
        score_answer: how an answer is scored; by the sample's metric unless a judge is needed.
        on_policy: lets each system talk before it is asked, where the samples want that.
        on_progress: told about every finished chunk, dialogue and question.

    Raises:
        ConfigError: ids that repeat, or the folder holds another run.
        InputError: what a sample says to be true is damaged.
        StoreError: the disk refused; what was finished is kept.
    """
    _check_ids(samples)
    check_truth(samples)
    concurrency = concurrency or Concurrency()
    config = {"seed": seed, "prompts_hash": prompts_hash(), **config}
    _claim(out, samples, systems, config, made_with(command))
    run = _Run(
        out=out,
        seed=seed,
        budget=budget or Budget(),
        reading=asyncio.Semaphore(concurrency.samples),
        asking=asyncio.Semaphore(concurrency.questions),
        on_progress=on_progress,
    )
    results = []
    for system in systems:
        lessons = await _lessons(system, samples, on_policy, run)
        episodes = await _run_system(system, [sample for sample, failure in lessons if not failure], run)
        episodes |= {
            sample.sample_id: _never_asked(system, sample, failure, seed)
            for sample, failure in lessons
            if failure and not _complete(episodes.get(sample.sample_id), sample)
        }
        read = [sample for sample, _ in lessons]
        result = await system_result(
            system.name, settings_of(system), read, episodes, score_answer, concurrency.questions
        )
        write_questions(out / f"{system.name}{QUESTIONS_SUFFIX}", result.questions)
        results.append(result)
        _write_results(out, result, config, samples)
    return results


def missing_samples(samples: Sequence[Sample], system: str, out: Path) -> list[Sample]:
    """The samples of a run that a system has not finished yet."""
    lived = _episodes(out / f"{system}.jsonl")
    return [sample for sample in samples if not _complete(lived.get(sample.sample_id), sample)]


async def _lessons(
    system: MemorySystem, samples: Sequence[Sample], on_policy: OnPolicy | None, run: _Run
) -> list[tuple[Sample, Failure | None]]:
    """What the system reads: the samples, with the dialogues that it holds where it talks first."""
    if on_policy is None:
        return [(sample, None) for sample in samples]
    return await on_policy.lessons(
        system,
        samples,
        out=run.out,
        seed=run.seed,
        on_dialogue=lambda: run.on_progress(system.name, "dialogue"),
    )


def _never_asked(system: MemorySystem, sample: Sample, failure: Failure, seed: int) -> Episode:
    return Episode(
        sample_id=sample.sample_id,
        system=system.name,
        steps=(),
        answers=tuple(unanswered(question, failure) for question in sample.questions),
        seed=seed,
    )


async def _run_system(system: MemorySystem, samples: Sequence[Sample], run: _Run) -> dict[str, Episode]:
    path = run.out / f"{system.name}.jsonl"
    lived = _episodes(path)

    async def one(sample: Sample) -> None:
        async with run.reading:
            episode = await _live(system, sample, lived.get(sample.sample_id), run)
            if episode is not None:
                lived[sample.sample_id] = episode
                with disk(path):
                    append_episode(path, episode)

    with first_of_group():
        async with asyncio.TaskGroup() as group:
            for sample in samples:
                if not _complete(lived.get(sample.sample_id), sample):
                    group.create_task(one(sample))
    return lived


async def _live(system: MemorySystem, sample: Sample, before: Episode | None, run: _Run) -> Episode | None:
    """Read a sample and ask what has no answer yet; None when the budget does not allow to begin."""
    try:
        run.budget.check()
    except BudgetError:
        return None
    given = {a.question_id: a for a in before.answers if a.text is not None} if before else {}
    session, seconds = await _timed(
        lambda: system.read(
            sample, seed=run.seed, on_progress=lambda unit: run.on_progress(system.name, unit)
        )
    )

    async def one(question: Question) -> Answer:
        if question.question_id in given:
            return given[question.question_id]
        if session.failure:
            return unanswered(question, session.failure)
        async with run.asking:
            try:
                run.budget.begin_question()
            except BudgetError as error:
                return unanswered(question, Failure(kind=type(error).__name__, message=str(error)))
            answer, spent = await _timed(lambda: session.answer(question))
        run.on_progress(system.name, "question")
        return replace(answer, seconds=spent)

    with first_of_group():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(question)) for question in sample.questions]
    return Episode(
        sample_id=sample.sample_id,
        system=system.name,
        steps=session.steps,
        answers=tuple(task.result() for task in tasks),
        seed=run.seed,
        config=settings_of(system),
        reading_seconds=seconds,
    )


async def _timed(work: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    """The result and its seconds, with those that a cache saved."""
    with count_saved() as saved:
        started = time.perf_counter()
        result = await work()
        return result, time.perf_counter() - started + saved.seconds


def _complete(episode: Episode | None, sample: Sample) -> bool:
    """Whether every question of the sample has an answer."""
    if episode is None:
        return False
    answered = {answer.question_id for answer in episode.answers if answer.text is not None}
    return all(question.question_id in answered for question in sample.questions)


def _episodes(path: Path) -> dict[str, Episode]:
    """The latest episode of each sample."""
    return {episode.sample_id: episode for episode in read_episodes(path)} if path.exists() else {}


def _check_ids(samples: Sequence[Sample]) -> None:
    if twice := _repeated([sample.sample_id for sample in samples]):
        raise ConfigError(f"sample ids must differ; these repeat: {', '.join(twice)}")
    for sample in samples:
        if twice := _repeated([question.question_id for question in sample.questions]):
            raise ConfigError(
                f"the question ids of sample {sample.sample_id!r} must differ; these repeat: {', '.join(twice)}"
            )


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)[:10]


def fingerprint(samples: Sequence[Sample]) -> str:
    """A hash (hex) of what the samples say and ask, by which two runs know that they are of the same data."""
    digest = hashlib.blake2b(digest_size=16)
    for sample in samples:
        parts = [sample.sample_id, sample.metric, *(chunk.text for chunk in sample.chunks)]
        for question in sample.questions:
            parts += [question.question_id, question.text, *question.answers]
        digest.update("\x1f".join(parts).encode("utf-8", "replace") + b"\x1e")
    return digest.hexdigest()


def _claim(
    out: Path,
    samples: Sequence[Sample],
    systems: Sequence[MemorySystem],
    config: Mapping[str, object],
    call: Mapping[str, str],
) -> None:
    """Write what this run is, or check that the folder holds the same one; new systems may join it.

    `calls` lists with what and how the run was started and gone on with, each way once.
    """
    path = out / "run.json"
    wanted: dict[str, object] = _plain(
        {
            "samples": [sample.sample_id for sample in samples],
            "fingerprint": fingerprint(samples),
            **config,
        }
    )
    settings: dict[str, object] = _plain({system.name: settings_of(system) for system in systems})
    found = read_json(path) if path.exists() else {**wanted, "systems": {}}
    known, calls = found.pop("systems", {}), found.pop("calls", [])
    known = known if isinstance(known, dict) else {}
    calls = calls if isinstance(calls, list) else []
    differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    differing += [
        f"settings of {name}" for name in settings if known.get(name, settings[name]) != settings[name]
    ]
    if differing:
        raise ConfigError(
            f"{out} holds a run with other settings ({', '.join(differing)}): choose another --out, or delete the folder"
        )
    calls = calls if call in calls else [*calls, dict(call)]
    write_json(path, {**wanted, "systems": {**known, **settings}, "calls": calls})


def _plain(value: Mapping[str, object]) -> dict[str, object]:
    """The value as it comes back from a JSON file."""
    plain: dict[str, object] = json.loads(json.dumps(value, default=str))
    return plain


def _write_results(
    out: Path, result: SystemResult, config: Mapping[str, object], samples: Sequence[Sample]
) -> None:
    """Put a system's results beside those that the folder has."""
    path = out / "results.json"
    earlier = read_json(path).get("results", []) if path.exists() else []
    others = (
        [one for one in earlier if isinstance(one, dict) and one.get("system") != result.system]
        if isinstance(earlier, list)
        else []
    )
    write_json(
        path,
        {
            "format": "memquartet.results/1",
            "memquartet": __version__,
            "config": _plain(config),
            "fingerprint": fingerprint(samples),
            "samples": len(samples),
            "questions": sum(len(sample.questions) for sample in samples),
            "results": [*others, result.as_json()],
        },
    )
