"""What the harness asks of a memory system: read a sample once, then answer any number of questions about it."""

from __future__ import annotations

from typing import Protocol

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Failure, MemoryStep
from memquartet.rollout.episode import Progress


class Session(Protocol):
    """What a system holds after it has read a sample. Questions do not change it and may come at the same time."""

    @property
    def steps(self) -> tuple[MemoryStep, ...]:
        """The model calls of the reading, in order; empty for a system that reads without a model."""
        ...

    @property
    def failure(self) -> Failure | None:
        """Why the reading is not complete, if the world failed: its questions are not asked then."""
        ...

    async def answer(self, question: Question) -> Answer:
        """Answer one question. A failure of the world is recorded in the answer, not raised."""
        ...


class MemorySystem(Protocol):
    """Reads a sample's chunks in order and gives what answers its questions; each sample starts from nothing."""

    @property
    def name(self) -> str:
        """The system's name in tables, file names and `Episode.system`: letters, digits, "-", "_" and "."."""
        ...

    @property
    def settings(self) -> object:
        """A dataclass or mapping of plain values, written into the results; a changed one is another run."""
        ...

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> Session:
        """Read all chunks, calling `on_progress("chunk")` after each."""
        ...
