"""What a memory has to beat: nothing at all, the newest raw text, and plain retrieval over the raw text."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task
from memquartet.core.samples import Question, Sample
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.raw_text import Unit, recalled, store_raw
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by, fresh_memory, search_many
from memquartet.text.tokens import Keep, default_counter

CONTEXT_TOKENS = 3072
"""Tokens of memory or text that a system shows to the answerer at most; fits a model of 4,096 with its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    """Nothing to choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMemory:
    """Reads nothing: the answerer sees the question alone. What it gets right it knew or guessed."""

    answerer: Answerer
    settings: NoSettings = NoSettings()
    name: str = "no_memory"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Read nothing."""

        async def recall(_question: Question, _task: Task) -> Recalled:
            return Recalled(text="", memories=())

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullContextSettings:
    """`context_tokens`: how much of the end of the text the answerer sees."""

    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class FullContext:
    """Shows the newest tokens of the raw text that fit, and nothing of the rest (first in, first out)."""

    answerer: Answerer
    settings: FullContextSettings = FullContextSettings()
    name: str = "full_context"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Keep the end of the text."""
        room = self.settings.context_tokens
        text = default_counter().truncate("\n".join(chunk.text for chunk in sample.chunks), room, Keep.LAST)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(_question: Question, _task: Task) -> Recalled:
            return Recalled(text=text, memories=(text,))

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RagSettings:
    """How many units are retrieved, and how many tokens of them are shown."""

    unit: Unit = Unit.AUTO
    top_k: int = 10
    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rag:
    """Stores the raw text unit by unit and shows the units that resemble the question most."""

    answerer: Answerer
    method: SearchMethod
    embedder: Embedder
    settings: RagSettings = RagSettings()

    @property
    def name(self) -> Literal["rag_bm25", "rag_embedding", "rag_hybrid"]:
        """By the method."""
        match self.method:
            case SearchMethod.BM25:
                return "rag_bm25"
            case SearchMethod.EMBEDDING:
                return "rag_embedding"
            case SearchMethod.HYBRID:
                return "rag_hybrid"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Index the units."""
        settings = self.settings
        unit = settings.unit.of(sample)
        memory = fresh_memory(NoEmbedder() if self.method is SearchMethod.BM25 else self.embedder)
        await asyncio.to_thread(store_raw, memory, sample, unit, self.name)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(question: Question, _task: Task) -> Recalled:
            (hits,) = await search_many(memory, [question.text], settings.top_k, method=self.method)
            return recalled(hits, unit, settings.context_tokens)

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)
