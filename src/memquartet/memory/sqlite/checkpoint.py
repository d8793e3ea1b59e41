"""Contents in columns: the part of a checkpoint that opens a large file fast.

A checkpoint is written and read by the same file's journal, which can always make it again, so what cannot be
read is dropped instead of repaired.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rpds import HashTrieMap

from memquartet.core.memory import FixedMeta, MemoryEntry, MemoryType
from memquartet.errors import InputError
from memquartet.memory.codec import (
    decode_scope,
    decode_state,
    dumps,
    encode_scope,
    encode_state,
    loads,
)
from memquartet.memory.contents import Contents

LAYOUT = 1
"""Raised whenever the columns change."""


def pack_contents(contents: Contents) -> bytes:
    """The contents as bytes for `unpack_contents`."""
    entries = list(contents.ordered())
    scopes = {scope: number for number, scope in enumerate(dict.fromkeys(entry.scope for entry in entries))}
    return dumps(
        {
            "layout": LAYOUT,
            "seq": contents.seq,
            "time": contents.time.isoformat(),
            "last_number": contents.last_number,
            "states": [
                (encode_scope(scope), encode_state(state)) for scope, state in contents.states.items()
            ],
            "scopes": [encode_scope(scope) for scope in scopes],
            "ids": [entry.entry_id for entry in entries],
            "types": [entry.memory_type.value for entry in entries],
            "texts": [entry.content for entry in entries],
            "scope": [scopes[entry.scope] for entry in entries],
            "meta": [dict(entry.meta) for entry in entries],
            "created": [entry.created_at.isoformat() for entry in entries],
            "updated": [entry.updated_at.isoformat() for entry in entries],
        }
    ).encode()


def unpack_contents(data: bytes) -> Contents:
    """The contents again.

    Raises:
        InputError: the bytes are damaged, or of another layout.
    """
    packed: dict[str, Any] = loads(data.decode(errors="replace"))
    if packed.get("layout") != LAYOUT:
        raise InputError(f"a checkpoint of layout {packed.get('layout')!r}, expected {LAYOUT}")
    try:
        return Contents(
            seq=packed["seq"],
            time=datetime.fromisoformat(packed["time"]),
            last_number=packed["last_number"],
            entries=HashTrieMap({entry.entry_id: entry for entry in _entries(packed)}),
            states=HashTrieMap(
                {decode_scope(scope): decode_state(state) for scope, state in packed["states"]}
            ),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"a damaged checkpoint: {error}") from error


# Any: the columns are JSON; `Contents.after` finds out when one does not fit the journal.
def _entries(packed: dict[str, Any]) -> list[MemoryEntry]:
    scopes = [decode_scope(scope) for scope in packed["scopes"]]
    types = {kind.value: kind for kind in MemoryType}
    time = datetime.fromisoformat
    names = ("ids", "types", "texts", "scope", "meta", "created", "updated")
    return [
        MemoryEntry(
            entry_id=entry_id,
            memory_type=types[kind],
            content=text,
            scope=scopes[scope],
            meta=FixedMeta(meta),
            created_at=time(created),
            updated_at=time(updated),
        )
        for entry_id, kind, text, scope, meta, created, updated in zip(
            *(packed[name] for name in names), strict=True
        )
    ]
