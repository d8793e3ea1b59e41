"""What the journal tells about time: where a moment lies in it, what changed between two, how to take one back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from memquartet.core.memory import (
    Delete,
    EntryId,
    Insert,
    MemoryEntry,
    MemoryOp,
    MemoryState,
    Noop,
    Provenance,
    Scope,
    Update,
)
from memquartet.errors import ConfigError
from memquartet.memory.contents import Contents
from memquartet.memory.journal import JournalRecord, RecordReader, StateChange
from memquartet.memory.limits import aware

Moment = int | datetime
"""A journal record's `seq` (0: before the first), or a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChange:
    """One entry at two moments."""

    before: MemoryEntry
    after: MemoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDifference:
    """The short-term memory of one scope at two moments."""

    scope: Scope
    before: MemoryState
    after: MemoryState


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDiff:
    """What differs between two moments; what was changed and changed back is not in it."""

    added: tuple[MemoryEntry, ...]
    removed: tuple[MemoryEntry, ...]
    changed: tuple[EntryChange, ...]
    states: tuple[StateDifference, ...]


def seq_at(journal: RecordReader, moment: Moment, head: int) -> int:
    """The last record at or before the moment.

    Raises:
        ConfigError: a `seq` that is not in the journal, or a time without a time zone.
    """
    if isinstance(moment, datetime):
        time = aware(moment, "a moment")
        return bisect_right(range(1, head + 1), time, key=lambda seq: _record(journal, seq).time)
    if type(moment) is not int or not 0 <= moment <= head:
        raise ConfigError(f"no journal record {moment!r}: the journal goes from 1 to {head} (0 is before it)")
    return moment


def difference(records: Iterable[JournalRecord]) -> MemoryDiff:
    """What the records change, taken together."""
    entries: dict[EntryId, tuple[MemoryEntry | None, MemoryEntry | None]] = {}
    states: dict[Scope, tuple[MemoryState, MemoryState]] = {}
    for record in records:
        if isinstance(record.op, StateChange):
            states[record.scope] = (states.get(record.scope, (record.op.before,))[0], record.op.after)
        elif record.entry is not None:
            entry_id = record.entry.entry_id
            entries[entry_id] = (entries.get(entry_id, (record.before,))[0], record.after)
    pairs = entries.values()
    return MemoryDiff(
        added=tuple(after for before, after in pairs if before is None and after is not None),
        removed=tuple(before for before, after in pairs if before is not None and after is None),
        changed=tuple(
            EntryChange(before=before, after=after)
            for before, after in pairs
            if before is not None and after is not None and before != after
        ),
        states=tuple(
            StateDifference(scope=scope, before=before, after=after)
            for scope, (before, after) in states.items()
            if before != after
        ),
    )


def plan_undo(
    journal: RecordReader, contents: Contents, seq: int, *, provenance: Provenance, time: datetime
) -> JournalRecord:
    """The record that takes record `seq` back: entry or state become what they were before it.

    Raises:
        ConfigError: no such record, nothing to take back, or a later record built on it.
    """
    if type(seq) is not int or not 1 <= seq <= contents.seq:
        raise ConfigError(f"no journal record {seq!r} to undo: the journal goes from 1 to {contents.seq}")
    target = _record(journal, seq)
    if isinstance(target.op, StateChange):
        current_state = contents.states.get(target.scope)
        if current_state is None or current_state != target.op.after:
            later = _last_state_change(journal, target)
            raise _superseded(target, later, f"the short-term memory of {target.scope}")
        before, after = None, None
        op: MemoryOp | StateChange = StateChange(before=current_state, after=target.op.before)
    elif target.entry is None:
        raise ConfigError(f"journal record {seq} is a no-op: there is nothing to undo")
    else:
        entry_id = target.entry.entry_id
        if contents.entries.get(entry_id) != target.after:
            *_, later = journal.read(seq, contents.seq, entry_id)
            raise _superseded(target, later, f"entry {entry_id!r}")
        before, after = target.after, target.before
        op = _reverse(before, after)
    return JournalRecord(
        seq=contents.seq + 1,
        time=max(time, contents.time),
        scope=target.scope,
        provenance=provenance,
        op=op,
        before=before,
        after=after,
        undoes=seq,
    )


def _reverse(before: MemoryEntry | None, after: MemoryEntry | None) -> MemoryOp:
    if before is None:
        return (
            Noop()
            if after is None
            else Insert(
                entry_id=after.entry_id,
                content=after.content,
                memory_type=after.memory_type,
                meta=after.meta,
            )
        )
    if after is None:
        return Delete(entry_id=before.entry_id)
    return Update(entry_id=after.entry_id, content=after.content, meta=after.meta)


def _last_state_change(journal: RecordReader, target: JournalRecord) -> JournalRecord:
    later = target
    for record in journal.read(target.seq):
        if isinstance(record.op, StateChange) and record.scope == target.scope:
            later = record
    return later


def _superseded(target: JournalRecord, later: JournalRecord, what: str) -> ConfigError:
    if later.undoes == target.seq:
        return ConfigError(f"journal record {target.seq} was already undone by record {later.seq}")
    return ConfigError(
        f"journal record {target.seq} cannot be undone: record {later.seq} ({later.op.kind} by"
        f" {later.provenance.actor!r}) changed {what} afterwards; undo record {later.seq} first"
    )


def _record(journal: RecordReader, seq: int) -> JournalRecord:
    (record,) = journal.read(seq - 1, seq)
    return record
