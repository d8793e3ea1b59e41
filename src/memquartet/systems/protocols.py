"""What the harness asks of a memory system."""

from __future__ import annotations

from typing import Protocol

from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.rollout.episode import Progress


class MemorySystem(Protocol):
    """Reads a sample's chunks in order and then answers its questions; each sample starts from nothing."""

    @property
    def name(self) -> str:
        """The system's name in tables, file names and `Episode.system`."""
        ...

    async def run(self, sample: Sample, *, seed: int, on_progress: Progress) -> Episode:
        """Live through one sample. A failure of the world is recorded in the episode, not raised."""
        ...
