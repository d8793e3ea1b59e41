"""Moving a file to another embedder: in steps that survive an interruption, with one switch at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from memquartet.core.memory import EntryId
from memquartet.memory.journal import Derived, Journal, JournalRecord
from memquartet.memory.protocols import Embedder
from memquartet.memory.retrieval.vectors import checked_vectors
from memquartet.memory.sqlite.journal import SqliteJournal

BATCH = 256
"""Texts embedded and committed together."""

Progress = Callable[[int, int], None]
"""Called with how many entries are done and how many there are."""


def reembed(
    journal: Journal, derived: Derived, embedder: Embedder, *, on_progress: Progress | None = None
) -> None:
    """Replace the stored vectors of all living entries; interrupted, it goes on where it stopped.

    Until the switch the file stays usable with the old embedder, also by other processes.

    Raises:
        WorldError: the embedder or the disk failed; what was done so far is kept.
    """
    done = set(derived.staged(embedder.identity))
    living: dict[EntryId, tuple[int, str]] = {}
    head = journal.head()
    _follow(living, journal.read(0, head))
    while todo := [(seq, text) for seq, text in living.values() if seq not in done]:
        if on_progress:
            on_progress(len(living) - len(todo), len(living))
        with journal.transaction():
            _stage(derived, embedder, todo[:BATCH])
        done.update(seq for seq, _ in todo[:BATCH])
    with journal.transaction():
        # Others may have written meanwhile; from here on they wait.
        _follow(living, journal.read(head))
        _stage(derived, embedder, [(seq, text) for seq, text in living.values() if seq not in done])
        derived.adopt_staged()
    if on_progress:
        on_progress(len(living), len(living))


def reembed_file(
    path: str | Path,
    embedder: Embedder,
    *,
    busy_timeout: float = 30.0,
    on_progress: Progress | None = None,
) -> None:
    """Move a file to another embedder without having the old one; interrupted, a next call goes on.

    Raises:
        StoreVersionError: the file is no memory, or one of a newer memquartet.
        WorldError: the embedder or the disk failed; the old vectors still hold.
    """
    with closing(SqliteJournal(path, busy_timeout=busy_timeout, create=False)) as journal:
        reembed(journal, journal.derived, embedder, on_progress=on_progress)


def _follow(living: dict[EntryId, tuple[int, str]], records: Iterable[JournalRecord]) -> None:
    for record in records:
        if record.after is not None:
            living[record.after.entry_id] = (record.seq, record.after.content)
        elif record.before is not None:
            del living[record.before.entry_id]


def _stage(derived: Derived, embedder: Embedder, texts: list[tuple[int, str]]) -> None:
    if texts:
        vectors = checked_vectors(embedder, [text for _, text in texts])
        derived.stage(zip((seq for seq, _ in texts), vectors, strict=True))
