"""One SQLite file, and the journal in it: durable when a write returns, shared by threads and processes.

The write-ahead log is synced at every commit (WAL, synchronous=FULL), so a write that was acknowledged
survives SIGKILL and power loss. `BEGIN IMMEDIATE` lets one writer in at a time; the others wait `busy_timeout`.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from memquartet.core.memory import DIRECT, EntryId, Provenance
from memquartet.errors import ConfigError, InputError, StoreError, StoreVersionError
from memquartet.memory.codec import (
    decode_provenance,
    decode_record,
    dumps,
    encode_provenance,
    encode_record,
    loads,
)
from memquartet.memory.journal import JournalRecord, RamJournal
from memquartet.memory.limits import entry_number
from memquartet.memory.sqlite.derived import SqliteDerived
from memquartet.memory.sqlite.migrations import migrate

PAGE = 1_000
"""Records read at a time, so that a slow reader never keeps the log from being trimmed."""
LOG_LIMIT = 64 * 2**20
"""Bytes that the write-ahead log keeps after a large transaction."""

NEXT_STEPS = {
    "SQLITE_BUSY": "another process holds the lock: try again, or raise busy_timeout",
    "SQLITE_LOCKED": "another process holds the lock: try again, or raise busy_timeout",
    "SQLITE_FULL": "the disk or the quota is full: free some space and write again",
    "SQLITE_IOERR": "the disk refused (it may be full or failing): check it and write again",
    "SQLITE_READONLY": "file or folder is read-only: change the permissions or open a copy",
    "SQLITE_CANTOPEN": "the folder is missing or may not be entered: create it or change the permissions",
    "SQLITE_CORRUPT": "the file is damaged: restore a copy, or import an export",
    "SQLITE_NOTADB": "the file is damaged: restore a copy, or import an export",
}


class SqliteFile:
    """A connection that threads share, with every failure told as a `StoreError`."""

    def __init__(self, path: str | Path, *, busy_timeout: float = 30.0, create: bool = True) -> None:
        """Open the file; create it or bring its format up to date.

        Args:
            path: the file; its folder must exist.
            busy_timeout: seconds to wait for another process's write.
            create: whether a missing file is made.

        Raises:
            StoreVersionError: no memory, or one of a newer memquartet.
            StoreError: the file cannot be opened, read or written.
        """
        # Absolute: forks read the file later, perhaps from another working folder; ":memory:" is a file, too.
        self.path = str(Path(path).absolute())
        self._lock = threading.RLock()
        self._closed = False
        with self._translated():
            _check_header(self.path, create=create)
            self._connection = sqlite3.connect(
                self.path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
            )
            try:
                self._configure(busy_timeout)
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep other writers out; what is written inside is durable when the block ends, gone if it raises.

        Raises:
            StoreError: the file is locked, the disk full or failing; nothing was written.
        """
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                # A full disk may have ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    # Any: SQLite's values have their types at run time only.
    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row that the query gives."""
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    def number(self, query: str) -> int:
        """The one number that the query gives."""
        return int(self.rows(query)[0][0])

    def write(self, statement: str, rows: Iterable[tuple[object, ...]] = ((),)) -> None:
        """Run the statement once for each row of values, inside a transaction.

        Raises:
            StoreError: it failed, or an earlier failure has ended the transaction.
        """
        with self._translated():
            if not self._connection.in_transaction:
                raise StoreError(f"{self.path!r}: the transaction was ended by a failure; begin a new one")
            self._connection.executemany(statement, rows)

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _configure(self, busy_timeout: float) -> None:
        deadline = time.monotonic() + busy_timeout
        while True:
            try:
                # Reading the version first leaves another program's file as it was.
                migrate(self._connection, self.path)
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait when two processes switch a new file to the log at once.
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA fullfsync = ON")
        self._connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ConfigError(f"the memory {self.path!r} is closed: open it again with Memory.open")
            try:
                yield
            except sqlite3.Error as error:
                name = getattr(error, "sqlite_errorname", "") or ""
                # Extended codes ("SQLITE_IOERR_WRITE") begin with their primary code.
                step = next(
                    (step for code, step in NEXT_STEPS.items() if name.startswith(code)),
                    "nothing was written",
                )
                raise StoreError(f"{self.path!r}: {error}; {step}") from error


class SqliteJournal:
    """Records in one SQLite file."""

    def __init__(self, path: str | Path, *, busy_timeout: float = 30.0, create: bool = True) -> None:
        """Open the file as `SqliteFile` does."""
        self._file = SqliteFile(path, busy_timeout=busy_timeout, create=create)
        self.derived = SqliteDerived(self._file)

    def head(self) -> int:
        """`seq` of the last committed record, 0 when there is none."""
        return self._file.number("SELECT coalesce(max(seq), 0) FROM journal")

    def read(
        self, since: int = 0, until: int | None = None, entry_id: EntryId | None = None
    ) -> Iterator[JournalRecord]:
        """The records with `since` < seq ≤ `until`, in order; with `entry_id`, those that changed it.

        Raises:
            StoreError: the file cannot be read, or holds something that is no record.
        """
        chosen = "" if entry_id is None else "AND entry = ?"
        number = () if entry_id is None else (entry_number(entry_id),)
        last = self.head() if until is None else until
        while since < last:
            rows = self._file.rows(
                "SELECT seq, record, data FROM journal LEFT JOIN provenance ON provenance.id = journal.provenance"
                f" WHERE seq > ? AND seq <= ? {chosen} ORDER BY seq LIMIT ?",
                (since, last, *number, PAGE),
            )
            for seq, record, provenance in rows:
                yield self._decoded(seq, record, provenance)
                since = seq
            if len(rows) < PAGE:
                return

    def transaction(self) -> AbstractContextManager[None]:
        """See `SqliteFile.transaction`."""
        return self._file.transaction()

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add records; only inside a `transaction`."""
        known: dict[Provenance, int | None] = {DIRECT: None}
        for record in records:
            if record.provenance not in known:
                known[record.provenance] = self._keep(dumps(encode_provenance(record.provenance)))
        self._file.write(
            "INSERT INTO journal (seq, entry, provenance, record) VALUES (?, ?, ?, ?)",
            (
                (
                    record.seq,
                    entry_number(record.entry.entry_id) if record.entry else None,
                    known[record.provenance],
                    dumps(encode_record(replace(record, provenance=DIRECT))),
                )
                for record in records
            ),
        )

    def _keep(self, provenance: str) -> int:
        """The row of a provenance, made if it is new."""
        digest = hashlib.blake2b(provenance.encode(), digest_size=16).digest()
        self._file.write(
            "INSERT OR IGNORE INTO provenance (digest, data) VALUES (?, ?)", [(digest, provenance)]
        )
        return int(self._file.rows("SELECT id FROM provenance WHERE digest = ?", (digest,))[0][0])

    def fork(self, until: int) -> RamJournal:
        """A journal in RAM whose first `until` records are read from the file when they are asked for."""
        return RamJournal(_FileRecords(self._file.path), until)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _decoded(self, seq: int, record: str, provenance: str | None) -> JournalRecord:
        try:
            decoded = decode_record(loads(record))
            return (
                replace(decoded, provenance=decode_provenance(loads(provenance))) if provenance else decoded
            )
        except InputError as error:
            step = NEXT_STEPS["SQLITE_CORRUPT"]
            raise StoreError(
                f"{self._file.path!r}: journal record {seq} cannot be read ({error}); {step}"
            ) from error


class _FileRecords:
    """Reads a file's records without keeping it open: the memory it belongs to may be closed by then."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(
        self, since: int = 0, until: int | None = None, entry_id: EntryId | None = None
    ) -> Iterator[JournalRecord]:
        with closing(SqliteJournal(self._path, create=False)) as journal:
            yield from journal.read(since, until, entry_id)


def _check_header(path: str, *, create: bool) -> None:
    file = Path(path)
    try:
        with file.open("rb") as opened:
            magic = opened.read(16)
    except FileNotFoundError:
        if create:
            return
        raise StoreError(
            f"{path!r} is gone: it was moved or deleted; give the path where it is now"
        ) from None
    except IsADirectoryError:
        raise StoreError(f"{path!r} is a folder: give the path of a file in it") from None
    except OSError as error:
        raise StoreError(f"{path!r} cannot be read: {error.strerror}; change the permissions") from error
    if magic and magic != b"SQLite format 3\0":
        raise StoreVersionError(
            f"{path!r} is not a memory: it is no SQLite file. Give another path, or use import for an export"
        )
