"""Model calls kept on disk by their content, so that an interrupted run pays for nothing twice.

The key is a hash of the model's name and of everything in the request, so equal calls have equal replies
whoever makes them. The file is SQLite in WAL mode: a reply that was returned survives SIGKILL, and several
processes may share it. Failed calls are not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from memquartet.core.messages import Message
from memquartet.errors import StoreError, StoreVersionError
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion

VERSION = 1
APPLICATION_ID = 0x4D514343  # "MQCC"
LOCK_SECONDS = 60.0

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    completion TEXT NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """A reply and the seconds that it took when it was made."""

    completion: Completion
    seconds: float


class CallCache:
    """The file of kept calls. Safe to use from several threads and processes.

    Raises:
        StoreError: the file cannot be opened, read or written.
        StoreVersionError: it is another kind of file, or of a newer memquartet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(
                path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up_with_others()
            except BaseException:
                self._file.close()
                raise

    def get(self, key: str) -> KeptCall | None:
        """The kept call of a key."""
        with self._guarded(), self._lock:
            row = self._file.execute("SELECT completion, seconds FROM calls WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return KeptCall(completion=_completions().validate_python(json.loads(row[0])), seconds=row[1])
        except ValueError as error:
            raise StoreError(f"{self._path}: the call {key[:12]} is damaged; delete the file") from error

    def put(self, key: str, call: KeptCall) -> None:
        """Keep a call; one that is there already stays."""
        # Not pydantic's own JSON: it refuses half a surrogate pair, which a model may well write.
        text = json.dumps(_completions().dump_python(call.completion, mode="json"))
        with self._guarded(), self._lock:
            self._file.execute(
                "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)",
                (key, call.completion.model, text, call.seconds),
            )

    def __len__(self) -> int:
        with self._guarded(), self._lock:
            return int(self._file.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _set_up_with_others(self) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._set_up()
                return
            except sqlite3.OperationalError as error:
                # SQLite does not wait when two processes switch a new file to WAL at once.
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                self._file.rollback()
                time.sleep(0.01)

    def _set_up(self) -> None:
        tables = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        kind = self._file.execute("PRAGMA application_id").fetchone()[0]
        version = self._file.execute("PRAGMA user_version").fetchone()[0]
        if tables and (kind != APPLICATION_ID or version > VERSION):
            raise StoreVersionError(
                f"{self._path} holds no model calls that this version can read: name another file or update memquartet"
            )
        self._file.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the last calls, a crash of the process none; they can be made again.
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.executescript(_SCHEMA)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self._path}: the model calls cannot be kept: {error}; make room or name another file, then run again"
            ) from error


class CachedModel:
    """A `ChatModel` that asks another one only what it was never asked before.

    Of equal requests at the same time one is sent, and the others wait for its reply.
    """

    def __init__(self, model: ChatModel, kept: CallCache) -> None:
        self._model = model
        self._kept = kept
        self._under_way: dict[str, asyncio.Event] = {}

    @property
    def name(self) -> str:
        """The inner model's name."""
        return self._model.name

    @property
    def prompts(self) -> str | None:
        """As the inner model says."""
        return self._model.prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """As the inner model says."""
        return self._model.fits(messages)

    async def complete(self, request: ChatRequest) -> Completion:
        """The kept reply, or a new one that is kept before it is returned.

        Raises:
            ModelServerError: the inner model gave no usable reply.
            StoreError: the reply could not be kept.
        """
        key = call_key(self._model.name, request)
        while waiting := self._under_way.get(key):
            await waiting.wait()
        if found := self._kept.get(key):
            if (saved := _SAVED.get()) is not None:
                saved.seconds += found.seconds
                saved.calls += 1
            return found.completion
        self._under_way[key] = done = asyncio.Event()
        try:
            started = time.perf_counter()
            completion = await self._model.complete(request)
            self._kept.put(key, KeptCall(completion=completion, seconds=time.perf_counter() - started))
        finally:
            del self._under_way[key]
            done.set()
        return completion


@dataclass(slots=True)
class Saved:
    """What the cache saved in a piece of work: calls, and the seconds they took when they were made."""

    calls: int = 0
    seconds: float = 0.0


_SAVED: ContextVar[Saved | None] = ContextVar("memquartet_saved", default=None)


@contextmanager
def count_saved() -> Iterator[Saved]:
    """Count what caches save inside the block, in the tasks started there too."""
    saved = Saved()
    token = _SAVED.set(saved)
    try:
        yield saved
    finally:
        _SAVED.reset(token)


def call_key(model: str, request: ChatRequest) -> str:
    """A hash (hex) of the model's name and the whole request; the same in every process."""
    text = json.dumps(
        {"model": model, "request": _requests().dump_python(request, mode="json")},
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


@cache
def _completions() -> TypeAdapter[Completion]:
    return TypeAdapter(Completion)


@cache
def _requests() -> TypeAdapter[ChatRequest]:
    return TypeAdapter(ChatRequest)
