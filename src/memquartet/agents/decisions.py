"""Reading the manager's decisions, in any of the three forms that models are used to.

1. Ours: `{"decisions": [{"fact": 0, "op": "UPDATE", "id": "3", "text": "…"}, …]}`, one for each fact.
2. Memory-R1's (arXiv 2508.19828, figures 9 and 10): `{"memory": [{"id", "text", "event", "old_memory"}, …]}`,
   an echo of the shown memories with events, where `NONE` means NOOP.
3. Tool calls: `new_memory_insert`, `memory_update`, `memory_delete`.

The last two do not say which fact a decision is about; they are matched by the shown ids and by shared words.
Known trap of the second form: a contradiction ends as a lone DELETE and the new fact is lost; here the fact of
a DELETE is stored in the place of what was removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memquartet.core.messages import ToolCall
from memquartet.core.trajectory import Decision
from memquartet.llm.parsing import parse_json
from memquartet.llm.tool_calls import ParsedCall, parse_tool_calls
from memquartet.text.terms import index_terms

_WORDS = {
    "ADD": Decision.ADD,
    "INSERT": Decision.ADD,
    "UPDATE": Decision.UPDATE,
    "DELETE": Decision.DELETE,
    "NOOP": Decision.NOOP,
    "NONE": Decision.NOOP,
    "NO_OP": Decision.NOOP,
    "NO_OPERATION": Decision.NOOP,
    "NOCHANGE": Decision.NOOP,
}
_TOOLS = {
    "new_memory_insert": Decision.ADD,
    "memory_update": Decision.UPDATE,
    "memory_delete": Decision.DELETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One decision as the model wrote it: `short` is the shown id it names, `text` the content it gives."""

    decision: Decision
    fact: int | None = None
    short: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesRead:
    """The choices of an output by fact, None where a fact has no usable one; errors say why."""

    by_fact: tuple[Choice | None, ...]
    errors: tuple[str, ...]


def read_choices(
    output: str, calls: tuple[ToolCall, ...], facts: Sequence[str], shown: Sequence[Sequence[str]]
) -> ChoicesRead:
    """One choice for each fact out of a model's output.

    Args:
        output: the model's text.
        calls: native tool calls, if the backend gave any.
        facts: the facts' texts, in the order in which they were shown.
        shown: for each fact the short ids of the memories shown with it.
    """
    tool_calls = parse_tool_calls(output, calls)
    if tool_calls.calls:
        return _matched(_from_tools(tool_calls.calls), facts, shown, list(tool_calls.errors))
    outcome = parse_json(output)
    errors = list(outcome.errors)
    value = outcome.value
    if isinstance(value, dict) and isinstance(value.get("memory"), list):
        return _matched([_from_event(item, errors) for item in value["memory"]], facts, shown, errors)
    items = value.get("decisions") if isinstance(value, dict) else value
    if isinstance(value, dict) and "op" in value:
        items = [value]
    if not isinstance(items, list):
        errors.append('expected {"decisions": [{"fact": 0, "op": "ADD"}, …]}')
        return ChoicesRead(by_fact=(None,) * len(facts), errors=tuple(errors))
    return _placed(items, len(facts), errors)


def _placed(items: Sequence[object], count: int, errors: list[str]) -> ChoicesRead:
    """Our own form: choices name their fact, or stand in the facts' order."""
    by_fact: list[Choice | None] = [None] * count
    for position, item in enumerate(items):
        choice = _from_item(item, position, errors)
        if choice is None:
            continue
        if choice.fact is None or not 0 <= choice.fact < count:
            errors.append(f"decision {position} is about fact {choice.fact}; the facts are 0 to {count - 1}")
        elif by_fact[choice.fact] is not None:
            errors.append(f"fact {choice.fact} was decided twice; the first decision counts")
        else:
            by_fact[choice.fact] = choice
    return ChoicesRead(by_fact=tuple(by_fact), errors=tuple(errors))


