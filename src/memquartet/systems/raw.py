"""What a memory has to beat: nothing at all, the newest raw text, and plain retrieval over the raw text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task, shipped_prompt
from memquartet.agents.rendering import as_asked, as_read
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Question, Sample
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.posing import Posing, handed_over
from memquartet.systems.raw_text import Unit, recalled, store_raw
from memquartet.systems.sessions import (
    Recalled,
    RespondingSession,
    Response,
    answered_by,
    fresh_memory,
    search_many,
)
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
    """`context_tokens`: how much of the end of the text the answerer sees at most.

    None is what the sample's benchmark prescribes for long-context agents, else `CONTEXT_TOKENS`.
    """

    context_tokens: int | None = None

    def room(self, sample: Sample) -> int:
        """The tokens for a sample."""
        prescribed = sample.extra.get("context_tokens")
        if self.context_tokens is not None or not isinstance(prescribed, int):
            return self.context_tokens or CONTEXT_TOKENS
        return prescribed


@dataclass(frozen=True, slots=True, kw_only=True)
class FullContext:
    """Shows the newest tokens of the raw text that fit, and nothing of the rest (first in, first out).

    What fits is bounded by the settings and by the window of the answerer's model, where that is known.
    """

    answerer: Answerer
    settings: FullContextSettings = FullContextSettings()
    name: str = "full_context"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Keep the end of the text."""
        whole = "\n".join(chunk.text for chunk in handed_over(sample).chunks)
        text = newest(whole, self.settings.room(sample), lambda text: self._fits(sample, text))
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(_question: Question, _task: Task) -> Recalled:
            return Recalled(text=text, memories=(text,))

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)

    def _fits(self, sample: Sample, text: str) -> bool:
        """Whether the model has room for the text with the longest question; a few tokens too careful."""
        posing = Posing.of(sample, self.answerer.model)
        longest = max(sample.questions, key=lambda question: len(question.text), default=None)
        if longest is None:
            return True
        prompt = posing.answerer(self.answerer, longest).settings.prompt or shipped_prompt("answerer")
        whole = Message(speaker=Speaker.USER, content=f"{prompt}\n{text}\n{posing.pose(longest).text}")
        return self.answerer.model.fits((Message(speaker=Speaker.SYSTEM, content=""), whole))


def newest(text: str, room: int, fits: Callable[[str], bool]) -> str:
    """The end of a text: at most `room` tokens, and few enough that `fits` allows it; to within 1 % of the most."""
    counter = default_counter()
    text = counter.truncate(text, room, Keep.LAST)
    if fits(text):
        return text
    low, high = 0, min(room, counter.count(text))
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        if fits(counter.truncate(text, middle, Keep.LAST)):
            low = middle
        else:
            high = middle
    return counter.truncate(text, low, Keep.LAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class RagSettings:
    """How many units are retrieved, and how many tokens of them are shown.

    With `dates` text and questions have the dates beside words such as "yesterday" that the four agents see.
    """

    unit: Unit = Unit.AUTO
    top_k: int = 10
    context_tokens: int = CONTEXT_TOKENS
    dates: bool = False


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
        if settings.dates:
            dated = tuple(replace(chunk, text=as_read(chunk)) for chunk in sample.chunks)
            sample = replace(sample, chunks=dated)
        memory = fresh_memory(NoEmbedder() if self.method is SearchMethod.BM25 else self.embedder)
        await asyncio.to_thread(store_raw, memory, sample, unit, self.name)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(question: Question, _task: Task) -> Recalled:
            (hits,) = await search_many(memory, [question.text], settings.top_k, method=self.method)
            return recalled(hits, unit, settings.context_tokens)

        answered = answered_by(self.answerer, recall, sample)

        async def respond(question: Question, task: Task) -> Response:
            return await answered(as_asked(question) if settings.dates else question, task)

        return RespondingSession(respond=respond, seed=seed)
