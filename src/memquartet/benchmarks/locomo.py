"""LoCoMo: long dated conversations of two people, with questions in five categories.

Format and protocol: snap-research/locomo, `locomo10.json` and `task_eval/evaluation.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from memquartet.benchmarks.hub import WebFile
from memquartet.benchmarks.reading import Record, Row, checked, shown
from memquartet.benchmarks.sessions import Utterance, date_time_text, session_chunks
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize
from memquartet.text.dates import MONTHS

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
"""By the numbers in the file; some reports swap the names of 2 and 3."""

REPO = "snap-research/locomo"
REVISION = "3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376"
FILE = WebFile(
    url=f"https://raw.githubusercontent.com/{REPO}/{REVISION}/data/locomo10.json",
    name="locomo10.json",
    sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
)
"""The ten conversations; they are not on the hub."""

ANSWER_TOKENS = 32
"""The official bound of a reply, where one question is asked at a time."""

_ADVERSARIAL = 5
_SESSION = re.compile(r"session_(\d+)")
# As in "1:56 pm on 8 May, 2023".
_DATE_TIME = re.compile(
    r"(\d{1,2}):(\d{2})\s*([ap]m)\s+on\s+(\d{1,2})\s+([A-Za-z]+),?\s+(\d{4})", re.IGNORECASE
)
# The file also holds "D8:6; D9:17", "D:11:26" and "D30:05".
_DIALOGUE_ID = re.compile(r"D:?(\d+):(\d+)")


class _Turn(Row):
    speaker: str
    dia_id: str
    text: str
    blip_caption: str | None = None


class _Qa(Row):
    question: str
    category: Annotated[int, Field(ge=1, le=5)]
    answer: str | int | float | None = None
    adversarial_answer: str | int | float | None = None
    evidence: list[str] = Field(default_factory=list)


class _Conversation(Row):
    sample_id: str
    conversation: dict[str, object]
    qa: list[_Qa]


class _Turns(Row):
    turns: list[_Turn]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    number: int
    time: datetime
    turns: list[_Turn]


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object looks like one of LoCoMo's conversations."""
    return {"conversation", "qa"} <= record.keys()


def read(records: Iterable[Record], size: ChunkSize) -> Iterator[Sample]:
    """One sample a conversation; sessions in time order, a chunk never crosses from one to another.

    An adversarial question has no answers, since the right reply is that the text does not say; what the
    file lists for it is in `extra` ("adversarial_answer", "answer"). Evidence ids that name no turn are
    in `extra` too ("unknown_evidence").

    Raises:
        InputError: a record is not in LoCoMo's form.
    """
    for record in records:
        row = checked(_Conversation, record)
        chunks = conversation_chunks(row.conversation, record.place, size)
        if not chunks:
            raise InputError(f"{record.place}, field 'conversation': no session has a turn")
        known = {source_id for chunk in chunks for source_id in chunk.source_ids}
        yield Sample(
            sample_id=row.sample_id,
            chunks=tuple(chunks),
            questions=tuple(
                _question(qa, f"{row.sample_id}:{index}", known, f"{record.place}, field 'qa[{index}]'")
                for index, qa in enumerate(row.qa)
            ),
            source="locomo",
            metric="locomo_f1",
            extra={"judge": "locomo", "answer_tokens": ANSWER_TOKENS},
        )


def conversation_chunks(conversation: Mapping[str, object], place: str, size: ChunkSize) -> list[Chunk]:
    """The chunks of a conversation in LoCoMo's form: sessions in time order, each with its date.

    Raises:
        InputError: a session or its date is not in LoCoMo's form.
    """
    chunks: list[Chunk] = []
    for session in sorted(_sessions(conversation, place), key=lambda one: (one.time, one.number)):
        chunks.extend(_session_chunks(session, size, start=len(chunks)))
    return chunks


def _sessions(conversation: Mapping[str, object], place: str) -> Iterator[_Session]:
    """The sessions that have turns; the file also dates sessions that it does not hold."""
    for key, value in conversation.items():
        match = _SESSION.fullmatch(key)
        if match is None:
            continue
        where = f"{place}, field 'conversation.{key}'"
        turns = checked(_Turns, Record(place=where, value={"turns": value})).turns
        if turns:
            dated = conversation.get(f"{key}_date_time")
            yield _Session(number=int(match[1]), time=_time(dated, f"{where[:-1]}_date_time'"), turns=turns)


def _time(text: object, place: str) -> datetime:
    match = _DATE_TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    try:
        if match is None:
            raise ValueError
        hour, minute, half, day, month, year = match.groups()
        return datetime(
            int(year),
            MONTHS.index(month.capitalize()) + 1,
            int(day),
            int(hour) % 12 + (12 if half.lower() == "pm" else 0),
            int(minute),
            tzinfo=UTC,
        )
    except ValueError:
        raise InputError(
            f"{place}: expected a time like '1:56 pm on 8 May, 2023', given {shown(text)}"
        ) from None


def _session_chunks(session: _Session, size: ChunkSize, *, start: int) -> Iterator[Chunk]:
    utterances = [
        Utterance(text=_said(turn), source_id=turn.dia_id, time=session.time) for turn in session.turns
    ]
    return session_chunks(utterances, head=f"[{date_time_text(session.time)}]", size=size, start=start)


def _said(turn: _Turn) -> str:
    photo = f" [shares a photo: {turn.blip_caption}]" if turn.blip_caption else ""
    return f"{turn.speaker}: {turn.text}{photo}"


def _question(qa: _Qa, question_id: str, known: set[str], place: str) -> Question:
    evidence, unknown = _evidence(qa.evidence, known)
    extra: dict[str, object] = {"unknown_evidence": unknown} if unknown else {}
    answers: tuple[str, ...] = ()
    if qa.category == _ADVERSARIAL:
        extra |= {"adversarial_answer": qa.adversarial_answer}
        extra |= {} if qa.answer is None else {"answer": qa.answer}
    elif qa.answer is None:
        raise InputError(f"{place}: a question of category {qa.category} needs an answer, given none")
    else:
        answers = (str(qa.answer),)
    return Question(
        question_id=question_id,
        text=qa.question,
        answers=answers,
        category=CATEGORIES[qa.category],
        evidence=evidence,
        extra=extra,
    )


def _evidence(raw: list[str], known: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """The named turns, each once, and what names none."""
    found: dict[str, None] = {}
    unknown: list[str] = []
    for text in raw:
        ids = [f"D{int(session)}:{int(turn)}" for session, turn in _DIALOGUE_ID.findall(text)]
        found |= dict.fromkeys(one for one in ids if one in known)
        unknown += [one for one in ids if one not in known] if ids else [text]
    return tuple(found), unknown
