"""Runs a tool call that a model wrote; whatever is wrong with it goes back as text."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from memquartet.core.memory import EVERYWHERE, Provenance, Scope
from memquartet.errors import ConfigError, UnknownEntryError
from memquartet.llm.tool_calls import ParsedCall
from memquartet.tools.memory_tools import FUNCTION_IMPLS
from memquartet.tools.spec import (
    ALL_MEMORY_TYPES,
    ToolContext,
    ToolFunction,
    ToolMemory,
    ToolMemoryType,
    ToolResult,
    failed,
)

TOOL_PROVENANCE = Provenance(actor="tool")
_MAX_GIVEN_CHARS = 80


def execute(
    call: ParsedCall,
    memory: ToolMemory,
    *,
    scope: Scope = EVERYWHERE,
    enabled: Collection[ToolMemoryType] = ALL_MEMORY_TYPES,
    provenance: Provenance = TOOL_PROVENANCE,
) -> ToolResult:
    """Check the arguments, run the tool within `scope`, and say what came of it.

    An unknown tool, wrong arguments, a memory that is not enabled, an unknown id and a refusal by the
    memory are results with `ok` false; nothing has changed then.

    Raises:
        WorldError: disk or network failed.
    """
    usable = {name: tool for name, tool in FUNCTION_IMPLS.items() if tool.memory_types(enabled)}
    tool = usable.get(call.name)
    if tool is None:
        return failed(f"there is no tool {_given(call.name)}; the tools are {', '.join(usable) or 'none'}")
    context = ToolContext(memory=memory, scope=scope, provenance=provenance)
    try:
        checked = tool.model_validate(call.arguments)
        _check_enabled(checked, enabled)
        return checked.run(context)
    except ValidationError as error:
        return failed(_told(tool, error))
    except (ConfigError, UnknownEntryError) as error:
        return failed(str(error))


def _check_enabled(call: ToolFunction, enabled: Collection[ToolMemoryType]) -> None:
    memory_type = call.model_dump()["memory_type"]
    if memory_type not in enabled:
        names = ", ".join(map(repr, call.memory_types(enabled)))
        raise ConfigError(f"argument 'memory_type': {memory_type!r} is switched off, use {names}")


def _told(tool: type[ToolFunction], error: ValidationError) -> str:
    """Each wrong argument in a clause: what was expected, what was given."""
    clauses = []
    for fault in error.errors(include_url=False, include_context=False):
        name = str(fault["loc"][0]) if fault["loc"] else "?"
        match fault["type"]:
            case "missing":
                clauses.append(f"argument {name!r} is missing")
            case "extra_forbidden":
                known = ", ".join(one.name for one in tool.parameters())
                clauses.append(f"there is no argument {_given(name)}, only {known}")
            case _:
                clauses.append(f"argument {name!r}: {fault['msg']}, given {_given(fault['input'])}")
    return f"{tool.name} was not run: " + "; ".join(clauses)


def _given(value: object) -> str:
    text = repr(value[: _MAX_GIVEN_CHARS + 1] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_GIVEN_CHARS else text[:_MAX_GIVEN_CHARS] + "…"
