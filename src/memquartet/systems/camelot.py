"""CAMELoT as a memory system, and as a short-term memory for the quartet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Reply, Task
from memquartet.core.memory import Fact, MemoryState
from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Role, Turn, TurnStatus
from memquartet.errors import ConfigError
from memquartet.memory.protocols import Embedder
from memquartet.rollout.episode import Progress
from memquartet.systems.associative import AssociativeMemory, AssociativeSettings, joined
from memquartet.systems.raw import CONTEXT_TOKENS
from memquartet.systems.raw_text import Unit, pieces
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by
from memquartet.text.tokens import default_counter

NAME = "camelot"


@dataclass(frozen=True, slots=True, kw_only=True)
class CamelotSettings:
    """The associative memory, what is written into it, and how many slots and tokens are shown."""

    slots: int = 128
    threshold: float = 0.75
    texts: int = 3
    unit: Unit = Unit.AUTO
    top_k: int = 10
    context_tokens: int = CONTEXT_TOKENS

    @property
    def associative(self) -> AssociativeSettings:
        """The part that the memory takes."""
        return AssociativeSettings(slots=self.slots, threshold=self.threshold, texts=self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camelot:
    """Consolidates the raw text into slots by its embeddings and shows the slots most like the question."""

    answerer: Answerer
    embedder: Embedder
    settings: CamelotSettings = CamelotSettings()
    name: str = NAME

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Write every unit in reading order."""
        settings = self.settings
        memory = AssociativeMemory(_dim(self.embedder), settings.associative)
        units = list(pieces(sample, settings.unit))
        vectors = await asyncio.to_thread(self.embedder.embed, [unit.text for unit in units])
        for unit, vector in zip(units, vectors, strict=True):
            memory.write(unit.text, vector)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(question: Question, _task: Task) -> Recalled:
            vector = (await asyncio.to_thread(self.embedder.embed, [question.text]))[0]
            texts = _within(joined(memory.read(vector, settings.top_k)), settings.context_tokens)
            return Recalled(text="\n".join(f"- {text}" for text in texts), memories=texts)

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)


@dataclass(slots=True, kw_only=True)
class Consolidator:
    """Keeps a quartet's short-term memory in slots: the newest of them are the state, and no model is asked.

    Belongs to one episode: it holds what it was given.
    """

    embedder: Embedder
    settings: AssociativeSettings
    _memory: AssociativeMemory | None = field(default=None, init=False)

    async def fold(self, state: MemoryState, facts: Sequence[Fact], *, task: Task) -> Reply[str]:
        """Write the facts; the new state is the slots' texts, newest slot first, within the state's budget."""
        self._memory = memory = self._memory or AssociativeMemory(_dim(self.embedder), self.settings)
        vectors = await asyncio.to_thread(self.embedder.embed, [fact.text for fact in facts])
        for fact, vector in zip(facts, vectors, strict=True):
            memory.write(fact.text, vector)
        text = "\n".join(_within(joined(memory.newest()), state.budget))
        # The journal asks what a write came from; this turn is no model call and is not recorded as one.
        turn = Turn(
            role=Role.SUMMARIZER, messages=(), output=text, status=TurnStatus.OK, model=NAME, seed=task.seed
        )
        return Reply(value=text, turn=turn)


def _within(texts: Sequence[str], budget: int) -> tuple[str, ...]:
    """The first texts that fit together, as lines."""
    count = default_counter().count
    kept: list[str] = []
    for text in texts:
        # One for the line break.
        budget -= count(text) + 1
        if budget < 0:
            break
        kept.append(text)
    return tuple(kept)


def _dim(embedder: Embedder) -> int:
    if embedder.dim == 0:
        raise ConfigError("camelot compares embeddings: give an embedder, for example --embedder static")
    return embedder.dim
