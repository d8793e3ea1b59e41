"""Tool calls found in a model's reply: native, in Hermes or Qwen tags, or as plain JSON.

Arguments are parsed but not checked against any schema; the tools do that. What looks like a call but
cannot be read becomes an error written for the model, never a silently shorter list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from memquartet.core.messages import ToolCall
from memquartet.core.trajectory import TurnStatus
from memquartet.llm.parsing import MAX_CHARS, Parsed, json_values, parse_json, storable_json

MAX_CALLS = 64

_TAGGED = re.compile(r"<tool_call>(.*?)(?=</tool_call>|<tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>\n]{0,200})>(.*?)(?=</function>|<function=|\Z)", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=([^>\n]{0,200})>(.*?)(?=</parameter>|<parameter=|</function>|\Z)", re.DOTALL
)
_NAME_KEY = re.compile(r"""[{,]\s*["']?(?:name|tool|tool_name|function|tool_calls?)["']?\s*:""")
_ARGUMENTS_KEY = re.compile(r"""["']?(?:arguments|parameters|args)["']?\s*:""")
_ARGUMENT_NAMES = ("arguments", "parameters", "args")
_NAME_NAMES = ("name", "tool", "tool_name", "function")
_HINT = 'Write each call as <tool_call>{"name": "TOOL", "arguments": {...}}</tool_call>.'


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCall:
    """A call whose arguments are a JSON object; the values are not validated."""

    call_id: str
    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallsParsed:
    """The calls of one reply, in order.

    OK means that every call was read as it stood (or that there was none), REPAIRED that some needed
    repair, INVALID that at least one could not be read; the readable ones are in `calls` all the same.
    Each error is a sentence that can be sent to the model.
    """

    calls: tuple[ParsedCall, ...] = ()
    status: TurnStatus = TurnStatus.OK
    errors: tuple[str, ...] = ()


class _Unreadable(ValueError):
    """Something that looks like a call and is none."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One call, with the notes of its repair."""

    name: str
    arguments: dict[str, object]
    notes: tuple[str, ...] = ()


def parse_tool_calls(text: str, native: Iterable[ToolCall] = ()) -> ToolCallsParsed:
    """Read the tool calls of one reply; native calls win over calls written in the text.

    Values of Qwen3's XML parameters stay text unless they are JSON lists or objects. Calls found in the
    text get the ids "call_0", "call_1", and so on. At most 64 calls are read.
    """
    calls: list[ParsedCall] = []
    notes: list[str] = []
    errors: list[str] = []
    for index, (call_id, attempt) in enumerate(_attempts(text, tuple(native))):
        if index >= MAX_CALLS:
            errors.append(f"More than {MAX_CALLS} tool calls in one reply; the rest was not run.")
            break
        if isinstance(attempt, _Unreadable):
            errors.append(str(attempt))
            continue
        notes.extend(attempt.notes)
        calls.append(
            ParsedCall(call_id=call_id or f"call_{index}", name=attempt.name, arguments=attempt.arguments)
        )
    status = TurnStatus.INVALID if errors else TurnStatus.REPAIRED if notes else TurnStatus.OK
    return ToolCallsParsed(calls=tuple(calls), status=status, errors=(*errors, *notes))


def _attempts(text: str, native: tuple[ToolCall, ...]) -> Iterator[tuple[str, _Found | _Unreadable]]:
    if native:
        for call in native:
            yield call.call_id, _caught(call)
    elif len(text) > MAX_CHARS:
        if "<tool_call>" in text or "<function=" in text or _looks_like_call(text):
            yield "", _Unreadable(f"The reply is longer than {MAX_CHARS} characters. Write less. {_HINT}")
    else:
        for found in _in_text(storable_json(text)):
            yield "", found


def _caught(call: ToolCall) -> _Found | _Unreadable:
    try:
        return _call(call.name, call.arguments or "{}")
    except _Unreadable as error:
        return error


def _in_text(text: str) -> Iterator[_Found | _Unreadable]:
    if "<tool_call>" in text:
        for body in _TAGGED.findall(text):
            yield from _in_body(body)
    elif "<function=" in text:
        yield from _in_xml(text)
    elif _looks_like_call(text):
        yield from _in_json(text, bare=True)


def _in_body(body: str) -> Iterator[_Found | _Unreadable]:
    return _in_xml(body) if "<function=" in body else _in_json(body, bare=False)


def _in_xml(text: str) -> Iterator[_Found | _Unreadable]:
    matches = _FUNCTION.findall(text)
    if not matches:
        yield _Unreadable(f"The tag <function=NAME> has no closing bracket. {_HINT}")
    for name, body in matches:
        arguments: dict[str, object] = {}
        try:
            for key, value in _PARAMETER.findall(body):
                if key.strip() in arguments:
                    raise _Unreadable(f"The parameter {key.strip()[:80]!r} of {name!r} appears twice.")
                arguments[key.strip()] = _xml_value(value)
            yield _call(name.strip(), arguments)
        except _Unreadable as error:
            yield error


def _xml_value(raw: str) -> object:
    # The template puts one newline on either side of the value.
    value = raw.removeprefix("\n").removesuffix("\n")
    if value.lstrip().startswith(("{", "[")):
        parsed = parse_json(value)
        if parsed.status is TurnStatus.OK:
            return parsed.value
    return value


def _in_json(text: str, *, bare: bool) -> Iterator[_Found | _Unreadable]:
    """Read the calls of JSON text; `bare` text has no tags, so a JSON value that is no call is just text."""
    try:
        values = [value for _, _, value in json_values(text)]
    except ValueError as error:
        yield _Unreadable(f"The tool call is not valid JSON: {error}. {_HINT}")
        return
    found = [value for outer in values for value in _flat(outer)]
    # Broken JSON can hold whole values (its arguments): trust the pieces only where they are calls.
    if found and all(_is_call(value) for value in found):
        yield from (_from_value(value) for value in found)
        return
    parsed = parse_json(text)
    if parsed.status is TurnStatus.INVALID:
        yield _Unreadable(f"The tool call cannot be read: {parsed.errors[0]}. {_HINT}")
        return
    # An empty list in tags is no call either, and must not pass in silence.
    for value in list(_flat(parsed.value)) or [parsed.value]:
        if _is_call(value):
            yield _noted(_from_value(value), parsed)
        elif not bare or parsed.status is not TurnStatus.OK:
            yield _Unreadable(f"A tool call needs a name and arguments, given {str(value)[:120]!r}. {_HINT}")


def _noted(found: _Found | _Unreadable, parsed: Parsed) -> _Found | _Unreadable:
    if isinstance(found, _Unreadable):
        return found
    return _Found(found.name, found.arguments, (*parsed.errors, *found.notes))


def _flat(value: object) -> Iterator[object]:
    """The calls of a list, of {"tool_calls": [...]}, or the value itself."""
    if isinstance(value, Mapping) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    if isinstance(value, list):
        yield from value
    else:
        yield value


def _is_call(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    inner = value.get("function", value.get("tool_call"))
    if isinstance(inner, Mapping):
        return _is_call(inner)
    return any(isinstance(value.get(key), str) for key in _NAME_NAMES) and any(
        key in value for key in _ARGUMENT_NAMES
    )


def _from_value(value: object) -> _Found | _Unreadable:
    if not isinstance(value, Mapping):
        return _Unreadable(f"A tool call is a JSON object, given {str(value)[:120]!r}. {_HINT}")
    inner = value.get("function", value.get("tool_call"))
    if isinstance(inner, Mapping):
        return _from_value(inner)
    name = next(value[key] for key in _NAME_NAMES if isinstance(value.get(key), str))
    arguments = next(value[key] for key in _ARGUMENT_NAMES if key in value)
    try:
        return _call(name, arguments)
    except _Unreadable as error:
        return error


def _call(name: str, arguments: object) -> _Found:
    """Arguments arrive as an object, or as the JSON text of one, as OpenAI sends them.

    Raises:
        _Unreadable: the name is empty or the arguments are no object.
    """
    notes: tuple[str, ...] = ()
    if isinstance(arguments, str):
        parsed = parse_json(arguments)
        if parsed.status is TurnStatus.INVALID:
            raise _Unreadable(f"The arguments of {name!r} cannot be read: {parsed.errors[0]}.")
        arguments, notes = parsed.value, parsed.errors
    if not name.strip():
        raise _Unreadable(f"A tool call has no name. {_HINT}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _Unreadable(f"The arguments of {name!r} must be a JSON object, given {str(arguments)[:80]!r}.")
    return _Found(name.strip(), arguments, notes)


def _looks_like_call(text: str) -> bool:
    return _NAME_KEY.search(text) is not None and _ARGUMENTS_KEY.search(text) is not None
