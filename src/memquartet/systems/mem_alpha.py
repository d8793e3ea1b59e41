"""Mem-alpha (arXiv 2509.25911): one agent that writes a core, a semantic and an episodic memory by tool calls.

One generation a chunk, with any number of calls in it. The core is our short-term state, which can only be
rewritten. The prompt shows the newest items of each list, fewer of them where it would get too long; answering
shows all memories, or the best by BM25 where they would not fit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings, Reading, Task, ask
from memquartet.core.memory import Fact, Hit, Insert, MemoryEntry, MemoryType, Provenance
from memquartet.core.messages import Message
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Role
from memquartet.llm.protocols import ChatModel, Completion, Sampling
from memquartet.llm.tool_calls import ParsedCall, parse_tool_calls
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters, SearchMethod
from memquartet.rollout.episode import Progress
from memquartet.systems.prompting import prompt
from memquartet.systems.raw import CONTEXT_TOKENS
from memquartet.systems.raw_text import within
from memquartet.systems.sessions import (
    Recalled,
    RespondingSession,
    answered_by,
    fresh_memory,
    read_chunks,
    search_many,
)
from memquartet.text.tokens import default_counter
from memquartet.tools.execution import execute
from memquartet.tools.memory_tools import memory_tool_schemas
from memquartet.tools.spec import ToolMemoryType

_READING_TOOLS = frozenset({"search_memory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemAlphaSettings:
    """The paper's sizes: tokens of the core, of a whole prompt and of an output; items shown and retrieved."""

    core_tokens: int = 512
    newest: int = 5
    prompt_tokens: int = 6144
    output_tokens: int = 2048
    answer_top_k: int = 15
    context_tokens: int = CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class MemAlpha:
    """One agent, three memories, three writing tools."""

    model: ChatModel
    answerer: Answerer
    settings: MemAlphaSettings = MemAlphaSettings()
    name: str = "mem_alpha"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Let the agent update its memories after each chunk."""
        memory = fresh_memory(NoEmbedder(), state_budget=self.settings.core_tokens)

        async def update(chunk: Chunk, task: Task) -> tuple[Fact, ...]:
            return await self._update(memory, chunk, task)

        async def recall(question: Question, _task: Task) -> Recalled:
            return await self._recall(memory, question)

        reading = await read_chunks(sample, memory, update, seed=seed, on_progress=on_progress)
        return RespondingSession(
            respond=answered_by(self.answerer, recall, sample),
            seed=seed,
            steps=reading.steps,
            failure=reading.failure,
        )

    async def _update(self, memory: Memory, chunk: Chunk, task: Task) -> tuple[Fact, ...]:
        """One generation, then its calls in order; returns what was newly stored."""
        settings = AgentSettings(
            sampling=Sampling(max_tokens=self.settings.output_tokens), max_attempts=1, constrained=False
        )
        messages = self._messages(memory, chunk)
        reply = await ask(self.model, Role.MANAGER, messages, _read_calls, task=task, settings=settings)
        why = Provenance(
            actor=self.name,
            source=chunk.text,
            model=reply.turn.model,
            seed=reply.turn.seed,
            raw_output=reply.turn.output,
        )
        stored = []
        for call in reply.value or ():
            if call.name in _READING_TOOLS:
                continue
            receipt = execute(call, memory, provenance=why).receipt
            if receipt and receipt.applied and isinstance(receipt.op, Insert):
                op = receipt.op
                stored.append(Fact(text=op.content, important=True, memory_type=op.memory_type))
        return tuple(stored)

    def _messages(self, memory: Memory, chunk: Chunk) -> tuple[Message, ...]:
        """The prompt with as many of the newest items as fit: 5 of each list, then 2, 1 and none."""
        shown = self.settings.newest
        while True:
            messages = prompt(
                "mem_alpha",
                tools=_tools(),
                budget=str(self.settings.core_tokens),
                core=memory.state().text or "(empty)",
                semantic=_newest(memory, MemoryType.SEMANTIC, shown),
                episodic=_newest(memory, MemoryType.EPISODIC, shown),
                time=f"Date: {chunk.time:%Y-%m-%d %H:%M}\n" if chunk.time else "",
                text=chunk.text,
            )
            tokens = sum(default_counter().count(message.content) for message in messages)
            if shown == 0 or tokens <= self.settings.prompt_tokens:
                return messages
            shown //= 2

    async def _recall(self, memory: Memory, question: Question) -> Recalled:
        """Everything, or the best 15 of each list where everything would not fit."""
        core = memory.state().text
        entries = memory.entries()
        count = default_counter().count
        room = max(self.settings.context_tokens - count(core), 0)
        if sum(count(entry.content) for entry in entries) > room:
            hits: list[Hit] = []
            for memory_type in (MemoryType.SEMANTIC, MemoryType.EPISODIC):
                filters = Filters(memory_types=frozenset({memory_type}))
                (found,) = await search_many(
                    memory,
                    [question.text],
                    self.settings.answer_top_k,
                    method=SearchMethod.BM25,
                    filters=filters,
                )
                hits += found
            hits.sort(key=lambda hit: -hit.score)
            chosen = {hit.entry.entry_id: hit.entry for hit in within(hits, room)}
            entries = [chosen[entry.entry_id] for entry in entries if entry.entry_id in chosen]
        lines = [_line(entry) for entry in entries]
        return Recalled(
            text="\n".join(f"- {line}" for line in lines),
            state=core,
            hits=tuple(entry.entry_id for entry in entries),
            memories=tuple(lines),
        )


def _read_calls(completion: Completion) -> Reading[tuple[ParsedCall, ...]]:
    found = parse_tool_calls(completion.text, completion.tool_calls)
    return Reading(
        value=found.calls,
        status=found.status,
        parsed=[{"name": call.name, "arguments": call.arguments} for call in found.calls],
        errors=found.errors,
    )


def _tools() -> str:
    """The three writing tools, a JSON schema a line."""
    schemas = memory_tool_schemas(frozenset(ToolMemoryType))
    functions = [schema["function"] for schema in schemas]
    return "\n".join(
        json.dumps(function, ensure_ascii=False)
        for function in functions
        if isinstance(function, dict) and function["name"] not in _READING_TOOLS
    )


def _newest(memory: Memory, memory_type: MemoryType, shown: int) -> str:
    entries = memory.entries(Filters(memory_types=frozenset({memory_type})))
    newest = entries[len(entries) - min(shown, len(entries)) :]
    lines = "\n".join(f"[{entry.entry_id}] {_line(entry)}" for entry in newest)
    return lines or ("(empty)" if not entries else f"({len(entries)} not shown)")


def _line(entry: MemoryEntry) -> str:
    return " ".join(entry.content.split())
