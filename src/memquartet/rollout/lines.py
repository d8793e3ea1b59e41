"""The lines of a text as they were said, kept beside the facts.

What an extractor overlooks or gets wrong is gone, unless the text's own words are kept as well. A line is never shown
to the manager, which decides about facts; it is retrieved for questions, next to the facts. The entry of a fact
names the line that it was taken from (`LINE` in its meta), so that both go together when the fact is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from memquartet.core.memory import EntryId, Insert, Meta, Update
from memquartet.memory.limits import LINE
from memquartet.text.chunking import pack, sentences
from memquartet.text.remarks import remarks, speaker_of
from memquartet.text.terms import content_words
from memquartet.text.tokens import default_counter

LINE_TOKENS = 96
"""A longer line is cut between its sentences."""
SENTENCE_WORDS = 3
"""Words of a sentence at least."""
LEAST_SHARED = 0.5
"""A fact comes from no line that holds a smaller share of its content words."""

Op = TypeVar("Op")
_HEAD = re.compile(r"\[[^\]\n]*\]")


def lines_of(text: str) -> list[str]:
    """The sentences of a text, or the remarks of a talk, in their order, each once.

    Long ones are cut, and every part of a remark begins with its speaker. What is empty and a session's head, which
    says the time that every line has with it, are left out.
    """
    count = default_counter().count
    parts = (
        " ".join(part.text().split())
        for number, remark in enumerate(remarks(text))
        if number or not _HEAD.fullmatch(remark.rstrip())
        for said in ([remark] if speaker_of(remark) else _whole_sentences(remark))
        for part in pack([said], budget=LINE_TOKENS, count=count, lead=speaker_of)
    )
    return list(dict.fromkeys(filter(None, parts)))


def _whole_sentences(text: str) -> Iterator[str]:
    """The sentences of a text; what is too short to be one ("Dr.") stands before the next."""
    held = ""
    for sentence in sentences(text):
        held += sentence
        if len(held.split()) >= SENTENCE_WORDS:
            yield held
            held = ""
    yield held


def source_of(fact: str, lines: Sequence[str]) -> int | None:
    """The number of the line that a fact was taken from: the one that holds most of its content words.

    Of equal ones it is the last, which is what holds; None where none holds `LEAST_SHARED` of them.
    """
    said = frozenset(content_words(fact))
    shares = [len(said.intersection(content_words(line))) for line in lines]
    most = max(shares, default=0)
    if not said or most < LEAST_SHARED * len(said):
        return None
    return max(number for number, share in enumerate(shares) if share == most)


def with_line(op: Op, line: EntryId | None) -> Op:
    """The operation with the line of its fact in its meta, in the place of what stood there."""
    if not isinstance(op, Insert | Update) or op.meta is None:
        return op
    kept: Meta = {key: value for key, value in op.meta.items() if key != LINE}
    return replace(op, meta=kept if line is None else {**kept, LINE: line})
