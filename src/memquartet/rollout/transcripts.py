"""Transcripts: episodes as JSON lines that reload to the same values.

One line an episode: `{"format": "memquartet.episode/1", "episode": {…}}`. A file may be appended to by one
writer; a last line that was cut by a crash is left out on reading and overwritten by the next append.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from memquartet.core.trajectory import Episode
from memquartet.errors import InputError

FORMAT = "memquartet.episode/1"


@cache
def _adapter() -> TypeAdapter[Episode]:
    return TypeAdapter(Episode)


def encode_episode(episode: Episode) -> str:
    """One line of JSON, without the line break. Characters beyond ASCII are escaped, so nothing can break a line."""
    return json.dumps({"format": FORMAT, "episode": _adapter().dump_python(episode, mode="json")})


def decode_episode(line: str) -> Episode:
    """The episode of one line.

    Raises:
        InputError: not JSON, another format version, or a field that is missing or has the wrong type.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected one JSON object, got {line[:60]!r} ({error})") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise InputError(
            f"expected a transcript of format {FORMAT!r}, got {found!r}; read it with the version that wrote it"
        )
    try:
        return _adapter().validate_python(document.get("episode"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"episode field {place!r}: {first['msg']}") from error


def append_episode(path: Path, episode: Episode) -> None:
    """Add one episode at the end of a file and wait until the disk has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        _drop_cut_line(file.fileno())
        file.write(encode_episode(episode).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_episodes(path: Path) -> Iterator[Episode]:
    """The episodes of a file in order; a cut last line is left out.

    Raises:
        InputError: a whole line that is not an episode; the message names the file and the line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield decode_episode(line)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from error


def _drop_cut_line(descriptor: int) -> None:
    """Cut the file behind its last line break."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
