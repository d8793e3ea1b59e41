"""The four agents as a memory system."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from memquartet.agents.base import Task
from memquartet.agents.rendering import as_asked
from memquartet.agents.team import Team
from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import MemoryStep
from memquartet.errors import ConfigError
from memquartet.memory.protocols import Embedder
from memquartet.rollout.answering import answer_question
from memquartet.rollout.episode import EpisodeSettings, Progress, Rollout
from memquartet.systems.associative import AssociativeSettings
from memquartet.systems.camelot import Consolidator
from memquartet.systems.posing import Posing
from memquartet.systems.sessions import RespondingSession, Response, fresh_memory
from memquartet.systems.windows import window_for, windows

QUERY_TOKENS = 64
"""Room for a query of the answerer's."""


class ShortTerm(StrEnum):
    """What keeps the short-term memory."""

    SUMMARIZER = "summarizer"
    """The fourth agent: a model rewrites a summary."""
    CAMELOT = "camelot"
    """A consolidated associative memory of the unimportant facts: no model call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuartetSettings(EpisodeSettings):
    """Retrieval, what keeps the short-term memory, and how much the extractor reads in one go.

    `window_tokens` cuts longer chunks into consecutive windows; None is what the extractor's model has room for.
    """

    short_term: ShortTerm = ShortTerm.SUMMARIZER
    window_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.window_tokens is not None and self.window_tokens < 1:
            raise ConfigError(f"a window has at least 1 token, got {self.window_tokens}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartet:
    """A fresh in-RAM memory for each sample, written and read by a team."""

    team: Team
    embedder: Embedder
    settings: EpisodeSettings = QuartetSettings()
    name: str = "quartet"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Extract, decide, apply, fold; chunk by chunk, and a long chunk window by window."""
        settings = self.settings
        memory = fresh_memory(self.embedder)
        rollout = Rollout(team=self._team(), memory=memory, settings=settings, seed=seed)
        steps: list[MemoryStep] = []
        size = self._window_tokens()
        for chunk in sample.chunks:
            for window in windows(chunk, size):
                steps.append(await rollout.read_chunk(window, origin=f"{sample.sample_id}#{chunk.index}"))
                if steps[-1].trajectory.failure:
                    break
            on_progress("chunk")
            if steps and steps[-1].trajectory.failure:
                break
        posing = Posing.of(sample, self.team.answerer.model)
        searches = settings.searches(self.team.answerer)

        async def respond(question: Question, task: Task) -> Response:
            # A query is no answer: it needs its room also where the benchmark wants ten tokens.
            room = QUERY_TOKENS if searches else 0
            asked = as_asked(question)
            answered = await answer_question(
                posing.answerer(self.team.answerer, question, at_least=room),
                asked,
                rollout.retrieve,
                memory.state(),
                task=task,
                max_searches=searches,
                posed=posing.pose(asked),
            )
            # Without searches the generation itself is bounded, by the model's own tokens.
            text, raw = answered.text, answered.raw
            if searches:
                text, raw = posing.clamp(question, text), posing.clamp(question, raw)
            return Response(
                text=text,
                raw=raw,
                hits=answered.entry_ids,
                memories=answered.memories,
                searches=answered.searches,
            )

        return RespondingSession(
            respond=respond,
            seed=seed,
            steps=tuple(steps),
            failure=steps[-1].trajectory.failure if steps else None,
        )

    def _window_tokens(self) -> int | None:
        chosen = self.settings
        given = chosen.window_tokens if isinstance(chosen, QuartetSettings) else None
        return given or window_for(self.team.extractor)

    def _team(self) -> Team:
        """The team, with what keeps its short-term memory; a consolidator belongs to one sample."""
        chosen = self.settings
        if isinstance(chosen, QuartetSettings) and chosen.short_term is ShortTerm.CAMELOT:
            consolidator = Consolidator(embedder=self.embedder, settings=AssociativeSettings())
            return replace(self.team, summarizer=consolidator)
        return self.team
