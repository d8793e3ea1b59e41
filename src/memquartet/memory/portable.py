"""Memories as text that outlives the program: the export (JSON lines) and the canonical form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from memquartet.errors import ConfigError, InputError, StoreError, StoreVersionError
from memquartet.memory.codec import (
    FORMAT_VERSION,
    Json,
    decode_record,
    dumps,
    encode_entry,
    encode_record,
    encode_scope,
    encode_state,
    loads,
)
from memquartet.memory.contents import Contents
from memquartet.memory.journal import JournalRecord
from memquartet.memory.limits import clean_meta, clean_text

FORMAT = "memquartet.journal"
MAX_LINE = 64 * 2**20
"""Characters of one line of an export; a longer one is refused before it is parsed."""


def export_lines(records: Iterable[JournalRecord]) -> Iterator[str]:
    """The header with the format version, then a line for each record; none ends in a line feed."""
    yield dumps({"format": FORMAT, "version": FORMAT_VERSION})
    for record in records:
        yield dumps(encode_record(record))


def read_export(lines: Iterable[str], name: str = "export") -> Iterator[JournalRecord]:
    """The records of an export; blank lines are skipped.

    Raises:
        InputError: a line cannot be read; the message names it, counted from 1.
        StoreVersionError: the export was written by a newer memquartet.
    """
    header = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE:
                raise InputError(f"{len(line):,} characters in one line, at most {MAX_LINE:,} are read")
            encoded = loads(line)
            if header:
                yield _within_limits(decode_record(encoded))
            else:
                _check_header(encoded)
                header = True
        except (InputError, ConfigError) as error:
            raise InputError(f"{name}, line {number}: {error}") from None
    if not header:
        raise InputError(f"{name}: is empty; expected an export, whose first line names its format")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file.

    Raises:
        InputError: the file cannot be opened or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as file:
            # `readline` with a limit: a file without line feeds is never read whole.
            while line := file.readline(MAX_LINE + 1):
                yield line
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not UTF-8: {error.reason} at byte {error.start}") from error


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write the lines to a file that appears only when it is complete.

    Raises:
        StoreError: the disk is full or the folder cannot be written; an earlier file stays.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{str(path)!r} cannot be written: {error.strerror}; free space or choose another folder"
        ) from error


def canonical_bytes(contents: Contents, records: Iterable[JournalRecord]) -> bytes:
    """A line with entries and states, then the export: equal memories are equal bytes."""
    states: list[tuple[Json, Json]] = [
        (encode_scope(scope), encode_state(state)) for scope, state in contents.states.items()
    ]
    first = {
        "last_number": contents.last_number,
        "entries": [encode_entry(entry) for entry in contents.ordered()],
        "states": sorted(states, key=dumps),
    }
    return "\n".join([dumps(first), *export_lines(records)]).encode()


def _within_limits(record: JournalRecord) -> JournalRecord:
    for entry in (record.before, record.after):
        if entry and (clean_text(entry.content) != entry.content or clean_meta(entry.meta) != entry.meta):
            raise InputError(f"entry {entry.entry_id!r} is not in the form in which memories are stored")
    return record


def _check_header(header: Json) -> None:
    if header.get("format") != FORMAT:
        raise InputError(f"not an export of a memory: expected a header with format {FORMAT!r}")
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"the header's version must be a number from 1, got {version!r}")
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"the export has format version {version}, this memquartet reads up to {FORMAT_VERSION}:"
            " run `pip install --upgrade memquartet`"
        )
