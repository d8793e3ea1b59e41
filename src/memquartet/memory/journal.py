"""The journal: every write, in order, never changed afterwards. A memory is what its journal adds up to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from memquartet.core.memory import EntryId, MemoryEntry, MemoryOp, MemoryState, Provenance, Scope

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """The short-term memory of one scope was replaced."""

    kind: Literal["state"] = "state"
    before: MemoryState
    after: MemoryState


Change = MemoryOp | StateChange


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecord:
    """One write. `seq` counts from 1 without gaps; `time` is aware, in UTC, and never runs backwards.

    `before` and `after` are the entry's two sides: None before an insert, after a delete, and for a no-op or
    a state change. `undoes` is the `seq` of the record that this one takes back.
    """

    seq: int
    time: datetime
    scope: Scope
    provenance: Provenance
    op: Change
    before: MemoryEntry | None = None
    after: MemoryEntry | None = None
    undoes: int | None = None

    @property
    def entry(self) -> MemoryEntry | None:
        """The entry concerned, as it is afterwards or, when it is gone, as it was."""
        return self.after or self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the journal adds up to at `seq`, serialised, so that opening need not read it from the start."""

    seq: int
    contents: bytes
    index: bytes


class RecordReader(Protocol):
    """Where records can be read again."""

    def read(
        self, since: int = 0, until: int | None = None, entry_id: EntryId | None = None
    ) -> Iterator[JournalRecord]:
        """The records with `since` < seq ≤ `until`, in order; with `entry_id`, those that changed it."""
        ...


class Derived(Protocol):
    """What a durable journal keeps beside its records to save work: all of it can be made again."""

    def bind(self, identity: str) -> str:
        """The embedder of the stored vectors; where there is none yet, `identity` becomes it."""
        ...

    def vectors(self, since: int, until: int) -> Iterator[tuple[int, Vector]]:
        """Stored vectors by the `seq` of their record; those that are missing have to be embedded again."""
        ...

    def keep(self, vectors: Iterable[tuple[int, Vector]]) -> None:
        """Store vectors by the `seq` of their record; only inside a transaction of the journal."""
        ...

    def checkpoint_due(self, seq: int, *, closing: bool) -> bool:
        """Whether so much was written by `seq` that a new checkpoint pays off."""
        ...

    def load(self) -> Checkpoint | None:
        """The latest checkpoint, if there is one."""
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of an earlier one.

        Raises:
            StoreError: it does not fit or the file is locked; the earlier one stays.
        """
        ...

    def staged(self, identity: str) -> frozenset[int]:
        """Which records have a vector by a new embedder already; drops those of any other new one."""
        ...

    def stage(self, vectors: Iterable[tuple[int, Vector]]) -> None:
        """Store vectors of the new embedder beside the current ones; only inside a transaction."""
        ...

    def adopt_staged(self) -> None:
        """Put the staged vectors in place of the current ones; only inside a transaction."""
        ...


class Journal(RecordReader, Protocol):
    """Where a memory keeps its records: the one thing that a backend implements.

    `memquartet.testing.store_conformance` tests an implementation. Any thread may call any method.
    """

    @property
    def derived(self) -> Derived | None:
        """What is kept beside the records; None where nothing outlives the process."""
        ...

    def head(self) -> int:
        """`seq` of the last record, 0 when there is none; sees what other processes have committed."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Keep other writers out; what is written inside is durable when the block ends, gone if it raises.

        Raises:
            StoreError: the disk is full, the file is locked or damaged; nothing was written.
        """
        ...

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add records; only inside a `transaction`."""
        ...

    def fork(self, until: int) -> Journal:
        """A journal in RAM that starts with the records up to `until`, without copying them."""
        ...

    def close(self) -> None:
        """Give up file handles; closing again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class _Segment:
    prefix: _Segment | RecordReader | None
    start: int
    """How many records the prefix gives."""
    records: list[JournalRecord]


class RamJournal:
    """Records in a list; forks share everything written before them."""

    __slots__ = ("_last",)

    def __init__(self, prefix: _Segment | RecordReader | None = None, length: int = 0) -> None:
        self._last = _Segment(prefix, length, [])

    @property
    def derived(self) -> None:
        """Nothing outlives the process."""
        return None

    def head(self) -> int:
        """`seq` of the last record, 0 when there is none."""
        return self._last.start + len(self._last.records)

    def read(
        self, since: int = 0, until: int | None = None, entry_id: EntryId | None = None
    ) -> Iterator[JournalRecord]:
        """The records with `since` < seq ≤ `until`, in order; with `entry_id`, those that changed it."""
        node: _Segment | RecordReader | None = self._last
        end = self.head() if until is None else until
        parts: list[list[JournalRecord]] = []
        # A loop, not recursion: a memory forked at every step has as many segments as steps.
        while isinstance(node, _Segment) and since < end:
            if end > node.start:
                parts.append(node.records[max(0, since - node.start) : end - node.start])
                end = node.start
            node = node.prefix
        if node is not None and not isinstance(node, _Segment) and since < end:
            yield from node.read(since, end, entry_id)
        for part in reversed(parts):
            for record in part:
                if entry_id is None or (record.entry and record.entry.entry_id == entry_id):
                    yield record

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Drop what was appended inside when the block raises."""
        kept = len(self._last.records)
        try:
            yield
        except BaseException:
            del self._last.records[kept:]
            raise

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add records."""
        self._last.records.extend(records)

    def fork(self, until: int) -> RamJournal:
        """Freeze what is here as the common prefix of two journals; takes constant time."""
        if self._last.records:
            self._last = _Segment(self._last, self.head(), [])
        return RamJournal(self._last.prefix, until)

    def close(self) -> None:
        """Nothing to give up."""
