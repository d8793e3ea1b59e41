"""Utterances of one session to chunks: a dated head line, then the utterances that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from memquartet.core.samples import Chunk
from memquartet.errors import ConfigError
from memquartet.text.chunking import ChunkSize, pack
from memquartet.text.dates import WEEKDAYS, write_date
from memquartet.text.remarks import speaker_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What somebody said, as it will stand in the chunk."""

    text: str
    source_id: str
    time: datetime | None = None


def session_chunks(
    utterances: Iterable[Utterance], *, head: str, size: ChunkSize, start: int = 0
) -> Iterator[Chunk]:
    """Chunks numbered from `start`; each begins with `head` (unless empty) and keeps the size with it.

    A chunk's time is the one of its first utterance. An utterance that had to be cut lends its source
    id and its speaker's name to every chunk that holds a part of it. Utterances are taken one by one, as needed.

    Raises:
        ConfigError: the head alone fills the chunk.
    """
    # Two tokens to spare: the body's first word may fall into more of them after a line end.
    budget = size.tokens - (size.count(head + "\n") + 2 if head else 0)
    if budget < 1:
        raise ConfigError(
            f"chunks of {size.tokens} tokens have no room beside the head {head!r}: raise the size"
        )
    waiting: dict[int, Utterance] = {}

    def texts() -> Iterator[str]:
        for index, utterance in enumerate(utterances):
            waiting[index] = utterance
            yield utterance.text

    for offset, one in enumerate(pack(texts(), budget=budget, count=size.count, lead=speaker_of)):
        first, last = one.pieces[0].index, one.pieces[-1].index
        for done in [index for index in waiting if index < first]:
            del waiting[done]
        yield Chunk(
            text=f"{head}\n{one.text()}" if head else one.text(),
            index=start + offset,
            time=waiting[first].time,
            source_ids=tuple(waiting[index].source_id for index in range(first, last + 1)),
        )


def date_text(time: date) -> str:
    """As "Monday 8 May 2023": the weekday lets a reader resolve "last Friday"."""
    return f"{WEEKDAYS[time.weekday()]} {write_date(time)}"


def date_time_text(time: datetime) -> str:
    """As "Monday 8 May 2023, 13:56"."""
    return f"{date_text(time)}, {time:%H:%M}"
