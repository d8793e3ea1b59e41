"""Records, entries and states as JSON: the form of the journal in files and in exports.

Parts that have their default value are left out. Reading checks every value, because a file is data from
outside: anything unexpected is an `InputError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import TypeVar, cast

from memquartet.core.memory import (
    DIRECT,
    EVERYWHERE,
    Delete,
    EntryId,
    FixedMeta,
    Insert,
    MemoryEntry,
    MemoryState,
    MemoryType,
    Meta,
    MetaValue,
    Noop,
    Provenance,
    Scope,
    Update,
)
from memquartet.errors import InputError
from memquartet.memory.journal import Change, JournalRecord, StateChange
from memquartet.memory.limits import entry_number

FORMAT_VERSION = 1
"""Of exports and of the records in a file."""

Json = dict[str, object]
T = TypeVar("T")


def dumps(value: object) -> str:
    """Compact JSON on one line; refuses NaN, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def loads(line: str) -> Json:
    """One JSON object.

    Raises:
        InputError: it is no JSON object, or nested too deeply.
    """
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            dumps(value).encode()  # half of a surrogate pair could be stored nowhere
    except ValueError as error:
        raise InputError(f"not JSON that can be stored: {error}") from None
    except RecursionError:
        raise InputError("JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, got {type(value).__name__}")
    return value


def encode_record(record: JournalRecord) -> Json:
    """A record as JSON-ready values."""
    encoded: Json = {"seq": record.seq, "time": record.time.isoformat()}
    if record.scope != EVERYWHERE:
        encoded["scope"] = encode_scope(record.scope)
    if record.provenance != DIRECT:
        encoded["provenance"] = encode_provenance(record.provenance)
    encoded["op"] = _encode_change(record.op)
    if record.before is not None:
        encoded["before"] = encode_entry(record.before)
    if record.after is not None:
        encoded["after"] = encode_entry(record.after)
    if record.undoes is not None:
        encoded["undoes"] = record.undoes
    return encoded


def decode_record(encoded: Json) -> JournalRecord:
    """The record again.

    Raises:
        InputError: a part is missing, unknown or of another type.
    """
    _known(encoded, "seq", "time", "scope", "provenance", "op", "before", "after", "undoes")
    before, after = encoded.get("before"), encoded.get("after")
    return JournalRecord(
        seq=_get(encoded, "seq", int),
        time=_time(encoded, "time"),
        scope=decode_scope(_get(encoded, "scope", dict, {})),
        provenance=decode_provenance(_get(encoded, "provenance", dict, {})),
        op=_decode_change(_get(encoded, "op", dict)),
        before=None if before is None else decode_entry(_get(encoded, "before", dict)),
        after=None if after is None else decode_entry(_get(encoded, "after", dict)),
        undoes=_optional(encoded, "undoes", int),
    )


def encode_provenance(provenance: Provenance) -> Json:
    """A provenance as JSON-ready values, without what is empty."""
    return {
        field.name: value
        for field in fields(Provenance)
        if (value := getattr(provenance, field.name)) != field.default
    }


def decode_provenance(encoded: Json) -> Provenance:
    """The provenance again.

    Raises:
        InputError: a part is unknown or of another type.
    """
    if not encoded:
        return DIRECT
    _known(encoded, *(field.name for field in fields(Provenance)))
    texts = {name: _get(encoded, name, str) for name in encoded if name != "seed"}
    return Provenance(**texts, seed=_optional(encoded, "seed", int))


def encode_entry(entry: MemoryEntry) -> Json:
    """An entry as JSON-ready values."""
    encoded: Json = {"id": entry.entry_id, "type": entry.memory_type.value, "content": entry.content}
    if entry.scope != EVERYWHERE:
        encoded["scope"] = encode_scope(entry.scope)
    if entry.meta:
        encoded["meta"] = dict(entry.meta)
    encoded["created"] = entry.created_at.isoformat()
    if entry.updated_at != entry.created_at:
        encoded["updated"] = entry.updated_at.isoformat()
    return encoded


def decode_entry(encoded: Json) -> MemoryEntry:
    """The entry again.

    Raises:
        InputError: a part is missing, unknown or of another type.
    """
    _known(encoded, "id", "type", "content", "scope", "meta", "created", "updated")
    created = _time(encoded, "created")
    return MemoryEntry(
        entry_id=_entry_id(encoded, "id"),
        memory_type=_memory_type(encoded),
        content=_get(encoded, "content", str),
        scope=decode_scope(_get(encoded, "scope", dict, {})),
        meta=_decode_meta(_get(encoded, "meta", dict, {})),
        created_at=created,
        updated_at=_time(encoded, "updated") if "updated" in encoded else created,
    )


def encode_scope(scope: Scope) -> Json:
    """A scope as JSON-ready values, without its open parts."""
    return {
        name: value
        for name in ("user_id", "agent_id", "run_id")
        if (value := getattr(scope, name)) is not None
    }


