"""The four agents as a memory system."""

from __future__ import annotations

from dataclasses import dataclass

from memquartet.agents.team import Team
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder
from memquartet.rollout.episode import DEFAULT_SETTINGS, EpisodeSettings, Progress, run_episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartet:
    """A fresh in-RAM memory for each sample, written and read by a team."""

    team: Team
    embedder: Embedder
    settings: EpisodeSettings = DEFAULT_SETTINGS
    name: str = "quartet"

    async def run(self, sample: Sample, *, seed: int, on_progress: Progress) -> Episode:
        """Read, remember, answer."""
        return await run_episode(
            sample,
            self.team,
            Memory(embedder=self.embedder),
            settings=self.settings,
            seed=seed,
            on_progress=on_progress,
        )
