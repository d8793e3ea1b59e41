"""A memory's entries and index, kept in step with its journal.

A write is planned on the current contents, appended to the journal, and only then carried out in RAM. Whatever
interrupts it, the journal decides: what it holds and RAM does not is caught up with before anything else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

import numpy as np

from memquartet.core.memory import EntryId, MemoryEntry
from memquartet.errors import (
    ConfigError,
    EmbedderMismatchError,
    InputError,
    ReadOnlyError,
    StoreError,
    StoreVersionError,
)
from memquartet.memory.contents import Contents
from memquartet.memory.journal import Checkpoint, Journal, JournalRecord, Vector
from memquartet.memory.limits import aware
from memquartet.memory.protocols import Embedder
from memquartet.memory.retrieval.index import Index
from memquartet.memory.retrieval.vectors import checked_vectors
from memquartet.memory.sqlite.checkpoint import pack_contents, unpack_contents
from memquartet.memory.sqlite.reembedding import Progress, reembed

Clock = Callable[[], datetime]

PAGE = 1_000
"""Records caught up with at a time."""

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The computer's clock."""
    return datetime.now(UTC)


class Batch:
    """Writes planned one after the other, each on the contents that the ones before it leave."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.records: list[JournalRecord] = []
        self.vectors: dict[int, Vector] = {}
        self.broken = False
        """Whether the journal failed in the middle of these writes, so that none of them may stay."""

    def require_whole(self) -> None:
        """Refuse to go on after a failed write.

        Raises:
            StoreError: one of these writes failed.
        """
        if self.broken:
            raise StoreError("a write of this transaction failed, so nothing of it is kept: begin a new one")

    def add(self, record: JournalRecord, vector: Vector | None = None) -> None:
        """Plan one more write, with the vector of its `after` entry.

        Raises:
            InputError: the record contradicts the ones before it.
        """
        self.contents = self.contents.after(record)
        self.records.append(record)
        if vector is not None:
            self.vectors[record.seq] = vector

    def extend(self, batch: Batch) -> None:
        """Take over a batch that was planned on this one's contents."""
        self.contents = batch.contents
        self.records += batch.records
        self.vectors |= batch.vectors