def _from_item(item: object, position: int, errors: list[str]) -> Choice | None:
    """`{"fact", "op", "id", "text"}`, or the short form `"UPDATE 3: text"`."""
    if isinstance(item, str):
        head, _, text = item.partition(":")
        word, _, short = head.strip().partition(" ")
        item = {"op": word, "id": short.strip() or None, "text": text.strip() or None}
    if not isinstance(item, dict):
        errors.append(f"decision {position} is not an object: {str(item)[:80]!r}")
        return None
    decision = _word(item.get("op", item.get("event")))
    if decision is None:
        errors.append(
            f'decision {position}: "op" must be ADD, UPDATE, DELETE or NOOP, got {item.get("op")!r}'
        )
        return None
    fact = item.get("fact", position)
    return Choice(
        decision=decision,
        fact=int(fact) if str(fact).isdecimal() and len(str(fact)) < 6 else None,
        short=_short(item.get("id")),
        text=_text(item.get("text")),
    )


def _from_event(item: object, errors: list[str]) -> Choice | None:
    """One element of Memory-R1's echo."""
    decision = _word(item.get("event")) if isinstance(item, dict) else None
    if not isinstance(item, dict) or decision is None:
        errors.append(
            f'expected {{"id", "text", "event"}} with event ADD, UPDATE, DELETE or NONE: {str(item)[:80]!r}'
        )
        return None
    # An ADD carries a made-up id, a DELETE the words that it removes: neither says anything here.
    return Choice(
        decision=decision,
        short=None if decision is Decision.ADD else _short(item.get("id")),
        text=None if decision is Decision.DELETE else _text(item.get("text")),
    )


def _from_tools(calls: Sequence[ParsedCall]) -> list[Choice | None]:
    """Tool calls as choices; calls of other tools are left to the tool executor and count for nothing here."""
    return [
        Choice(
            decision=_TOOLS[call.name],
            short=_short(call.arguments.get("memory_id")),
            text=_text(call.arguments.get("content", call.arguments.get("new_content"))),
        )
        for call in calls
        if call.name in _TOOLS
    ]


def _matched(
    choices: Sequence[Choice | None], facts: Sequence[str], shown: Sequence[Sequence[str]], errors: list[str]
) -> ChoicesRead:
    """Give unnumbered choices to facts: first those that change something, by shared words, then the NOOPs."""
    by_fact: list[Choice | None] = [None] * len(facts)
    words = [frozenset(index_terms(fact)) for fact in facts]
    changes = [c for c in choices if c is not None and c.decision is not Decision.NOOP]
    for choice in sorted(changes, key=lambda c: c.decision is Decision.DELETE):
        free = [i for i, taken in enumerate(by_fact) if _may_take(choice, taken, shown[i])]
        if not free:
            named = choice.short or (choice.text or "")[:60]
            errors.append(f"{choice.decision} {named!r} belongs to no fact that is left")
            continue
        wanted = frozenset(index_terms(choice.text or ""))
        best = max(free, key=lambda i: (_overlap(words[i], wanted), -i))
        added = by_fact[best]
        by_fact[best] = choice if added is None else replace(choice, text=added.text)
    quiet = {c.short for c in choices if c is not None and c.decision is Decision.NOOP}
    for i, own in enumerate(shown):
        if by_fact[i] is None and own and quiet.issuperset(own):
            by_fact[i] = Choice(decision=Decision.NOOP, short=own[0])
    return ChoicesRead(by_fact=tuple(by_fact), errors=tuple(errors))


def _may_take(choice: Choice, taken: Choice | None, shown: Sequence[str]) -> bool:
    """Whether a fact can have this choice. A removal beside an ADD is one decision: the fact takes the place."""
    if choice.decision is not Decision.ADD and choice.short not in shown:
        return False
    return taken is None or (choice.decision is Decision.DELETE and taken.decision is Decision.ADD)


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def _word(value: object) -> Decision | None:
    return _WORDS.get(value.strip().upper().replace(" ", "_")) if isinstance(value, str) else None


def _short(value: object) -> str | None:
    """A short id is a small number, given as text or as a number, perhaps in brackets."""
    return (
        str(value).strip().strip("[]")
        if isinstance(value, str | int) and not isinstance(value, bool)
        else None
    )


def _text(value: object) -> str | None:
    return " ".join(value.split()) if isinstance(value, str) else None
