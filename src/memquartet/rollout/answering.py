"""Answering one question: a search by its words, and further searches that the answerer asks for, up to a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from memquartet.agents.answerer import Answerer, Found, Query
from memquartet.agents.base import Task, derive_seed
from memquartet.agents.rendering import memory_line
from memquartet.core.memory import EntryId, Hit, MemoryState
from memquartet.core.samples import Question
from memquartet.core.trajectory import Search

Retrieve = Callable[[str], Awaitable[Sequence[Hit]]]
"""The memories that a query finds, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer with what it was made from; `text` is empty when the model gave none, `raw` is its last reply.

    `hits` are those of all searches in the order of their retrieval, each once; `searches` are the further ones.
    """

    text: str
    raw: str
    hits: tuple[Hit, ...]
    searches: tuple[Search, ...] = ()

    @property
    def entry_ids(self) -> tuple[EntryId, ...]:
        """The entries behind the hits."""
        return tuple(hit.entry.entry_id for hit in self.hits)

    @property
    def memories(self) -> tuple[str, ...]:
        """The hits as they were shown."""
        return tuple(memory_line(hit.entry) for hit in self.hits)


async def answer_question(
    answerer: Answerer,
    question: Question,
    retrieve: Retrieve,
    state: MemoryState,
    *,
    task: Task,
    max_searches: int = 0,
    posed: Question | None = None,
) -> Answered:
    """Search by the question, then let the answerer search again until it answers or the searches are used up.

    The calls up to the first search have the task's seed, those after search n one derived from it and n.

    Args:
        answerer: the agent.
        question: its text is the first query.
        retrieve: the memory's search.
        state: the short-term memory.
        task: seed and sink.
        max_searches: further searches; 0 asks once and does not mention searching.
        posed: the question in the words that the answerer sees; by default as it stands.

    Raises:
        WorldError: the model's server or the memory failed.
        ConfigError: the answerer's prompt cannot offer a search.
    """
    posed = posed or question
    hits = await retrieve(question.text)
    if max_searches < 1:
        only = await answerer.answer(posed, hits, state, task=task)
        return Answered(text=only.value or "", raw=only.turn.output, hits=tuple(hits))
    further: list[Found] = []
    while True:
        made = len(further)
        reply = await answerer.answer_or_search(
            posed,
            hits,
            state,
            further=further,
            may_search=made < max_searches,
            task=Task(seed=derive_seed(task.seed, "search", made), record=task.record) if made else task,
        )
        if not isinstance(reply.value, Query):
            return Answered(
                text=reply.value or "",
                # A query where only an answer was allowed: scorers of raw replies must not find one in it.
                raw=reply.turn.output if reply.value else "",
                hits=(*hits, *(hit for found in further for hit in found.hits)),
                searches=tuple(
                    Search(query=found.query, hits=tuple(hit.entry.entry_id for hit in found.hits))
                    for found in further
                ),
            )
        known = {hit.entry.entry_id for found in (hits, *(f.hits for f in further)) for hit in found}
        new = [hit for hit in await retrieve(reply.value.text) if hit.entry.entry_id not in known]
        further.append(Found(query=reply.value.text, hits=new))
