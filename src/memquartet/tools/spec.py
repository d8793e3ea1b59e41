"""What a tool is: a name, typed parameters, and something to do with a memory."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from memquartet.core.memory import (
    Hit,
    MemoryEntry,
    MemoryOp,
    MemoryState,
    Provenance,
    Receipt,
    Scope,
)
from memquartet.memory.protocols import Filters, SearchMethod

MAX_RESULT_CHARS = 8_000
"""Characters of a result that a model is shown."""

JsonObject = dict[str, object]


class ToolMemoryType(StrEnum):
    """The memories that tools name: the two long-term ones and the short-term state."""

    CORE = "core"
    """`MemoryState`: one text, always in the prompt; it can be rewritten, nothing else."""
    SEMANTIC = "semantic"
    EPISODIC = "episodic"


ALL_MEMORY_TYPES = frozenset(ToolMemoryType)


class ToolMemory(Protocol):
    """What the tools need of `memquartet.Memory`."""

    def apply(self, ops: Sequence[MemoryOp], *, scope: Scope, provenance: Provenance) -> list[Receipt]:
        """Carry out each operation, or say in its receipt why not."""
        ...

    def search(self, query: str, top_k: int, *, filters: Filters, method: SearchMethod) -> list[Hit]:
        """The best entries for a query, best first."""
        ...

    def get(self, id: str, *, scope: Scope) -> MemoryEntry:
        """One entry.

        Raises:
            UnknownEntryError: there is none of this id within `scope`.
        """
        ...

    def state(self, scope: Scope) -> MemoryState:
        """The short-term state."""
        ...

    def set_state(self, text: str, *, scope: Scope, provenance: Provenance) -> object:
        """Replace the short-term state's text; what is over its budget is cut off at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """On which memory, for whom and why a tool runs."""

    memory: ToolMemory
    scope: Scope
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call led to. `text` is JSON for the model; `ok` is false when nothing was done."""

    text: str
    ok: bool
    receipt: Receipt | None = None
    hits: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument as the model is told of it; `enum` is empty when any value of the type may stand."""

    name: str
    type: str
    description: str
    required: bool = True
    enum: tuple[str, ...] = ()

    def schema(self) -> JsonObject:
        """The JSON schema of the argument."""
        choices: JsonObject = {"enum": list(self.enum)} if self.enum else {}
        return {"type": self.type, "description": self.description, **choices}


class ToolFunction(BaseModel, ABC):
    """A function that a language model can call: the class is the tool, an instance is a checked call.

    A subclass names the tool, and its fields are the arguments; one of them is `memory_type`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    description: ClassVar[str]

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The arguments as the model is told of them, in the order of the fields."""
        schema = cls.model_json_schema()
        return tuple(
            Parameter(
                name=name,
                type=field["type"],
                description=field["description"],
                required=name in schema.get("required", ()),
                enum=tuple(field.get("enum", ())),
            )
            for name, field in schema["properties"].items()
        )

    @classmethod
    def memory_types(cls, enabled: Collection[ToolMemoryType]) -> tuple[str, ...]:
        """The memories this tool can work on among the enabled ones."""
        choices = next(one.enum for one in cls.parameters() if one.name == "memory_type")
        return tuple(name for name in choices if name in enabled)

    @classmethod
    def tool_schema(cls, enabled: Collection[ToolMemoryType] = ALL_MEMORY_TYPES) -> JsonObject | None:
        """The tool in OpenAI's form, offering only enabled memories; None when none is left to work on."""
        types = cls.memory_types(enabled)
        if not types:
            return None
        properties = {one.name: one.schema() for one in cls.parameters()}
        properties["memory_type"]["enum"] = list(types)
        return {
            "type": "function",
            "function": {
                "name": cls.name,
                "description": cls.description,
                "parameters": {
                    "type": "object",
                    "properties": properties,
                    "required": [one.name for one in cls.parameters() if one.required],
                    "additionalProperties": False,
                },
            },
        }

    @abstractmethod
    def run(self, context: ToolContext) -> ToolResult:
        """Do it. What the memory refuses in a receipt is a result, not an exception.

        Raises:
            ConfigError, UnknownEntryError: the model asked for what cannot be done; `execute` turns the
                message into a result.
            WorldError: disk or network failed.
        """


def succeeded(
    values: Mapping[str, object], *, receipt: Receipt | None = None, hits: tuple[Hit, ...] = ()
) -> ToolResult:
    """A result that the model reads as done."""
    return ToolResult(text=as_json({"ok": True, **values}), ok=True, receipt=receipt, hits=hits)


def failed(error: str, *, receipt: Receipt | None = None) -> ToolResult:
    """A result that tells the model what to do better."""
    short = error if len(error) <= MAX_RESULT_CHARS // 4 else error[: MAX_RESULT_CHARS // 4] + "…"
    return ToolResult(text=as_json({"ok": False, "error": short}), ok=False, receipt=receipt)


def as_json(values: Mapping[str, object]) -> str:
    """Compact JSON, with other scripts as they are."""
    return json.dumps(values, ensure_ascii=False, separators=(", ", ": "))
