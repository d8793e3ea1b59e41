"""How texts and stored memories are shown to a model: a memory is one line, with the date when it was said."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TypeVar

from memquartet.core.memory import EntryId, Hit, MemoryEntry, Meta, MetaValue
from memquartet.core.samples import Chunk, Question
from memquartet.memory.limits import SAID_AT, entry_number
from memquartet.text.dates import with_dates

T = TypeVar("T")
_DATE = re.compile(r"^\(\d{4}-\d\d-\d\d\) ")


def chunk_meta(chunk: Chunk) -> Meta:
    """What an entry keeps of the chunk it came from: its number, and when it was said."""
    meta: dict[str, MetaValue] = {"chunk": chunk.index}
    if chunk.time:
        meta[SAID_AT] = chunk.time.isoformat()
    return meta


def as_read(chunk: Chunk) -> str:
    """The text of a chunk as it is shown: where its time is known, with dates beside words such as "yesterday"."""
    return with_dates(chunk.text, _day(chunk.time)) if chunk.time else chunk.text


def as_asked(question: Question) -> Question:
    """The question as it is searched for and shown: where its time is known, with such dates, too."""
    if question.time is None:
        return question
    return replace(question, text=with_dates(question.text, _day(question.time)))


def _day(time: datetime) -> date:
    """The day that stands before a memory of what was said then: memories keep times in UTC."""
    return (time.astimezone(UTC) if time.tzinfo else time).date()


def memory_line(entry: MemoryEntry) -> str:
    """`(2023-05-08) content`, or the content alone when its date is unknown. Line breaks become spaces."""
    time = entry.meta.get(SAID_AT)
    content = " ".join(entry.content.split())
    return f"({str(time)[:10]}) {content}" if time else content


def undated(line: str) -> str:
    """A `memory_line` without its date."""
    return _DATE.sub("", line)


def in_time_order(hits: Iterable[Hit]) -> list[Hit]:
    """Oldest first by event time, then by the time of writing; hits without an event time come first."""

    def age(hit: Hit) -> tuple[str, datetime, int]:
        entry = hit.entry
        # What was written at once, as the lines of a text are, has one time.
        return str(entry.meta.get(SAID_AT, "")), entry.updated_at, entry_number(entry.entry_id) or 0

    return sorted(hits, key=age)


def within_window(
    hits: Sequence[Sequence[Hit]],
    render: Callable[[Sequence[Sequence[Hit]]], T],
    fits: Callable[[T], bool],
    *,
    droppable: Sequence[Hit] | None = None,
) -> tuple[T, int]:
    """Render a prompt with as many memories as fit, and tell how many were left out.

    A prompt without any memories is taken even where it does not fit.

    Args:
        hits: for each fact or question the memories to show; an entry may stand in several lists.
        render: makes the prompt from the lists.
        fits: whether a prompt is short enough; fewer memories never make it longer.
        droppable: every memory once, in the order in which they are left out; by default the oldest goes first.
    """
    if droppable is None:
        droppable = in_time_order({hit.entry.entry_id: hit for found in hits for hit in found}.values())

    def without(count: int) -> T:
        gone = {hit.entry.entry_id for hit in droppable[:count]}
        return render([[hit for hit in found if hit.entry.entry_id not in gone] for found in hits])

    whole = render(hits)
    if fits(whole):
        return whole, 0
    most = len(droppable)
    count = bisect_left(range(most), True, lo=min(1, most), key=lambda n: fits(without(n)))
    return without(count), count


class ShortIds:
    """Store ids as "0", "1", … in the order of first sight: short to write, and nothing else can be named.

    A model that sees only short ids cannot touch an entry that was not shown to it.
    """

    def __init__(self) -> None:
        self._shorts: dict[EntryId, str] = {}

    def of(self, entry_id: EntryId) -> str:
        """The short id of an entry, given out at first sight."""
        return self._shorts.setdefault(entry_id, str(len(self._shorts)))

    def resolve(self, short: str) -> EntryId | None:
        """The entry behind a short id; None when it was not shown."""
        return next((entry_id for entry_id, known in self._shorts.items() if known == short), None)

    @property
    def shown(self) -> Sequence[str]:
        """Every short id given out, in order."""
        return list(self._shorts.values())
