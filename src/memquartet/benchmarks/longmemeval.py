"""LongMemEval: a question over many dated chat sessions with an assistant.

Format: xiaowu0162/LongMemEval (at 9e0b455f). Its metric is a judge model, which a sample's `extra["judge"]` names; without
one the answers are scored by token F1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from memquartet.benchmarks.hub import HubFile
from memquartet.benchmarks.reading import Record, Row, checked, shown
from memquartet.benchmarks.sessions import Utterance, date_time_text, session_chunks
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize

# As in "2023/06/18 (Sun) 14:57".
_DATE_TIME = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})\s*(?:\(\w+\))?\s*(\d{1,2}):(\d{2})")

ANSWER_TOKENS = 500
"""The official bound of a reply without notes."""


class Version(StrEnum):
    """How much is read before the question."""

    ORACLE = "oracle"
    """Only the sessions with evidence."""
    S = "s"
    """About 48 sessions, 115,000 tokens."""
    M = "m"
    """About 480 sessions, 1.5 million tokens."""


REPO = "xiaowu0162/longmemeval-cleaned"
REVISION = "98d7416c24c778c2fee6e6f3006e7a073259d48f"
FILES = {
    Version.ORACLE: HubFile(repo=REPO, revision=REVISION, path="longmemeval_oracle.json"),
    Version.S: HubFile(
        repo=REPO,
        revision=REVISION,
        path="longmemeval_s_cleaned.json",
        sha256="d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
    ),
    Version.M: HubFile(repo=REPO, revision=REVISION, path="longmemeval_m_cleaned.json"),
}
"""The cleaned release of September 2025."""


class _Turn(Row):
    role: str
    content: str
    has_answer: bool | None = None


class _Row(Row):
    question_id: str
    question_type: str
    question: str
    answer: str | int | float
    question_date: str
    haystack_dates: list[str]
    haystack_session_ids: list[str]
    haystack_sessions: list[list[_Turn]]
    answer_session_ids: list[str] = Field(default_factory=list)


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object looks like one of LongMemEval's questions."""
    return {"haystack_sessions", "question"} <= record.keys()


def read(records: Iterable[Record], size: ChunkSize) -> Iterator[Sample]:
    """One sample a question; sessions by date (the files are not always in order).

    Source ids and evidence are session ids; each chunk also names its turns, as the session's id, "_" and the turn's
    number from 1, and the turns that hold the answer are in the question's `extra` ("evidence_turns"). A question
    whose id ends in "_abs" has no answers; its explanation is in `extra` ("answer").

    Raises:
        InputError: a record is not in LongMemEval's form.
    """
    for record in records:
        row = checked(_Row, record)
        if not len(row.haystack_dates) == len(row.haystack_session_ids) == len(row.haystack_sessions):
            raise InputError(
                f"{record.place}: expected as many haystack_dates and haystack_session_ids as"
                f" haystack_sessions ({len(row.haystack_sessions)}), given {len(row.haystack_dates)} and"
                f" {len(row.haystack_session_ids)}"
            )
        if not any(row.haystack_sessions):
            raise InputError(f"{record.place}, field 'haystack_sessions': no session has a turn")
        unanswerable = row.question_id.endswith("_abs")
        extra: dict[str, object] = {
            "question_type": row.question_type,
            "evidence_turns": _evidence_turns(row),
        }
        question = Question(
            question_id=row.question_id,
            text=row.question,
            answers=() if unanswerable else (str(row.answer),),
            category="abstention" if unanswerable else row.question_type,
            evidence=tuple(row.answer_session_ids),
            time=_time(row.question_date, f"{record.place}, field 'question_date'"),
            extra=extra | ({"answer": row.answer} if unanswerable else {}),
        )
        yield Sample(
            sample_id=row.question_id,
            chunks=tuple(_chunks(row, record.place, size)),
            questions=(question,),
            source="longmemeval",
            extra={"judge": "longmemeval", "answer_tokens": ANSWER_TOKENS, "dated": True},
        )


def _chunks(row: _Row, place: str, size: ChunkSize) -> Iterator[Chunk]:
    times = [
        _time(text, f"{place}, field 'haystack_dates[{index}]'")
        for index, text in enumerate(row.haystack_dates)
    ]
    start = 0
    for index in sorted(range(len(times)), key=times.__getitem__):
        session_id, time = row.haystack_session_ids[index], times[index]
        utterances = [
            Utterance(text=f"{turn.role}: {turn.content}", source_id=f"{session_id}_{number}", time=time)
            for number, turn in enumerate(row.haystack_sessions[index], start=1)
        ]
        for chunk in session_chunks(utterances, head=f"[{date_time_text(time)}]", size=size, start=start):
            start = chunk.index + 1
            yield replace(chunk, source_ids=(session_id, *chunk.source_ids))


def _evidence_turns(row: _Row) -> list[str]:
    return [
        f"{session_id}_{number}"
        for session_id, session in zip(row.haystack_session_ids, row.haystack_sessions, strict=True)
        for number, turn in enumerate(session, start=1)
        if turn.has_answer
    ]


def _time(text: str, place: str) -> datetime:
    match = _DATE_TIME.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute = map(int, match.groups())
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        raise InputError(
            f"{place}: expected a time like '2023/06/18 (Sun) 14:57', given {shown(text)}"
        ) from None