def decode_scope(encoded: Json) -> Scope:
    """The scope again.

    Raises:
        InputError: a part is unknown or not text.
    """
    if not encoded:
        return EVERYWHERE
    _known(encoded, "user_id", "agent_id", "run_id")
    return Scope(
        user_id=_optional(encoded, "user_id", str),
        agent_id=_optional(encoded, "agent_id", str),
        run_id=_optional(encoded, "run_id", str),
    )


def encode_state(state: MemoryState) -> Json:
    """A state as JSON-ready values."""
    return {"text": state.text, "notes": list(state.notes), "budget": state.budget}


def decode_state(encoded: Json) -> MemoryState:
    """The state again.

    Raises:
        InputError: a part is missing, unknown or of another type.
    """
    _known(encoded, "text", "notes", "budget")
    notes = _get(encoded, "notes", list)
    if not all(isinstance(note, str) for note in notes):
        raise InputError("'notes' must be a list of texts")
    return MemoryState(
        text=_get(encoded, "text", str),
        notes=tuple(cast(list[str], notes)),
        budget=_get(encoded, "budget", int),
    )


def _encode_change(op: Change) -> Json:
    encoded: Json = {"kind": op.kind}
    match op:
        case Insert():
            encoded |= {"content": op.content, "type": op.memory_type.value}
        case Update():
            encoded |= {"id": op.entry_id, "content": op.content}
        case Delete():
            encoded["id"] = op.entry_id
        case Noop():
            pass
        case StateChange():
            encoded |= {"before": encode_state(op.before), "after": encode_state(op.after)}
    match op:
        case Insert(entry_id=str()) | Noop(entry_id=str()):
            encoded["id"] = op.entry_id
        case _:
            pass
    if isinstance(op, Insert) and op.meta:
        encoded["meta"] = dict(op.meta)
    if isinstance(op, Update) and op.meta is not None:
        encoded["meta"] = dict(op.meta)
    return encoded


def _decode_change(encoded: Json) -> Change:
    kind = _get(encoded, "kind", str)
    match kind:
        case "insert":
            _known(encoded, "kind", "id", "content", "type", "meta")
            return Insert(
                content=_get(encoded, "content", str),
                memory_type=_memory_type(encoded),
                meta=_decode_meta(_get(encoded, "meta", dict, {})),
                entry_id=_entry_id(encoded, "id") if "id" in encoded else None,
            )
        case "update":
            _known(encoded, "kind", "id", "content", "meta")
            return Update(
                entry_id=_entry_id(encoded, "id"),
                content=_get(encoded, "content", str),
                meta=_decode_meta(_get(encoded, "meta", dict)) if "meta" in encoded else None,
            )
        case "delete":
            _known(encoded, "kind", "id")
            return Delete(entry_id=_entry_id(encoded, "id"))
        case "noop":
            _known(encoded, "kind", "id")
            return Noop(entry_id=_entry_id(encoded, "id") if "id" in encoded else None)
        case "state":
            _known(encoded, "kind", "before", "after")
            return StateChange(
                before=decode_state(_get(encoded, "before", dict)),
                after=decode_state(_get(encoded, "after", dict)),
            )
        case _:
            raise InputError(f"unknown operation {kind!r}: expected insert, update, delete, noop or state")


def _decode_meta(encoded: Json) -> Meta:
    for key, value in encoded.items():
        if not isinstance(value, str | int | float | bool | None):
            raise InputError(f"meta {key!r} must be a plain value, got {type(value).__name__}")
    return FixedMeta(cast(dict[str, MetaValue], encoded))


def _memory_type(encoded: Json) -> MemoryType:
    name = _get(encoded, "type", str)
    try:
        return MemoryType(name)
    except ValueError:
        raise InputError(f"unknown memory type {name!r}") from None


def _entry_id(encoded: Json, key: str) -> EntryId:
    value = encoded.get(key)
    if entry_number(value) is None:
        raise InputError(f"{key!r} must be the id of an entry like 'm1', got {value!r}")
    return EntryId(cast(str, value))


def _time(encoded: Json, key: str) -> datetime:
    text = _get(encoded, key, str)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{key!r} must be an ISO 8601 time, got {text!r}") from None
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise InputError(f"{key!r} needs a time zone, got {text!r}")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise InputError(f"{key!r} is outside of the years 1 to 9999 in UTC: {text!r}") from None


def _known(encoded: Mapping[str, object], *names: str) -> None:
    if unknown := encoded.keys() - set(names):
        raise InputError(f"unknown keys {sorted(unknown)!r}: expected some of {', '.join(names)}")


def _get(encoded: Mapping[str, object], key: str, kind: type[T], default: T | None = None) -> T:
    value = encoded.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        found = "nothing" if value is None else type(value).__name__
        raise InputError(f"{key!r} must be {_JSON_NAMES[kind]}, got {found}")
    return value


def _optional(encoded: Mapping[str, object], key: str, kind: type[T]) -> T | None:
    return None if encoded.get(key) is None else _get(encoded, key, kind)


_JSON_NAMES: Mapping[type, str] = {int: "an integer", str: "text", dict: "an object", list: "a list"}
