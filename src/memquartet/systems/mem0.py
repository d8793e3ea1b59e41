"""Mem0 as its paper describes it (arXiv 2504.19413): extract, then add, update, delete or leave, fact by fact.

A call extracts facts from the new piece, seeing a rolling summary and the last messages before it; for each fact a
call decides what becomes of it in sight of the ten most similar memories. A contradicted memory is deleted and the
fact that contradicts it is not stored, as in the paper. Today's `mem0ai` package works otherwise (it only adds):
`examples/with_extras/mem0_package.py` plugs the real thing in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings, Reading, Task, ask, derive_seed
from memquartet.agents.decisions import Choice, read_choices
from memquartet.agents.rendering import ShortIds, chunk_meta, memory_line
from memquartet.agents.summarizer import read_summary
from memquartet.core.memory import Delete, Fact, Hit, Insert, MemoryOp, Meta, Noop, Provenance, Update
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Decision, Role, TurnStatus
from memquartet.llm.protocols import ChatModel, Completion, Sampling
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.fact_lists import FACTS_SCHEMA, StatedFact, read_facts
from memquartet.systems.prompting import prompt
from memquartet.systems.raw import CONTEXT_TOKENS
from memquartet.systems.raw_text import Unit, recalled
from memquartet.systems.sessions import (
    Recalled,
    RespondingSession,
    answered_by,
    fresh_memory,
    read_chunks,
    search_many,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mem0Settings:
    """The paper's m = 10 messages of context and s = 10 similar memories; MemoryAgentBench answers from 10."""

    recent_messages: int = 10
    similar: int = 10
    answer_top_k: int = 10
    summary_tokens: int = 256
    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Mem0:
    """Extraction phase, update phase."""

    model: ChatModel
    answerer: Answerer
    embedder: Embedder
    settings: Mem0Settings = Mem0Settings()
    name: str = "mem0"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Extract and update after each chunk; the summary follows."""
        memory = fresh_memory(self.embedder, state_budget=self.settings.summary_tokens)
        recent: list[str] = []

        async def read_one(chunk: Chunk, task: Task) -> tuple[Fact, ...]:
            facts = await self._extract(memory.state().text, recent, chunk, task)
            for number, fact in enumerate(facts):
                await self._update(memory, fact, chunk, _of(task, number))
            memory.set_state(await self._summarize(memory.state().text, chunk, task))
            recent.extend(line for line in chunk.text.splitlines() if line.strip())
            del recent[: -self.settings.recent_messages]
            return tuple(Fact(text=fact.text, important=True) for fact in facts)

        async def recall(question: Question, _task: Task) -> Recalled:
            (hits,) = await search_many(
                memory, [question.text], self.settings.answer_top_k, method=_similarity(self.embedder)
            )
            return recalled(hits, Unit.LINE, self.settings.context_tokens)

        reading = await read_chunks(sample, memory, read_one, seed=seed, on_progress=on_progress)
        return RespondingSession(
            respond=answered_by(self.answerer, recall, sample),
            seed=seed,
            steps=reading.steps,
            failure=reading.failure,
        )

    async def _extract(
        self, summary: str, recent: Sequence[str], chunk: Chunk, task: Task
    ) -> tuple[StatedFact, ...]:
        messages = prompt(
            "mem0_extract",
            summary=summary or "(none)",
            recent="\n".join(recent) or "(none)",
            time=f"Date: {chunk.time:%Y-%m-%d %H:%M}\n" if chunk.time else "",
            text=chunk.text,
        )
        reply = await ask(
            self.model,
            Role.EXTRACTOR,
            messages,
            read_facts,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=1024)).within(128 + len(chunk.text) // 3),
            schema=FACTS_SCHEMA,
        )
        return reply.value or ()

    async def _update(self, memory: Memory, fact: StatedFact, chunk: Chunk, task: Task) -> None:
        """One decision about one fact, carried out."""
        (hits,) = await search_many(
            memory, [fact.text], self.settings.similar, method=_similarity(self.embedder)
        )
        ids = ShortIds()
        shown = "\n".join(f"[{ids.of(hit.entry.entry_id)}] {memory_line(hit.entry)}" for hit in hits)

        def read(completion: Completion) -> Reading[Choice]:
            return _read_choice(completion, fact, ids)

        reply = await ask(
            self.model,
            Role.MANAGER,
            prompt("mem0_update", fact=fact.text, memories=shown or "(none)"),
            read,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=256)),
            schema=_choice_schema(ids.shown),
        )
        # What cannot be decided is stored, so that nothing is lost in silence.
        choice = reply.value or Choice(decision=Decision.ADD)
        why = Provenance(
            actor=self.name, source=chunk.text, model=reply.turn.model, raw_output=reply.turn.output
        )
        memory.apply([_operation(choice, fact, ids, hits, chunk_meta(chunk))], provenance=why)

    async def _summarize(self, summary: str, chunk: Chunk, task: Task) -> str:
        tokens = self.settings.summary_tokens
        messages = prompt("mem0_summary", summary=summary or "(none)", text=chunk.text, budget=str(tokens))
        settings = AgentSettings(sampling=Sampling(max_tokens=tokens), max_attempts=1)
        reply = await ask(self.model, Role.SUMMARIZER, messages, read_summary, task=task, settings=settings)
        return reply.value or summary


def _read_choice(completion: Completion, fact: StatedFact, ids: ShortIds) -> Reading[Choice]:
    """One decision; an UPDATE or DELETE names a shown memory."""
    found = read_choices(completion.text, completion.tool_calls, [fact.text], [ids.shown])
    choice = found.by_fact[0]
    errors = list(found.errors)
    targeted = choice is not None and choice.decision in (Decision.UPDATE, Decision.DELETE)
    if choice is not None and targeted and (choice.short is None or ids.resolve(choice.short) is None):
        known = ", ".join(ids.shown) or "none"
        errors.append(f"{choice.decision} names memory {choice.short!r}; shown were: {known}")
        choice = None
    status = TurnStatus.INVALID if choice is None else TurnStatus.REPAIRED if errors else TurnStatus.OK
    return Reading(
        value=choice,
        status=status,
        parsed=choice and {"op": choice.decision.value, "id": choice.short, "text": choice.text},
        errors=tuple(errors),
    )


def _operation(choice: Choice, fact: StatedFact, ids: ShortIds, hits: Sequence[Hit], meta: Meta) -> MemoryOp:
    target = ids.resolve(choice.short) if choice.short is not None else None
    match choice.decision:
        case Decision.UPDATE if target is not None:
            old = next(hit.entry for hit in hits if hit.entry.entry_id == target)
            return Update(entry_id=target, content=choice.text or fact.text, meta={**old.meta, **meta})
        case Decision.DELETE if target is not None:
            return Delete(entry_id=target)
        case Decision.NOOP:
            return Noop(entry_id=target)
        case _:
            return Insert(content=choice.text or fact.text, meta=meta)


def _choice_schema(shorts: Sequence[str]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {
            "op": {
                "type": "string",
                "enum": ["ADD", "UPDATE", "DELETE", "NOOP"] if shorts else ["ADD", "NOOP"],
            },
            "id": {"type": "string", "enum": list(shorts) or [""]},
            "text": {"type": "string"},
        },
        "required": ["op"],
        "additionalProperties": False,
    }


def _of(task: Task, number: int) -> Task:
    return Task(seed=derive_seed(task.seed, "fact", number), record=task.record)


def _similarity(embedder: Embedder) -> SearchMethod:
    """By embeddings, as in the paper; by words where there are none."""
    return SearchMethod.EMBEDDING if embedder.dim else SearchMethod.BM25
