"""The file's schema, as numbered steps that each run in one transaction together with their number."""

from __future__ import annotations

import sqlite3

from memquartet.errors import StoreVersionError

APPLICATION_ID = 0x4D515254
"""The letters MQRT in the file's header say that it is a memory."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # Text, prompt and output of a model call stand behind every record that came of it: kept once.
        "CREATE TABLE provenance (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, data TEXT NOT NULL)",
        # `entry` is the number in the entry's id; `record` is the JSON of an export's line without its provenance.
        "CREATE TABLE journal (seq INTEGER PRIMARY KEY, entry INTEGER,"
        " provenance INTEGER REFERENCES provenance, record TEXT NOT NULL)",
        "CREATE INDEX journal_by_entry ON journal (entry, seq) WHERE entry IS NOT NULL",
        "CREATE TRIGGER journal_never_changes BEFORE UPDATE ON journal"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
        "CREATE TRIGGER journal_never_shrinks BEFORE DELETE ON journal"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
        # Everything below can be made again from the journal and the embedder.
        "CREATE TABLE vectors (seq INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        "CREATE TABLE staged_vectors (seq INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        "CREATE TABLE checkpoint (part INTEGER PRIMARY KEY, seq INTEGER NOT NULL, data BLOB NOT NULL)",
        "CREATE TABLE embedder (role TEXT PRIMARY KEY, identity TEXT NOT NULL)",
    ),
)

FORMAT_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file to the newest format.

    Raises:
        StoreVersionError: the file is another program's, or of a newer memquartet; it was not touched.
    """
    version = _checked_version(connection, path)
    while version < FORMAT_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been faster while this one waited.
            version = _checked_version(connection, path)
            if version < FORMAT_VERSION:
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _checked_version(connection: sqlite3.Connection, path: str) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreVersionError(
            f"{path!r} is an SQLite file of another program (application id {application:#x}), not a memory:"
            " give the path of a memory or of a file that does not exist yet"
        )
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"{path!r} has format {version}, this memquartet reads up to {FORMAT_VERSION}:"
            " run `pip install --upgrade memquartet`"
        )
    return int(version)
