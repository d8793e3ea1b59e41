"""Running systems over samples: concurrent, resumable, nothing scored that was not answered.

A run is a folder: `run.json` (what is run: samples, systems, seed, settings), `SYSTEM.jsonl` (one transcript a
sample, appended when its episode is done) and `results.json` (scores, written at the end). Starting the same
run again goes on with the samples that are missing or that the world failed; a different run in the same
folder is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Episode
from memquartet.errors import ConfigError
from memquartet.evals.files import write_json
from memquartet.rollout.transcripts import append_episode, read_episodes
from memquartet.scoring.registry import score
from memquartet.scoring.summary import Summary, summarize
from memquartet.systems.protocols import MemorySystem

OVERALL = "overall"
ReportProgress = Callable[[str, str], None]
"""Called with the system's name and "chunk" or "question" after each finished unit of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemResult:
    """One system's scores by category; `OVERALL` is the mean over all questions. In [0, 1], higher is better."""

    system: str
    scores: Mapping[str, Summary]


async def evaluate(
    samples: Sequence[Sample],
    systems: Sequence[MemorySystem],
    *,
    out: Path,
    seed: int = 0,
    config: Mapping[str, object],
    on_progress: ReportProgress = lambda _system, _unit: None,
) -> list[SystemResult]:
    """Run every system over every sample and score the answers.

    Systems run one after another, a system's samples at the same time.

    Args:
        samples: what to read and to ask; ids must differ.
        systems: what is compared.
        out: the run's folder; made if missing.
        seed: of every episode.
        config: what else makes this run this run (model, dataset); compared when a run is resumed.
        on_progress: told about every finished chunk and question.

    Raises:
        ConfigError: the folder holds another run.
    """
    names = [sample.sample_id for sample in samples]
    if len(set(names)) != len(names):
        raise ConfigError(
            "sample ids must differ; these repeat: "
            + ", ".join(sorted({n for n in names if names.count(n) > 1}))
        )
    _claim(out, {"samples": names, "seed": seed, **config})
    results = []
    for system in systems:
        episodes = await _run_system(system, samples, out, seed, on_progress)
        results.append(SystemResult(system=system.name, scores=_scores(samples, episodes)))
    write_json(
        out / "results.json", {"config": dict(config), "results": [_as_json(result) for result in results]}
    )
    return results


def missing_samples(samples: Sequence[Sample], system: str, out: Path) -> list[Sample]:
    """The samples of a run that a system has not finished yet."""
    done = _finished(out / f"{system}.jsonl")
    return [sample for sample in samples if sample.sample_id not in done]


async def _run_system(
    system: MemorySystem, samples: Sequence[Sample], out: Path, seed: int, on_progress: ReportProgress
) -> dict[str, Episode]:
    path = out / f"{system.name}.jsonl"

    async def one(sample: Sample) -> None:
        episode = await system.run(sample, seed=seed, on_progress=lambda unit: on_progress(system.name, unit))
        append_episode(path, episode)

    async with asyncio.TaskGroup() as group:
        for sample in missing_samples(samples, system.name, out):
            group.create_task(one(sample))
    return {episode.sample_id: episode for episode in _episodes(path)}


def _finished(path: Path) -> set[str]:
    latest = {episode.sample_id: episode for episode in _episodes(path)}
    return {name for name, episode in latest.items() if all(a.text is not None for a in episode.answers)}


def _episodes(path: Path) -> list[Episode]:
    return list(read_episodes(path)) if path.exists() else []


def _scores(samples: Sequence[Sample], episodes: Mapping[str, Episode]) -> dict[str, Summary]:
    """Summaries by category and overall; a question without an answer counts as unscored."""
    values: dict[str, list[float | None]] = {OVERALL: []}
    for sample in samples:
        answers = {answer.question_id: answer.text for answer in episodes[sample.sample_id].answers}
        for question in sample.questions:
            value = score(sample.metric, answers.get(question.question_id), question)
            values[OVERALL].append(value)
            values.setdefault(_category(question), []).append(value)
    return {name: summarize(found) for name, found in values.items()}


def _category(question: Question) -> str:
    return question.category or "uncategorized"


def _claim(out: Path, run: Mapping[str, object]) -> None:
    """Write what this run is, or check that the folder holds the same one."""
    path = out / "run.json"
    wanted = json.loads(json.dumps(run, default=str))
    if not path.exists():
        write_json(path, wanted)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != wanted:
        differing = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        raise ConfigError(
            f"{out} holds a run with other settings ({', '.join(differing)}): choose another --out, or delete the folder"
        )


def _as_json(result: SystemResult) -> dict[str, object]:
    return {"system": result.system, "scores": {name: s.as_json() for name, s in result.scores.items()}}
