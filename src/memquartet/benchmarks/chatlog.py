"""Chats as JSONL and plain text files, read as a stream of chunks.

A chat line is `{"speaker": "Ann", "text": "Hello!", "time": "2024-05-08T09:30:00+00:00"}`; "role" and
"content" stand for "speaker" and "text" as well, "timestamp" for "time", which may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

from pydantic import AliasChoices, Field

from memquartet.benchmarks.reading import Record, Row, checked, read_lines, shown
from memquartet.benchmarks.sessions import Utterance, date_text, session_chunks
from memquartet.core.samples import Chunk
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize, pack
from memquartet.text.remarks import speaker_of


class _Message(Row):
    speaker: str = Field(validation_alias=AliasChoices("speaker", "role"))
    text: str = Field(validation_alias=AliasChoices("text", "content"))
    time: str | None = Field(default=None, validation_alias=AliasChoices("time", "timestamp"))


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object looks like a line of a chat."""
    return bool({"speaker", "role"} & record.keys()) and bool({"text", "content"} & record.keys())


def read_chat(records: Iterable[Record], size: ChunkSize) -> Iterator[Chunk]:
    """Chunks of messages in file order; a chunk holds one day, which its first line names.

    A chunk's time is the one of its first message, in the zone it was given in (UTC when in none); its
    source ids are the messages' places, like "chat.jsonl:12". Messages without a time after one that
    has a time belong to its day.

    Raises:
        InputError: a record is no message.
    """
    start = 0
    for day, utterances in groupby(_utterances(records), key=lambda one: one.time and one.time.date()):
        for chunk in session_chunks(utterances, head=_head(day), size=size, start=start):
            start = chunk.index + 1
            yield chunk


def read_text(path: Path, size: ChunkSize) -> Iterator[Chunk]:
    """Chunks of whole lines; all chunks joined are the text, but for white space between blank chunks.

    A line that is longer than a chunk and begins with a speaker's name begins with it in every further chunk too.

    Raises:
        InputError: the file cannot be read, or holds nothing but white space.
    """
    lines = (text + "\n" for _, text in read_lines(path))
    index = 0
    for one in pack(lines, budget=size.tokens, count=size.count, separator="", lead=speaker_of):
        first, last = one.pieces[0].index + 1, one.pieces[-1].index + 1
        text = one.text("")
        if text.strip():
            place = f"{path.name}:{first}" if first == last else f"{path.name}:{first}-{last}"
            yield Chunk(text=text, index=index, source_ids=(place,))
            index += 1
    if index == 0:
        raise InputError(f"{path}: the file holds nothing but white space, expected text")


def _utterances(records: Iterable[Record]) -> Iterator[Utterance]:
    time: datetime | None = None
    for record in records:
        message = checked(_Message, record)
        if message.time is not None:
            time = _time(message.time, record.place)
        place = record.place.replace("\\", "/").rsplit("/", 1)[-1]
        yield Utterance(text=f"{message.speaker}: {message.text}", source_id=place, time=time)


def _time(text: str, place: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{place}, field 'time': expected an ISO 8601 time like '2024-05-08T09:30:00', given {shown(text)}"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _head(day: date | None) -> str:
    return f"[{date_text(day)}]" if day else ""
