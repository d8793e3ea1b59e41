"""Text from a model to one JSON value, within limits and with bounded repair.

The order is fixed: the whole text as strict JSON, then a Markdown fence, then the largest JSON value
inside prose, then repair. Nothing here raises for any text, and the time is bounded: strict parsing is
linear, repair is refused above `MAX_REPAIR_CHARS`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import json_repair

from memquartet.core.trajectory import TurnStatus

MAX_CHARS = 64_000
MAX_DEPTH = 64
MAX_REPAIR_CHARS = 16_000
"""json-repair is quadratic on some inputs; this many characters keep the worst case near one second."""

_MAX_STARTS = 32
# Possessive: a long run of blanks after the fence would be quadratic.
_FENCE = re.compile(r"```[ \t]*+\w*+[ \t]*+\r?\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_START = re.compile(r"[{\[]")
# An opening that means JSON: prose writes "[1]" or "{name}", hardly ever these.
_JSON_START = re.compile(r"\{\s*[\"'}]|\[\s*[\"'{\[]")
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|[\ud800-\udfff]"
)
# Behind an even number of backslashes: in "\\u0000" the first one escapes the second.
_NUL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*+)\\u0000")
# An unclosed string runs to the end of the text, so that the scan stays linear.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A JSON value found in text; `value` is None and `errors` is not empty when the status is INVALID."""

    value: object
    status: TurnStatus
    errors: tuple[str, ...] = ()


class _Rejected(ValueError):
    """Well-formed JSON that says something we refuse to read; repair must not paper over it."""


def parse_json(text: str, *, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> Parsed:
    """Find the one JSON value that `text` holds.

    Fences and prose around the value, trailing commas, single quotes and a truncated end are REPAIRED,
    and `errors` says what was done. Duplicate keys, NaN and infinities are INVALID: no reading of them
    is safe. Without any bracket in the text, only a text that is JSON as a whole has a value.

    Args:
        text: what the model wrote, of any size.
        max_chars: longer texts are INVALID.
        max_depth: deeper nesting of lists and objects is INVALID.
    """
    if len(text) > max_chars:
        return _invalid(f"the text has {len(text)} characters, more than the limit of {max_chars}")
    text = storable_json(text).strip().removeprefix("\ufeff")
    if nesting(text) > max_depth:
        return _invalid(f"lists and objects nest deeper than {max_depth} levels")
    try:
        return _strict_value(text) or _repaired(text, max_depth)
    except _Rejected as error:
        return _invalid(str(error))


def encodable(text: str) -> str:
    """`text` with lone surrogates, raw or as JSON escapes, replaced by U+FFFD: files and servers take UTF-8."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def storable(text: str) -> str:
    """What a model wrote, in characters that a memory stores and searches: U+FFFD for lone surrogates, blanks for NULs.

    A caller who hands over such characters is told so; a model's text is data and must not end a run.
    """
    return encodable(text).replace("\0", " ")


def storable_json(text: str) -> str:
    """As `storable`, for JSON text, where a NUL may also hide in an escape."""
    return _NUL_ESCAPE.sub(r"\1 ", storable(text))


def json_values(text: str) -> Iterator[tuple[int, int, object]]:
    """Yield (start, end, value) for each strict JSON list or object inside `text`, outermost only.

    Looks at no more than 32 opening brackets that lead nowhere, so the time is linear in the text.

    Raises:
        ValueError: a value has duplicate keys, NaN or an infinity.
    """
    position, failures = 0, 0
    while failures < _MAX_STARTS and (match := _START.search(text, position)):
        start = match.start()
        try:
            value, end = _DECODER.raw_decode(text, start)
        except _Rejected:
            raise
        except (ValueError, RecursionError):
            failures += 1
            position = start + 1
        else:
            yield start, end, value
            position = end


def nesting(text: str) -> int:
    """How deep lists and objects nest in `text`, read as JSON."""
    depth = deepest = 0
    for match in _STRUCTURE.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    return deepest


def _strict_value(text: str) -> Parsed | None:
    try:
        return Parsed(value=_DECODER.decode(text), status=TurnStatus.OK)
    except _Rejected:
        raise
    except (ValueError, RecursionError):
        pass
    for fenced in _FENCE.findall(text):
        whole = _outermost(fenced)
        if whole is not None:
            return _found(whole, "took the JSON out of a Markdown fence")
    whole = _outermost(text)
    return None if whole is None else _found(whole, "took the JSON out of the text around it")


def _outermost(text: str) -> object | None:
    """The largest strict value, or None where `text` also holds broken JSON."""
    spans = list(json_values(text))
    covered = [(start, end) for start, end, _ in spans]
    for match in _JSON_START.finditer(text):
        if not any(start <= match.start() < end for start, end in covered[:_MAX_STARTS]):
            return None
    return max(spans, key=lambda span: span[1] - span[0], default=(0, 0, None))[2]


def _repaired(text: str, max_depth: int) -> Parsed:
    match = _JSON_START.search(text) or _START.search(text)
    if match is None:
        return _invalid("found no JSON object or list in the text")
    broken = text[match.start() :]
    reason = _why_broken(broken)
    if len(broken) > MAX_REPAIR_CHARS:
        return _invalid(
            f"not valid JSON ({reason}), and longer than the {MAX_REPAIR_CHARS} that are repaired"
        )
    # The repairer disagrees with us about where strings end, so every opener counts.
    if sum(broken.count(opener) - broken.count(closer) for opener, closer in ("[]", "{}", "()")) > max_depth:
        return _invalid(f"not valid JSON ({reason}), and too many unclosed brackets to repair")
    try:
        value = json_repair.loads(broken, skip_json_loads=True)
        # The repairer also reads escapes that JSON does not have, such as \x00.
        value = _DECODER.decode(_NUL_ESCAPE.sub(r"\1 ", json.dumps(value)))
    except (ValueError, RecursionError, IndexError, KeyError, TypeError, AttributeError) as error:
        return _invalid(f"not valid JSON ({reason}), and repair failed: {error}")
    if not isinstance(value, dict | list) or not value:
        return _invalid(f"not valid JSON: {reason}")
    return Parsed(value=value, status=TurnStatus.REPAIRED, errors=(f"repaired malformed JSON: {reason}",))


def _why_broken(text: str) -> str:
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return "text around the value"


def _found(value: object, how: str) -> Parsed:
    return Parsed(value=value, status=TurnStatus.REPAIRED, errors=(how,))


def _invalid(error: str) -> Parsed:
    return Parsed(value=None, status=TurnStatus.INVALID, errors=(error,))


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _Rejected(f"the key {key[:80]!r} appears twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Rejected(f"{name} is not a JSON number")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise _Rejected(f"the number {literal[:40]!r} is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite)
