"""The memory's four tools; names and arguments are those of Mem-alpha (arXiv 2509.25911).

Mem-alpha's types "semantic_memory", "episodic_memory" and "core_memory" are understood as well. Its core memory
is our short-term state: one text that is always in the prompt and can only be rewritten.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import override

from memquartet.core.memory import Delete, EntryId, Hit, Insert, MemoryOp, MemoryType, Update
from memquartet.errors import UnknownEntryError
from memquartet.memory.limits import SAID_AT
from memquartet.memory.protocols import Filters, SearchMethod
from memquartet.tools.spec import (
    ALL_MEMORY_TYPES,
    MAX_RESULT_CHARS,
    JsonObject,
    ToolContext,
    ToolFunction,
    ToolMemoryType,
    ToolResult,
    as_json,
    failed,
    succeeded,
)

MAX_TOP_K = 50
_MAX_HIT_CHARS = 1_000


def _without_suffix(value: object) -> object:
    return value.removesuffix("_memory") if isinstance(value, str) else value


def _our_method(value: object) -> object:
    return "embedding" if value == "text-embedding" else value


_LongTerm = Annotated[Literal["semantic", "episodic"], BeforeValidator(_without_suffix)]
_AnyMemory = Annotated[Literal["core", "semantic", "episodic"], BeforeValidator(_without_suffix)]
_Method = Annotated[Literal["hybrid", "bm25", "embedding"], BeforeValidator(_our_method)]
_LONG_TERM = (
    "semantic: what is so (profiles, preferences, knowledge); episodic: what happened (events with a time)"
)


class NewMemoryInsert(ToolFunction):
    """ADD: one new entry."""

    name = "new_memory_insert"
    description = "Store a new memory. The result gives its id."

    memory_type: _LongTerm = Field(description=_LONG_TERM)
    content: str = Field(description="The fact to remember, understandable on its own")

    @override
    def run(self, context: ToolContext) -> ToolResult:
        return _write(Insert(content=self.content, memory_type=MemoryType(self.memory_type)), context)


class MemoryUpdate(ToolFunction):
    """UPDATE: replace one entry's content, or the short-term state's text."""

    name = "memory_update"
    description = "Replace the text of a memory, for example when a fact has changed or can be completed."

    memory_type: _AnyMemory = Field(description=f"{_LONG_TERM}; core: the short text that is always in view")
    new_content: str = Field(description="The whole new text: what still holds of the old and what is new")
    memory_id: str = Field(default="", description="The memory's id as it was shown; not for core")

    @override
    def run(self, context: ToolContext) -> ToolResult:
        if self.memory_type == "core":
            return self._rewrite_state(context)
        entry_id = _checked_id(self.memory_id, self.memory_type, context)
        return _write(Update(entry_id=entry_id, content=self.new_content), context)

    def _rewrite_state(self, context: ToolContext) -> ToolResult:
        context.memory.set_state(self.new_content, scope=context.scope, provenance=context.provenance)
        state = context.memory.state(context.scope)
        cut = len(state.text) < len(self.new_content.strip())
        warning = {
            "warning": f"cut to {state.budget} tokens, notes included; its end is now: …{state.text[-60:]}"
        }
        return succeeded({"memory_type": "core", **(warning if cut else {})})


class MemoryDelete(ToolFunction):
    """DELETE: remove one entry; its history stays."""

    name = "memory_delete"
    description = "Remove a memory that no longer holds and that nothing replaces."

    memory_type: _LongTerm = Field(description=_LONG_TERM)
    memory_id: str = Field(description="The memory's id as it was shown")

    @override
    def run(self, context: ToolContext) -> ToolResult:
        return _write(Delete(entry_id=_checked_id(self.memory_id, self.memory_type, context)), context)


class SearchMemory(ToolFunction):
    """Look into one long-term memory, within the scope."""

    name = "search_memory"
    description = "Find stored memories, best first, with the ids that the other tools take."

    memory_type: _LongTerm = Field(description=_LONG_TERM)
    query: str = Field(description="What to look for")
    search_method: _Method = Field(
        default="hybrid", description="bm25: by words; embedding: by meaning; hybrid: by both"
    )
    top_k: int = Field(default=10, ge=1, le=MAX_TOP_K, description=f"How many at most, 1 to {MAX_TOP_K}")

    @override
    def run(self, context: ToolContext) -> ToolResult:
        filters = Filters(scope=context.scope, memory_types=frozenset({MemoryType(self.memory_type)}))
        method = SearchMethod(self.search_method)
        return _found(tuple(context.memory.search(self.query, self.top_k, filters=filters, method=method)))


FUNCTION_IMPLS: dict[str, type[ToolFunction]] = {
    tool.name: tool for tool in (NewMemoryInsert, MemoryUpdate, MemoryDelete, SearchMemory)
}
"""Name → tool."""


def memory_tool_schemas(enabled: Collection[ToolMemoryType] = ALL_MEMORY_TYPES) -> list[JsonObject]:
    """The tools in OpenAI's form; a tool without an enabled memory to work on is left out."""
    schemas = (tool.tool_schema(enabled) for tool in FUNCTION_IMPLS.values())
    return [schema for schema in schemas if schema is not None]


MEMORY_TOOL_SCHEMAS = memory_tool_schemas()
"""All tools with all memories, in OpenAI's form."""


def _write(op: MemoryOp, context: ToolContext) -> ToolResult:
    (receipt,) = context.memory.apply([op], scope=context.scope, provenance=context.provenance)
    if not receipt.applied:
        return failed(receipt.error or "the memory refused the operation", receipt=receipt)
    return succeeded({"memory_id": receipt.entry_id}, receipt=receipt)


def _checked_id(memory_id: str, memory_type: str, context: ToolContext) -> EntryId:
    """The id, once it is sure that such an entry exists and is of the named type."""
    entry = context.memory.get(memory_id, scope=context.scope)
    if entry.memory_type != memory_type:
        raise UnknownEntryError(
            f"memory {memory_id!r} is {entry.memory_type.value}, not {memory_type}: name its own memory_type"
        )
    return entry.entry_id


def _found(hits: tuple[Hit, ...]) -> ToolResult:
    """As many of the best hits as fit into the bounds of a result; `omitted` counts the others."""
    shown: list[JsonObject] = []
    room = MAX_RESULT_CHARS - 100
    for hit in hits:
        entry = hit.entry
        long = len(entry.content) > _MAX_HIT_CHARS
        row: JsonObject = {
            "memory_id": entry.entry_id,
            "content": entry.content[:_MAX_HIT_CHARS] + ("…" if long else ""),
            "time": str(entry.meta.get(SAID_AT) or entry.updated_at.isoformat()),
            "score": round(hit.score, 4),
        }
        room -= len(as_json(row)) + 2
        if room < 0:
            break
        shown.append(row)
    omitted: JsonObject = {"omitted": len(hits) - len(shown)} if len(shown) < len(hits) else {}
    return succeeded({"memories": shown, **omitted}, hits=hits)
