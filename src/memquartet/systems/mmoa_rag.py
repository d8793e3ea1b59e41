"""MMOA-RAG (arXiv 2501.15228): a query rewriter, a document selector and a generator over raw text, on one model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings, Reading, Task, ask
from memquartet.core.memory import Hit
from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.llm.protocols import ChatModel, Completion, Sampling
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.prompting import prompt
from memquartet.systems.raw import CONTEXT_TOKENS
from memquartet.systems.raw_text import Unit, recalled, store_raw, within
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by, fresh_memory, search_many

MAX_SUB_QUESTIONS = 4
_NUMBERING = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")
_DOCUMENT = re.compile(r"document\s*(\d{1,4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MmoaRagSettings:
    """The paper retrieves K = 10 documents by embeddings."""

    unit: Unit = Unit.AUTO
    top_k: int = 10
    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class MmoaRag:
    """Question → sub-questions → documents → chosen documents → answer; the last is the shared answerer's."""

    model: ChatModel
    answerer: Answerer
    embedder: Embedder
    settings: MmoaRagSettings = MmoaRagSettings()
    name: str = "mmoa_rag"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Index the raw text."""
        unit = self.settings.unit.of(sample)
        memory = fresh_memory(self.embedder)
        await asyncio.to_thread(store_raw, memory, sample, unit, self.name)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(question: Question, task: Task) -> Recalled:
            asked = await self._rewrite(question, task)
            hits = await self._retrieve(memory, asked)
            chosen = await self._select(question, within(hits, self.settings.context_tokens), task)
            return recalled(chosen, unit, self.settings.context_tokens)

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)

    async def _rewrite(self, question: Question, task: Task) -> Sequence[str]:
        """At most four sub-questions; the question itself when none can be read."""
        reply = await ask(
            self.model,
            Role.ANSWERER,
            prompt("mmoa_rewrite", question=question.text),
            read_sub_questions,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=128), max_attempts=1),
        )
        return reply.value or [question.text]

    async def _retrieve(self, memory: Memory, asked: Sequence[str]) -> list[Hit]:
        """The best K over all sub-questions, taken from each in turn, no document twice."""
        k = self.settings.top_k
        method = SearchMethod.EMBEDDING if self.embedder.dim else SearchMethod.BM25
        found = await search_many(memory, asked, k, method=method)
        hits = {hit.entry.entry_id: hit for rank in zip_longest(*found) for hit in rank if hit is not None}
        return list(hits.values())[:k]

    async def _select(self, question: Question, hits: Sequence[Hit], task: Task) -> list[Hit]:
        """The documents that the selector names; all of them when it names none."""
        if not hits:
            return []

        def read(completion: Completion) -> Reading[list[int]]:
            return read_selection(completion, len(hits))

        documents = "\n".join(f"Document{number}: {hit.entry.content}" for number, hit in enumerate(hits))
        reply = await ask(
            self.model,
            Role.ANSWERER,
            prompt("mmoa_select", question=question.text, documents=documents),
            read,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=64), max_attempts=1),
        )
        return [hits[number] for number in reply.value] if reply.value else list(hits)


def read_sub_questions(completion: Completion) -> Reading[list[str]]:
    """One a line, numbering dropped; what follows the fourth is left out and said."""
    lines = [_NUMBERING.sub("", line).strip() for line in completion.text.splitlines()]
    questions = list(dict.fromkeys(line for line in lines if any(map(str.isalnum, line))))
    if not questions:
        return Reading(value=None, status=TurnStatus.INVALID, errors=("no sub-question",))
    kept = [question[:1000] for question in questions[:MAX_SUB_QUESTIONS]]
    errors = () if len(kept) == len(questions) else (f"more than {MAX_SUB_QUESTIONS} sub-questions",)
    status = TurnStatus.REPAIRED if errors else TurnStatus.OK
    return Reading(value=kept, status=status, parsed=kept, errors=errors)


def read_selection(completion: Completion, shown: int) -> Reading[list[int]]:
    """`Document0,Document3`; ids that were not shown and repetitions are dropped and said."""
    named = [int(number) for number in _DOCUMENT.findall(completion.text)]
    kept = list(dict.fromkeys(number for number in named if number < shown))
    if not kept:
        return Reading(
            value=None,
            status=TurnStatus.INVALID,
            errors=(f"expected Document0 to Document{shown - 1}, given {completion.text[:80]!r}",),
        )
    errors = () if len(kept) == len(named) else ("unknown or repeated documents were left out",)
    status = TurnStatus.REPAIRED if errors else TurnStatus.OK
    return Reading(value=kept, status=status, parsed=kept, errors=errors)
