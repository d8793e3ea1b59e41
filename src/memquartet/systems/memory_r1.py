"""Memory-R1 (arXiv 2508.19828): a manager that echoes the memory with events, and an answerer that distils first.

Reading, for each chunk: a call extracts what is worth keeping, the similar memories are retrieved, and a call of the
manager writes `{"memory": [{"id", "text", "event", "old_memory"}, …]}` with ADD, UPDATE, DELETE or NONE. The event
decides alone: a contradicting fact that is answered by DELETE is not stored. Answering: sixty memories, thirty of
each of two speakers; the answerer prints those that it judges useful, and then the answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memquartet.agents.answerer import read_answer
from memquartet.agents.base import AgentSettings, Reading, Task, ask
from memquartet.agents.rendering import ShortIds, chunk_meta, in_time_order, memory_line
from memquartet.core.memory import (
    Delete,
    EntryId,
    Fact,
    Hit,
    Insert,
    MemoryOp,
    Meta,
    Noop,
    Provenance,
    Update,
)
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.llm.parsing import parse_json
from memquartet.llm.protocols import ChatModel, Completion, JsonSchema, Sampling
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import NO_FILTERS, Embedder, Filters, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.fact_lists import SPOKEN_FACTS_SCHEMA, StatedFact, read_facts
from memquartet.systems.posing import Posing
from memquartet.systems.prompting import prompt
from memquartet.systems.raw import CONTEXT_TOKENS
from memquartet.systems.raw_text import within
from memquartet.systems.sessions import RespondingSession, Response, fresh_memory, read_chunks, search_many

SPEAKER = "speaker"
_EVENTS = ("ADD", "UPDATE", "DELETE", "NONE", "NOOP", "NO_OPERATION")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryR1Settings:
    """Thirty memories a speaker as in the paper; it does not say how many the manager sees for a fact.

    `distil_tokens` is the room for printing the useful memories, and for the answer where no benchmark bounds it.
    """

    similar: int = 3
    per_speaker: int = 30
    distil_tokens: int = 512
    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryR1:
    """Manager and answerer."""

    model: ChatModel
    answer_model: ChatModel
    embedder: Embedder
    settings: MemoryR1Settings = MemoryR1Settings()
    name: str = "memory_r1"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Build the memory bank."""
        memory = fresh_memory(self.embedder)

        async def read_one(chunk: Chunk, task: Task) -> tuple[Fact, ...]:
            facts = await self._extract(chunk, task)
            if facts:
                await self._manage(memory, facts, chunk, task)
            return tuple(Fact(text=fact.text, important=True) for fact in facts)

        async def respond(question: Question, task: Task) -> Response:
            return await self._respond(memory, question, Posing.of(sample, self.model), task)

        reading = await read_chunks(sample, memory, read_one, seed=seed, on_progress=on_progress)
        return RespondingSession(respond=respond, seed=seed, steps=reading.steps, failure=reading.failure)

    async def _extract(self, chunk: Chunk, task: Task) -> tuple[StatedFact, ...]:
        reply = await ask(
            self.model,
            Role.EXTRACTOR,
            prompt(
                "r1_extract",
                time=f"Date: {chunk.time:%Y-%m-%d %H:%M}\n" if chunk.time else "",
                text=chunk.text,
            ),
            read_facts,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=2048)).within(128 + len(chunk.text) // 3),
            schema=SPOKEN_FACTS_SCHEMA,
        )
        return reply.value or ()

    async def _manage(self, memory: Memory, facts: Sequence[StatedFact], chunk: Chunk, task: Task) -> None:
        """One call for the facts of a chunk, in sight of the memories that resemble any of them."""
        found = await search_many(
            memory, [fact.text for fact in facts], self.settings.similar, method=self._method()
        )
        entries = {hit.entry.entry_id: hit.entry for hits in found for hit in hits}
        ids = ShortIds()
        old = [{"id": ids.of(entry.entry_id), "text": entry.content} for entry in entries.values()]
        bank = ManagedBank(
            ids=ids,
            speakers={fact.text: fact.speaker for fact in facts},
            metas={entry.entry_id: entry.meta for entry in entries.values()},
            meta=chunk_meta(chunk),
        )
        reply = await ask(
            self.model,
            Role.MANAGER,
            prompt(
                "r1_manage",
                old=json.dumps(old, ensure_ascii=False),
                facts=json.dumps([fact.text for fact in facts], ensure_ascii=False),
            ),
            bank.read,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=2048)).within(
                64 + 80 * (len(facts) + 2 * len(old))
            ),
            schema=_manager_schema(),
        )
        why = Provenance(
            actor=self.name,
            source=chunk.text,
            model=reply.turn.model,
            seed=reply.turn.seed,
            raw_output=reply.turn.output,
        )
        # An output that cannot be read twice over must not cost the facts.
        ops = reply.value if reply.value is not None else [bank.insert(fact.text) for fact in facts]
        memory.apply(ops, provenance=why)

    async def _respond(self, memory: Memory, question: Question, posing: Posing, task: Task) -> Response:
        """Memory distillation: the useful memories first, then the answer."""
        limit = posing.limit(question)
        by_speaker = await self._retrieve(memory, question)
        room = self.settings.context_tokens // max(len(by_speaker), 1)
        kept = {speaker: within(hits, room) for speaker, hits in by_speaker.items()}
        blocks = [
            "\n".join(
                [
                    f"Memories of {speaker}:" if speaker else "Memories:",
                    *(f"- {memory_line(hit.entry)}" for hit in in_time_order(hits)),
                ]
            )
            for speaker, hits in kept.items()
        ]
        reply = await ask(
            self.answer_model,
            Role.ANSWERER,
            prompt(
                "r1_answer", memories="\n\n".join(blocks) or "(none)", question=posing.pose(question).text
            ),
            read_answer,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=self.settings.distil_tokens + (limit or 0))),
        )
        shown = [hit for hits in kept.values() for hit in hits]
        # The memories that it prints first are no part of its answer: the benchmark's limit is for what follows.
        text = posing.clamp(question, reply.value or "")
        return Response(
            text=text,
            raw=text,
            hits=tuple(hit.entry.entry_id for hit in shown),
            memories=tuple(memory_line(hit.entry) for hit in shown),
        )

    async def _retrieve(self, memory: Memory, question: Question) -> dict[str, list[Hit]]:
        """The best of each of the two who have most memories; of all together where nobody or only one is named."""
        k = self.settings.per_speaker
        named = Counter(str(entry.meta[SPEAKER]) for entry in memory.entries() if entry.meta.get(SPEAKER))
        pair = [speaker for speaker, _ in named.most_common(2)]
        if len(pair) < 2:
            return {"": await self._search(memory, question, 2 * k, NO_FILTERS)}
        return {
            speaker: await self._search(memory, question, k, Filters(where={SPEAKER: speaker}))
            for speaker in pair
        }

    async def _search(self, memory: Memory, question: Question, k: int, filters: Filters) -> list[Hit]:
        (hits,) = await search_many(memory, [question.text], k, method=self._method(), filters=filters)
        return hits

    def _method(self) -> SearchMethod:
        return SearchMethod.EMBEDDING if self.embedder.dim else SearchMethod.BM25


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedBank:
    """What one manager call was shown, and the reader of its echo."""

    ids: ShortIds
    speakers: dict[str, str]
    metas: dict[EntryId, Meta]
    meta: Meta

    def read(self, completion: Completion) -> Reading[tuple[MemoryOp, ...]]:
        """The operations of the events in order; INVALID when there is no list of events or none can be used."""
        outcome = parse_json(completion.text)
        items = outcome.value.get("memory") if isinstance(outcome.value, dict) else outcome.value
        if not isinstance(items, list):
            problem = outcome.errors or ('expected {"memory": [...]}',)
            return Reading(value=None, status=TurnStatus.INVALID, errors=problem)
        errors = list(outcome.errors)
        ops: list[MemoryOp] = []
        changed: set[EntryId] = set()
        for item in items:
            op = self._operation(item, changed, errors)
            if op is not None:
                ops.append(op)
        usable = ops or not items
        status = TurnStatus.OK if not errors else TurnStatus.REPAIRED if usable else TurnStatus.INVALID
        return Reading(
            value=tuple(ops) if usable else None,
            status=status,
            parsed=[op.kind for op in ops],
            errors=tuple(errors),
        )

    def insert(self, text: str) -> Insert:
        """A new entry; the speaker is the one whose fact has these words, if any."""
        speaker = self.speakers.get(text) or _only(self.speakers.values())
        return Insert(content=text, meta={**self.meta, **({SPEAKER: speaker} if speaker else {})})

    def _operation(self, item: object, changed: set[EntryId], errors: list[str]) -> MemoryOp | None:
        event = str(item.get("event", "")).upper() if isinstance(item, dict) else ""
        if not isinstance(item, dict) or event not in _EVENTS:
            errors.append(f'expected {{"id", "text", "event"}} with a known event: {str(item)[:80]!r}')
            return None
        text = item.get("text")
        text = text.strip() if isinstance(text, str) else ""
        if event == "ADD":
            if text:
                return self.insert(text)
            errors.append("ADD needs a text")
            return None
        target = self.ids.resolve(str(item.get("id")))
        if target is None or target in changed:
            why = "was changed already" if target else f"is not one of {', '.join(self.ids.shown) or 'none'}"
            errors.append(f"{event}: memory {item.get('id')!r} {why}")
            return None
        return self._change(event, target, text, changed)

    def _change(self, event: str, target: EntryId, text: str, changed: set[EntryId]) -> MemoryOp:
        if event == "DELETE":
            changed.add(target)
            return Delete(entry_id=target)
        if event == "UPDATE" and text:
            changed.add(target)
            return Update(entry_id=target, content=text, meta={**self.metas[target], **self.meta})
        return Noop(entry_id=target)


def _only(speakers: Iterable[str]) -> str:
    """The speaker whom all facts are about; "" when there are several."""
    found = set(speakers)
    return found.pop() if len(found) == 1 else ""


def _manager_schema() -> JsonSchema:
    item = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "text": {"type": "string"},
            "event": {"type": "string", "enum": ["ADD", "UPDATE", "DELETE", "NONE"]},
            "old_memory": {"type": "string"},
        },
        "required": ["id", "text", "event"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"memory": {"type": "array", "items": item}},
        "required": ["memory"],
        "additionalProperties": False,
    }