class Store:
    """Contents, index and journal behind one lock."""

    def __init__(
        self,
        *,
        journal: Journal,
        embedder: Embedder,
        language: str,
        clock: Clock,
        contents: Contents | None = None,
        index: Index | None = None,
        read_only: bool = False,
    ) -> None:
        self.embedder = embedder
        self.language = language
        self.clock = clock
        self.read_only = read_only
        self._journal = journal
        self._lock = threading.RLock()
        self._contents = contents or Contents()
        # None: built from the contents when something is first searched or written.
        self._index = index
        self._open: Batch | None = None

    def load(self) -> None:
        """Start from the journal's checkpoint, if there is one that can be read.

        Raises:
            EmbedderMismatchError: the stored vectors are of another embedder.
        """
        derived = self._journal.derived
        self._check_embedder()
        checkpoint = derived.load() if derived else None
        if checkpoint is not None:
            try:
                index, contents = Index.from_bytes(checkpoint.index), unpack_contents(checkpoint.contents)
            except (InputError, StoreError, StoreVersionError) as error:
                log.warning("the checkpoint is made again from the journal: %s", error)
            else:
                self._contents = contents
                if (index.language, index.dim) == (self.language, self.embedder.dim):
                    self._index = index
        self._built_index()
        self._catch_up()

    @property
    def durable(self) -> bool:
        """Whether writes go to a disk."""
        return self._journal.derived is not None

    def contents(self) -> Contents:
        """Everything written so far, by other processes too."""
        with self._lock:
            return self._current()

    def searchable(self) -> tuple[Contents, Index]:
        """The contents and an index of exactly these, both safe to read while others write."""
        with self._lock:
            contents = self._current()
            index = self._built_index().fork()
            if self._open:
                self._follow(index, self._open.records, self._open.vectors)
            return contents, index

    def journal(self) -> tuple[Contents, Journal]:
        """The contents and a journal of exactly the records that led to them."""
        with self._lock:
            contents = self._current()
            return contents, self._journal if self._open else self._journal.fork(contents.seq)

    def branch(self) -> Store:
        """A writable store in RAM with the same past and a future of its own.

        Raises:
            ConfigError: in the middle of a transaction.
        """
        with self._lock:
            return self._derive(self._settled(), None if self._index is None else self._index.fork())

    def view(self, contents: Contents) -> Store:
        """A read-only store of earlier contents.

        Raises:
            ConfigError: in the middle of a transaction.
        """
        with self._lock:
            self._settled()
            return self._derive(contents, None, read_only=True)

    @contextmanager
    def transaction(self) -> Iterator[Batch]:
        """Make all writes inside one: they are durable together when the block ends, and gone if it raises.

        Raises:
            ReadOnlyError: this is a view of the past.
            EmbedderMismatchError: another process has moved the file to another embedder.
            StoreError: the disk is full, the file locked or damaged; nothing was written.
        """
        self.require_writable()
        with self._lock:
            if self._open:
                yield self._open
                return
            with self._journal.transaction():
                self._catch_up()
                self._check_embedder()
                self._open = whole = Batch(self._contents)
                try:
                    yield whole
                finally:
                    self._open = None
                # A full disk can end SQLite's transaction, or leave half a write in it.
                whole.require_whole()
            if whole.records:
                self._absorb(whole)
                self._save_checkpoint(closing=False)

    @contextmanager
    def writing(self) -> Iterator[Batch]:
        """Plan writes on the current contents; they are made when the block ends. See `transaction`."""
        with self.transaction() as whole:
            whole.require_whole()
            batch = Batch(whole.contents)
            yield batch
            try:
                self._journal.append(batch.records)
                if self._journal.derived and batch.vectors:
                    self._journal.derived.keep(batch.vectors.items())
            except BaseException:
                whole.broken = True
                raise
            whole.extend(batch)

    def take_over(self, records: Iterable[JournalRecord]) -> int:
        """Make the records this empty store's journal; returns how many there were.

        Raises:
            ConfigError: the store is not empty.
            InputError: the records contradict each other; nothing was taken over.
            StoreError: the disk refused; nothing was written.
        """
        waiting = iter(records)
        with self.writing() as batch:
            if batch.contents.seq:
                raise ConfigError(f"this memory has {batch.contents.seq:,} journal records: use an empty one")
            while page := list(islice(waiting, PAGE)):
                vectors = iter(self.embed([record.after.content for record in page if record.after]))
                for record in page:
                    batch.add(record, next(vectors) if record.after else None)
            return batch.contents.seq

    def require_writable(self) -> None:
        """Refuse to write to the past.

        Raises:
            ReadOnlyError: this is a view of the past.
        """
        if self.read_only:
            raise ReadOnlyError("this is a view of the past and cannot change: write to a fork() of it")

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text, in one call of the embedder; see `checked_vectors`."""
        return checked_vectors(self.embedder, texts)

    def now(self) -> datetime:
        """The clock's time in UTC.

        Raises:
            ConfigError: the clock gives times without a time zone.
        """
        return aware(self.clock(), "the clock's time")

    def reembed(self, embedder: Embedder, on_progress: Progress | None) -> None:
        """Change to another embedder, in the file too.

        Raises:
            ReadOnlyError: this is a view of the past.
            ConfigError: in the middle of a transaction.
            WorldError: the embedder or the disk failed; nothing changed, and a next call goes on from there.
        """
        self.require_writable()
        with self._lock:
            self._require_settled()
            if self._journal.derived:
                reembed(self._journal, self._journal.derived, embedder, on_progress=on_progress)
            before = self.embedder, self._index
            self.embedder, self._index = embedder, None
            try:
                self._built_index()
            except BaseException:
                if not self._journal.derived:
                    self.embedder, self._index = before
                raise

    def close(self) -> None:
        """Save a checkpoint where it pays off and give up the file."""
        with self._lock:
            if self._contents.seq:
                self._save_checkpoint(closing=True)
            self._journal.close()

    def _current(self) -> Contents:
        if self._open:
            return self._open.contents
        self._catch_up()
        return self._contents

    def _settled(self) -> Contents:
        self._require_settled()
        return self._current()

    def _require_settled(self) -> None:
        if self._open:
            raise ConfigError(
                "a transaction is under way: finish it before you fork, look back or change the embedder"
            )

    def _derive(self, contents: Contents, index: Index | None, *, read_only: bool = False) -> Store:
        return Store(
            journal=self._journal.fork(contents.seq),
            embedder=self.embedder,
            language=self.language,
            clock=self.clock,
            contents=contents,
            index=index,
            read_only=read_only,
        )

    def _catch_up(self) -> None:
        head = self._journal.head()
        if head == self._contents.seq:
            return
        self._check_embedder()
        records = self._journal.read(self._contents.seq, head)
        derived = self._journal.derived
        while page := list(islice(records, PAGE)):
            batch = Batch(self._contents)
            for record in page:
                batch.add(record)
            if derived:
                batch.vectors.update(derived.vectors(page[0].seq - 1, page[-1].seq))
            self._absorb(batch)

    def _check_embedder(self) -> None:
        derived = self._journal.derived
        stored = derived.bind(self.embedder.identity) if derived else self.embedder.identity
        if stored != self.embedder.identity:
            raise EmbedderMismatchError(
                f"the memory's vectors are by the embedder {stored!r}, given is {self.embedder.identity!r}:"
                f" open it with {stored!r}, or run `memquartet memory reembed --db PATH --embedder SPEC`"
            )

    def _absorb(self, batch: Batch) -> None:
        """Carry out in RAM what the journal already holds."""
        index = self._built_index().fork() if self._index or not self._contents.seq else None
        if index is not None:
            self._follow(index, batch.records, batch.vectors)
        # Only now, so that an interruption leaves contents and index at the same record.
        self._contents, self._index = batch.contents, index

    def _follow(self, index: Index, records: Sequence[JournalRecord], vectors: Mapping[int, Vector]) -> None:
        latest = {
            record.entry.entry_id: (record.seq, record.after)
            for record in records
            if record.entry is not None
        }
        for entry_id, (_, after) in latest.items():
            if after is None:
                index.remove(entry_id)
        self._add(index, ((seq, after) for seq, after in latest.values() if after is not None), vectors)

    def _built_index(self) -> Index:
        if self._index is None:
            index = Index(self.embedder.dim, language=self.language)
            contents, derived = self._contents, self._journal.derived
            seqs: dict[EntryId, int] = {}
            vectors: Mapping[int, Vector] = {}
            if derived and contents.seq:
                vectors = dict(derived.vectors(0, contents.seq))
                seqs = {r.after.entry_id: r.seq for r in self._journal.read(0, contents.seq) if r.after}
            self._add(index, ((seqs.get(entry.entry_id, 0), entry) for entry in contents.ordered()), vectors)
            self._index = index
        return self._index

    def _add(
        self, index: Index, entries: Iterable[tuple[int, MemoryEntry]], vectors: Mapping[int, Vector]
    ) -> None:
        dim = self.embedder.dim
        waiting = iter(entries)
        while page := list(islice(waiting, PAGE)):
            missing = [entry.content for seq, entry in page if dim and seq not in vectors]
            embedded = iter(self.embed(missing))
            for seq, entry in page:
                index.add(
                    entry, vectors[seq] if seq in vectors else next(embedded, np.zeros(dim, np.float32))
                )

    def _save_checkpoint(self, *, closing: bool) -> None:
        derived = self._journal.derived
        if derived is None or self._index is None or self.read_only:
            return
        if not derived.checkpoint_due(self._contents.seq, closing=closing):
            return
        try:
            derived.save(
                Checkpoint(
                    seq=self._contents.seq,
                    contents=pack_contents(self._contents),
                    index=self._index.to_bytes(),
                )
            )
        except StoreError as error:
            # The records are safe; without a checkpoint the next opening only takes longer.
            log.warning("no checkpoint was saved: %s", error)
