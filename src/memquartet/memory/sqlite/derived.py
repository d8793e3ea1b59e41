"""Vectors and checkpoints in the SQLite file: they save work on opening and can all be made again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from memquartet.memory.journal import Checkpoint, Vector

PART = 64 * 2**20
"""Bytes of a checkpoint's row: SQLite holds at most 10⁹ in one."""
LENGTH = struct.Struct(">Q")


class Rows(Protocol):
    """The part of `SqliteFile` that is used here."""

    # Any: SQLite's values have their types at run time only.
    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row that the query gives."""
        ...

    def write(self, statement: str, rows: Iterable[tuple[object, ...]] = ((),)) -> None:
        """Run the statement once for each row of values."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing of what is written inside."""
        ...


class SqliteDerived:
    """Vectors by the `seq` of their record, and one checkpoint."""

    def __init__(self, file: Rows) -> None:
        self._file = file
        self._saved = self._saved_seq()

    def bind(self, identity: str) -> str:
        """The embedder of the stored vectors; where there is none yet, `identity` becomes it."""
        stored = self._identity("current")
        if stored is None:
            with self._file.transaction():
                self._file.write("INSERT OR IGNORE INTO embedder VALUES ('current', ?)", [(identity,)])
            stored = self._identity("current")
        return stored or identity

    def vectors(self, since: int, until: int) -> Iterator[tuple[int, Vector]]:
        """The stored vectors of the records with `since` < seq ≤ `until`."""
        rows = self._file.rows("SELECT seq, vector FROM vectors WHERE seq > ? AND seq <= ?", (since, until))
        return ((seq, np.frombuffer(vector, np.float32)) for seq, vector in rows)

    def keep(self, vectors: Iterable[tuple[int, Vector]]) -> None:
        """Store vectors by the `seq` of their record; only inside a transaction of the journal."""
        self._file.write("INSERT INTO vectors VALUES (?, ?)", _blobs(vectors))

    def checkpoint_due(self, seq: int, *, closing: bool) -> bool:
        """Every half as much again while writing, every tenth more on closing: the cost stays in proportion."""
        written = seq - self._saved
        return written >= (max(500, self._saved // 10) if closing else max(5_000, self._saved // 2))

    def load(self) -> Checkpoint | None:
        """The latest checkpoint, if there is one."""
        rows = self._file.rows("SELECT seq, data FROM checkpoint ORDER BY part")
        data = memoryview(rows[0][1] if len(rows) == 1 else b"".join(data for _, data in rows))
        if len(data) < LENGTH.size:
            return None
        start = LENGTH.size + LENGTH.unpack_from(data)[0]
        return Checkpoint(
            seq=rows[0][0], contents=bytes(data[LENGTH.size : start]), index=bytes(data[start:])
        )

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of an earlier one.

        Raises:
            StoreError: it does not fit or the file is locked; the earlier one stays.
        """
        data = memoryview(LENGTH.pack(len(checkpoint.contents)) + checkpoint.contents + checkpoint.index)
        with self._file.transaction():
            if checkpoint.seq > self._saved_seq():
                self._file.write("DELETE FROM checkpoint")
                self._file.write(
                    "INSERT INTO checkpoint VALUES (?, ?, ?)",
                    (
                        (part, checkpoint.seq, data[start : start + PART])
                        for part, start in enumerate(range(0, len(data), PART))
                    ),
                )
        self._saved = self._saved_seq()

    def staged(self, identity: str) -> frozenset[int]:
        """Which records have a vector by a new embedder already; drops those of any other new one."""
        if self._identity("staged") != identity:
            with self._file.transaction():
                self._file.write("DELETE FROM staged_vectors")
                self._file.write("INSERT OR REPLACE INTO embedder VALUES ('staged', ?)", [(identity,)])
        return frozenset(seq for (seq,) in self._file.rows("SELECT seq FROM staged_vectors"))

    def stage(self, vectors: Iterable[tuple[int, Vector]]) -> None:
        """Store vectors of the new embedder beside the current ones; only inside a transaction."""
        self._file.write("INSERT OR REPLACE INTO staged_vectors VALUES (?, ?)", _blobs(vectors))

    def adopt_staged(self) -> None:
        """Put the staged vectors in place of the current ones; only inside a transaction."""
        for statement in (
            "DELETE FROM vectors",
            "INSERT INTO vectors SELECT seq, vector FROM staged_vectors",
            "DELETE FROM staged_vectors",
            "DELETE FROM checkpoint",
            "DELETE FROM embedder WHERE role = 'current'",
            "UPDATE embedder SET role = 'current' WHERE role = 'staged'",
        ):
            self._file.write(statement)
        self._saved = 0

    def _identity(self, role: str) -> str | None:
        rows = self._file.rows("SELECT identity FROM embedder WHERE role = ?", (role,))
        return str(rows[0][0]) if rows else None

    def _saved_seq(self) -> int:
        return int(self._file.rows("SELECT coalesce(max(seq), 0) FROM checkpoint")[0][0])


def _blobs(vectors: Iterable[tuple[int, Vector]]) -> Iterator[tuple[int, memoryview]]:
    return ((seq, np.ascontiguousarray(vector, np.float32).data) for seq, vector in vectors if vector.size)
