"""Writing result files so that a reader never sees half of one, and a full disk is told as what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memquartet.errors import InputError, StoreError


def write_json(path: Path, value: object) -> None:
    """Write JSON beside the file and move it into place.

    Raises:
        StoreError: the disk refused; an earlier file stays.
    """
    write_lines(path, [json.dumps(value, indent=2, ensure_ascii=False)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines beside the file and move it into place.

    Raises:
        StoreError: the disk refused; an earlier file stays.
    """
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        with new.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in lines)
        new.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """A JSON object.

    Raises:
        InputError: the file holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file: {error}; delete it, or name another folder") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error that says how to go on.

    Raises:
        StoreError: the disk refused.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}. What was finished is kept:"
            " make room and run the same command again"
        ) from error
