"""What a journal adds up to: entries and states, as one persistent value.

`Contents.plan` turns an operation into the record that would carry it out; `Contents.after` carries a record
out and gives new contents, checking that the record fits. Both are pure: contents are never changed, share
their structure with the ones before, and so cost nothing to keep, to fork or to drop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from rpds import HashTrieMap

from memquartet.core.memory import (
    EVERYWHERE,
    Delete,
    EntryId,
    FixedMeta,
    Insert,
    MemoryEntry,
    MemoryOp,
    MemoryState,
    MemoryType,
    Meta,
    Noop,
    Provenance,
    Scope,
    Update,
)
from memquartet.errors import ConfigError, InputError, UnknownEntryError
from memquartet.memory.journal import JournalRecord, StateChange
from memquartet.memory.limits import (
    LINE,
    clean_meta,
    clean_text,
    entry_id_of,
    entry_number,
    memory_type_named,
)

EPOCH = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Entries and states after the record `seq`; `last_number` is how many entries were ever inserted."""

    seq: int = 0
    time: datetime = EPOCH
    last_number: int = 0
    entries: HashTrieMap[EntryId, MemoryEntry] = field(default_factory=HashTrieMap)
    states: HashTrieMap[Scope, MemoryState] = field(default_factory=HashTrieMap)

    def ordered(self) -> Iterator[MemoryEntry]:
        """The entries in the order in which they were inserted."""
        return iter(sorted(self.entries.values(), key=lambda entry: int(entry.entry_id[1:])))

    def find(self, entry_id: object, scope: Scope = EVERYWHERE) -> MemoryEntry:
        """The entry with this id.

        Raises:
            UnknownEntryError: there is none, or it lies outside `scope`.
        """
        entry = self.entries.get(EntryId(entry_id)) if isinstance(entry_id, str) else None
        if entry is None or not scope.admits(entry.scope):
            was_here = (entry_number(entry_id) or self.last_number + 1) <= self.last_number and entry is None
            reason = " (it was deleted)" if was_here else ""
            raise UnknownEntryError(
                f"no memory has the id {entry_id!r}{reason}{_within(scope)}: use an id exactly as it was shown, or insert"
            )
        return entry

    def plan(self, op: MemoryOp, *, scope: Scope, provenance: Provenance, time: datetime) -> JournalRecord:
        """The record that carries the cleaned `op` out on these contents, for a writer confined to `scope`.

        Raises:
            UnknownEntryError: the operation names an entry that is not there or not in `scope`.
        """
        before: MemoryEntry | None = None
        after: MemoryEntry | None = None
        time = max(time, self.time)
        match op:
            case Insert():
                after = MemoryEntry(
                    entry_id=entry_id_of(self.last_number + 1),
                    memory_type=op.memory_type,
                    content=op.content,
                    scope=scope,
                    meta=op.meta,
                    created_at=time,
                    updated_at=time,
                )
            case Update():
                before = self.find(op.entry_id, scope)
                meta = self._kept_meta(before, op.content) if op.meta is None else op.meta
                after = replace(before, content=op.content, meta=meta, updated_at=time)
            case Delete():
                before = self.find(op.entry_id, scope)
            case Noop():
                if op.entry_id is not None:
                    self.find(op.entry_id, scope)
        return JournalRecord(
            seq=self.seq + 1, time=time, scope=scope, provenance=provenance, op=op, before=before, after=after
        )

    def line_of(self, entry: MemoryEntry) -> MemoryEntry | None:
        """The line of a text that an entry names, if it is there."""
        named = entry.meta.get(LINE)
        line = self.entries.get(EntryId(named)) if isinstance(named, str) else None
        return line if line is not None and line.memory_type is MemoryType.VERBATIM else None

    def _kept_meta(self, before: MemoryEntry, content: str) -> Meta:
        """An entry's meta under a new content: all but the line that said the old one."""
        if content == before.content or self.line_of(before) is None:
            return before.meta
        return FixedMeta({key: value for key, value in before.meta.items() if key != LINE})

    def after(self, record: JournalRecord) -> Contents:
        """These contents with the record carried out.

        Raises:
            InputError: the record contradicts the ones before it, or itself.
        """
        if record.seq != self.seq + 1:
            raise InputError(
                f"journal record {record.seq} follows record {self.seq}: one is missing or doubled"
            )
        if fault := self._fault(record):
            raise InputError(f"journal record {record.seq} contradicts the journal: {fault}")
        entries, states, last_number = self.entries, self.states, self.last_number
        if isinstance(record.op, StateChange):
            states = states.insert(record.scope, record.op.after)
        elif record.after is not None:
            entries = entries.insert(record.after.entry_id, record.after)
            last_number = max(last_number, int(record.after.entry_id[1:]))
        elif record.before is not None:
            entries = entries.remove(record.before.entry_id)
        return Contents(
            seq=record.seq, time=record.time, last_number=last_number, entries=entries, states=states
        )

    def _fault(self, record: JournalRecord) -> str | None:
        if record.time < self.time:
            return f"its time {record.time.isoformat()} is before the one of record {self.seq}"
        op, before, after = record.op, record.before, record.after
        well_formed = False
        match op:
            case StateChange():
                known = self.states.get(record.scope)
                matches = op.before == known if known else not (op.before.text or op.before.notes)
                return None if matches else "the state before it was another"
            case Insert():
                if before is None and after is not None and after.content == op.content:
                    return self._insert_fault(after, again=record.undoes is not None)
            case Update():
                well_formed = (
                    before is not None
                    and after is not None
                    and before.entry_id == after.entry_id == op.entry_id
                    and after.content == op.content
                    and (before.scope, before.memory_type, before.created_at)
                    == (after.scope, after.memory_type, after.created_at)
                )
            case Delete():
                well_formed = before is not None and after is None and before.entry_id == op.entry_id
            case Noop():
                well_formed = before is None and after is None
        if not well_formed:
            return f"its sides do not belong to the operation {op.kind!r}"
        if before is not None and self.entries.get(before.entry_id) != before:
            return f"entry {before.entry_id!r} was not what it says before"
        return None

    def _insert_fault(self, after: MemoryEntry, *, again: bool) -> str | None:
        number = entry_number(after.entry_id)
        if again and number is not None and number <= self.last_number:
            return f"entry {after.entry_id!r} is already there" if after.entry_id in self.entries else None
        expected = entry_id_of(self.last_number + 1)
        return None if after.entry_id == expected else f"it inserts {after.entry_id!r}, expected {expected!r}"


def clean_op(op: MemoryOp) -> MemoryOp:
    """The operation with its values as they will be stored.

    Raises:
        ConfigError: a value cannot be stored.
    """
    match op:
        case Insert(entry_id=None):
            return replace(
                op,
                content=clean_text(op.content),
                memory_type=memory_type_named(op.memory_type),
                meta=clean_meta(op.meta),
            )
        case Insert():
            raise ConfigError(f"an insert cannot choose its id {op.entry_id!r}: the memory gives the ids")
        case Update():
            return replace(
                op, content=clean_text(op.content), meta=None if op.meta is None else clean_meta(op.meta)
            )
        case Delete() | Noop():
            return op


def _within(scope: Scope) -> str:
    parts = [
        f"{name}={value!r}" for name in ("user_id", "agent_id", "run_id") if (value := getattr(scope, name))
    ]
    return f" within {', '.join(parts)}" if parts else ""
