"""The lines of a text as they were said, kept beside the facts.

What an extractor overlooks or gets wrong is gone, unless the text's own words are kept as well. A line is never shown
to the manager, which decides about facts; it is retrieved for questions, next to the facts. The entry of a fact
names the line that it was taken from (`LINE` in its meta), so that both go together when the fact is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from memquartet.core.memory import EntryId, Insert, MemoryEntry, Meta, Update
from memquartet.text.chunking import pack
from memquartet.text.remarks import remarks, speaker_of
from memquartet.text.terms import content_words
from memquartet.text.tokens import default_counter

LINE = "line"
"""The meta key under which a fact's entry names the entry of its line."""
LINE_TOKENS = 96
"""A longer line is cut between its sentences."""
SAID_WHOLE = 0.8
"""A line of whose content words its facts hold this share is not kept: it would only say the same again."""
MAX_QUESTION = 160
"""Characters of a question that goes before its answer, at most."""
LEAST_SHARED = 0.5
"""A fact comes from no line that holds a smaller share of its content words."""

Op = TypeVar("Op")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
_QUESTION_MARKS = ("?", "\uff1f")  # the full-width ones of Chinese


class Line(NamedTuple):
    """What somebody said, behind the question that was asked before it, if one was."""

    said: str
    asked: str = ""

    @property
    def text(self) -> str:
        """As it is kept, such as "Bea: Which kayak? Ann: The red one."."""
        return f"{self.asked} {self.said}" if self.asked else self.said


def lines_of(text: str) -> list[Line]:
    """The lines of a text, or the remarks of a talk, in their order, without empty ones; long ones are cut."""
    count = default_counter().count
    lines: list[Line] = []
    asked = ""
    for remark in filter(str.strip, remarks(text)):
        parts = [part.text() for part in pack([remark], budget=LINE_TOKENS, count=count, lead=speaker_of)]
        said = [" ".join(part.split()) for part in parts if part.strip()]
        lines += [Line(said[0], asked), *map(Line, said[1:])]
        asked = _question_at_end(remark)
    return lines


def _question_at_end(remark: str) -> str:
    """The question with which a remark ends, with its speaker; empty of none, or of a long one."""
    last: str = [part for part in _SENTENCE_END.split(remark.strip()) if part][-1]
    if not last.endswith(_QUESTION_MARKS) or len(last) > MAX_QUESTION:
        return ""
    speaker = speaker_of(remark)
    return last if last.startswith(speaker) else speaker + last


def source_of(fact: str, lines: Sequence[Line]) -> int | None:
    """The number of the line that a fact was taken from: the one that holds most of its content words.

    Of equal ones it is the last, which is what holds; None where none holds `LEAST_SHARED` of them.
    """
    said = frozenset(content_words(fact))
    shares = [len(said.intersection(content_words(line.text))) for line in lines]
    most = max(shares, default=0)
    if not said or most < LEAST_SHARED * len(said):
        return None
    return max(number for number, share in enumerate(shares) if share == most)


def says_more(line: Line, facts: Iterable[str]) -> bool:
    """Whether a line holds content words beside those of its facts, more than a number or a name in five."""
    words = content_words(line.said)
    known = {word for fact in facts for word in content_words(fact)}
    return sum(word in known for word in words) < SAID_WHOLE * len(words)


def with_line(op: Op, line: EntryId | None) -> Op:
    """The operation with the line of its fact in its meta, in the place of what stood there."""
    if not isinstance(op, Insert | Update) or op.meta is None:
        return op
    kept: Meta = {key: value for key, value in op.meta.items() if key != LINE}
    return replace(op, meta=kept if line is None else {**kept, LINE: line})


def line_named(entry: MemoryEntry) -> EntryId | None:
    """The line that an entry names."""
    line = entry.meta.get(LINE)
    return EntryId(line) if isinstance(line, str) else None
