"""Entries, journal records and states as JSON-ready values and as short texts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from memquartet.cli.screen import Screen, one_line
from memquartet.core.memory import MemoryEntry, MemoryState, Scope
from memquartet.errors import ConfigError
from memquartet.memory.journal import JournalRecord, StateChange
from memquartet.memory.limits import SAID_AT
from memquartet.text.terms import words

Json = dict[str, object]


def scope_json(scope: Scope) -> Json:
    """The scope's three parts; null admits or means none."""
    return {"user_id": scope.user_id, "agent_id": scope.agent_id, "run_id": scope.run_id}


def entry_json(entry: MemoryEntry) -> Json:
    """An entry, times in ISO 8601."""
    return {
        "id": entry.entry_id,
        "type": entry.memory_type.value,
        "content": entry.content,
        "scope": scope_json(entry.scope),
        "meta": dict(entry.meta),
        "created_at": entry.created_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
    }


def state_json(state: MemoryState) -> Json:
    """A short-term memory; the budget in tokens."""
    return {"text": state.text, "notes": list(state.notes), "budget": state.budget}


def record_json(record: JournalRecord) -> Json:
    """A journal record with its full provenance."""
    why = record.provenance
    value: Json = {
        "seq": record.seq,
        "time": record.time.isoformat(),
        "operation": record.op.kind,
        "scope": scope_json(record.scope),
        "undoes": record.undoes,
        "provenance": {
            "actor": why.actor,
            "origin": why.origin,
            "source": why.source,
            "model": why.model,
            "seed": why.seed,
            "prompt": why.prompt,
            "raw_output": why.raw_output,
        },
    }
    if isinstance(record.op, StateChange):
        return value | {"before": state_json(record.op.before), "after": state_json(record.op.after)}
    return value | {
        "before": entry_json(record.before) if record.before else None,
        "after": entry_json(record.after) if record.after else None,
    }


def counted(number: int, noun: str) -> str:
    """As "1 fact" or "12,000 facts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def clipped(text: str, limit: int = 160) -> str:
    """The text on one line, cut where it gets long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def day_and_time(time: datetime) -> str:
    """As "2024-05-08 09:30:12", in the zone of this machine."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def scope_text(scope: Scope) -> str:
    """As "user=ann run=7"; "—" when nobody's in particular."""
    parts = {"user": scope.user_id, "agent": scope.agent_id, "run": scope.run_id}
    return " ".join(f"{name}={value}" for name, value in parts.items() if value is not None) or "—"


def entry_table(entries: Sequence[MemoryEntry]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table of entries; time of saying and scope only where some entry has them."""
    values = {
        "ID": [str(entry.entry_id) for entry in entries],
        "TYPE": [entry.memory_type.value for entry in entries],
        "SAID": [str(entry.meta.get(SAID_AT, "—"))[:10] for entry in entries],
        "CHANGED": [day_and_time(entry.updated_at) for entry in entries],
        "SCOPE": [scope_text(entry.scope) for entry in entries],
        "CONTENT": [entry.content for entry in entries],
    }
    told = {
        name: cells
        for name, cells in values.items()
        if name not in {"SAID", "SCOPE"} or any(c != "—" for c in cells)
    }
    return list(told), [list(row) for row in zip(*told.values(), strict=True)]


def change_text(record: JournalRecord) -> str:
    """What a record did, in one line."""
    undone = f"undo of {record.undoes}: " if record.undoes else ""
    if isinstance(record.op, StateChange):
        return f"{undone}short-term memory: {record.op.after.text}"
    before, after = record.before, record.after
    if before and after:
        return f"{undone}{before.content} → {after.content}"
    if after:
        return f"{undone}new: {after.content}"
    return f"{undone}deleted: {before.content}" if before else f"{undone}nothing to do"


def parse_moment(text: str) -> int | datetime:
    """A journal record's number, or a time; one without a zone is local.

    Raises:
        ConfigError: neither.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise ConfigError(
            f"no moment {text!r}: give the number of a journal record, or a time like 2024-05-08T09:30:00"
        ) from None


def warn_of_wordless(query: str, screen: Screen) -> None:
    """Say why a query that found nothing never could, if it holds no word: emoji are not indexed."""
    if not words(query):
        screen.warn(
            f"{one_line(query)!r} holds no word or number, so there is nothing to search by: use words"
        )
