"""What the systems share: reading chunk by chunk with every call recorded, and answering from what was recalled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task, derive_seed
from memquartet.core.memory import EntryId, Fact, Hit
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Answer, Failure, MemoryStep, Search, Trajectory, Turn
from memquartet.errors import WorldError
from memquartet.memory.memory import STATE_BUDGET, Memory
from memquartet.memory.protocols import NO_FILTERS, Embedder, Filters, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.posing import Posing, handed_over

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def fresh_memory(embedder: Embedder, *, state_budget: int = STATE_BUDGET) -> Memory:
    """A memory in RAM whose clock counts writes in place of time.

    Entries are shown in the order of their times; on a real clock two of them could share a microsecond in one run and
    not in the next, and a resumed run would ask what was never asked.
    """
    ticks = count(1)
    return Memory(
        embedder=embedder,
        state_budget=state_budget,
        clock=lambda: EPOCH + timedelta(microseconds=next(ticks)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer with what it was made from: see `Answer`."""

    text: str
    raw: str | None = None
    hits: tuple[EntryId, ...] = ()
    memories: tuple[str, ...] = ()
    searches: tuple[Search, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What the answerer is shown: `text` stands where the memories stand, `memories` are its parts."""

    text: str
    memories: tuple[str, ...]
    state: str = ""
    hits: tuple[EntryId, ...] = ()


Respond = Callable[[Question, Task], Awaitable[Response]]
Recall = Callable[[Question, Task], Awaitable[Recalled]]
ReadChunk = Callable[[Chunk, Task], Awaitable[tuple[Fact, ...]]]
"""Reads one chunk and returns the facts that it stored or found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RespondingSession:
    """A session that answers by calling `respond`; seeds come from the run's seed and the question's id."""

    respond: Respond
    seed: int
    steps: tuple[MemoryStep, ...] = ()
    failure: Failure | None = None

    async def answer(self, question: Question) -> Answer:
        """Respond, or record why that failed."""
        turns: list[Turn] = []
        task = Task(seed=derive_seed(self.seed, "question", question.question_id), record=turns.append)
        response, failure = None, None
        try:
            response = await self.respond(question, task)
        except WorldError as error:
            failure = failure_of(error)
        return Answer(
            question_id=question.question_id,
            text=response.text if response else None,
            raw=response.raw if response else None,
            hits=response.hits if response else (),
            memories=response.memories if response else (),
            searches=response.searches if response else (),
            trajectory=Trajectory(turns=tuple(turns), failure=failure),
        )


def answered_by(answerer: Answerer, recall: Recall, sample: Sample) -> Respond:
    """Answering as all systems do unless their paper has its own way: recall, then ask the shared answerer once.

    Args:
        answerer: the same for all systems that are compared.
        recall: what is shown for a question.
        sample: says how its questions are put.
    """
    posing = Posing.of(sample, answerer.model)

    async def respond(question: Question, task: Task) -> Response:
        recalled = await recall(question, task)
        asked = posing.answerer(answerer, question)
        reply = await asked.answer_from(posing.pose(question), recalled.text, state=recalled.state, task=task)
        return Response(
            text=reply.value or "",
            raw=reply.turn.output,
            hits=recalled.hits,
            memories=recalled.memories,
        )

    return respond


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A reading's steps, and why it stopped, if it did."""

    steps: tuple[MemoryStep, ...]
    failure: Failure | None


async def read_chunks(
    sample: Sample, memory: Memory, read: ReadChunk, *, seed: int, on_progress: Progress
) -> Read:
    """Read the chunks in order; where the world fails the reading ends, because a memory with a hole is another one."""
    steps: list[MemoryStep] = []
    failure = None
    for chunk in handed_over(sample).chunks:
        turns: list[Turn] = []
        facts: tuple[Fact, ...] = ()
        try:
            task = Task(seed=derive_seed(seed, "chunk", chunk.index), record=turns.append)
            facts = await read(chunk, task)
        except WorldError as error:
            failure = failure_of(error)
        steps.append(
            MemoryStep(
                index=chunk.index,
                facts=facts,
                outcomes=(),
                state=memory.state(),
                seq=memory.seq,
                trajectory=Trajectory(turns=tuple(turns), failure=failure),
            )
        )
        on_progress("chunk")
        if failure:
            break
    return Read(steps=tuple(steps), failure=failure)


async def search_many(
    memory: Memory,
    queries: Sequence[str],
    top_k: int,
    *,
    method: SearchMethod,
    filters: Filters = NO_FILTERS,
) -> list[list[Hit]]:
    """`Memory.search_many`, in a thread where the embedder may wait for a server."""

    def call() -> list[list[Hit]]:
        return memory.search_many(queries, top_k, filters=filters, method=method)

    return await asyncio.to_thread(call) if memory.blocking else call()


def failure_of(error: WorldError) -> Failure:
    """The error as it is recorded."""
    return Failure(kind=type(error).__name__, message=str(error))
