"""One sample lived through by one system: the reading, then all its questions at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Episode
from memquartet.rollout.episode import Progress, unanswered
from memquartet.systems.protocols import MemorySystem


async def live(
    system: MemorySystem, sample: Sample, *, seed: int = 0, on_progress: Progress = lambda _: None
) -> Episode:
    """Read the sample and answer its questions, all at the same time. `evals.runner` does this with bounds."""
    started = time.perf_counter()
    session = await system.read(sample, seed=seed, on_progress=on_progress)
    seconds = time.perf_counter() - started

    async def one(question: Question) -> Answer:
        failure = session.failure
        answer = unanswered(question, failure) if failure else await session.answer(question)
        on_progress("question")
        return answer

    return Episode(
        sample_id=sample.sample_id,
        system=system.name,
        steps=session.steps,
        answers=tuple(await asyncio.gather(*map(one, sample.questions))),
        seed=seed,
        config=settings_of(system),
        reading_seconds=seconds,
    )


def settings_of(system: MemorySystem) -> dict[str, object]:
    """The system's settings by name."""
    settings = system.settings
    if is_dataclass(settings) and not isinstance(settings, type):
        return asdict(settings)
    return dict(settings) if isinstance(settings, Mapping) else {}
