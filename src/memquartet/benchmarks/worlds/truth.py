"""What is true in a generated sample: each line's perfect extraction, and the right decision about it.

A sample carries its truth as plain JSON in `Sample.extra["truth"]`, and each question what it asks for in
`Question.extra["asks"]`, so that it survives every file format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter, ValidationError

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import InputError
from memquartet.text.dates import MONTHS

TRUTH = "truth"
ASKS = "asks"
Key = tuple[str, str]
"""Subject and relation: what one entry of a perfect memory is about."""


class FactKind(StrEnum):
    """Which list of the extractor's output a fact belongs to."""

    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    UNIMPORTANT = "unimportant"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueFact:
    """One thing that a line of a chunk says.

    `fact_id` is the line's source id, with "#2", "#3", … for what else it says; `text` is the perfect extraction. An important fact says that `relation` of
    `subject` is `value`; an empty value says that it is nothing any more. `decision` is the right one with all of
    the memory in view, `target` the fact whose entry it is about; both are empty for an unimportant fact, whose
    `gist` is what a summary keeps of it.
    """

    fact_id: str
    chunk: int
    text: str
    kind: FactKind
    subject: str = ""
    relation: str = ""
    value: str = ""
    decision: Decision | None = None
    target: str | None = None
    gist: str = ""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.subject, self.relation

    @property
    def line(self) -> str:
        """Source id of the line that says it."""
        return self.fact_id.partition("#")[0]


class Form(StrEnum):
    """How an answer follows from facts."""

    VALUE = "value"
    """Walk from the subject along the relations; each value is the next subject."""
    FIRST = "first"
    """Which of several keys has the earliest date as its value; the answer is its label."""
    GIVEN = "given"
    """The label, if one of the keys is known."""
    LIST = "list"
    """The values of every key of the subject whose relation begins with the first relation and "/"."""
    COUNT = "count"
    """How many those are."""
    AGO = "ago"
    """The days from the date that is the value of the subject's relation to `day`."""
    RECENT = "recent"
    """What the short-term memory mentions last."""
    ANY = "any"
    """What one of several keys says, which all say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a question asks for.

    `keys` belong to `Form.FIRST`, `Form.ANY` and `Form.GIVEN`, `labels` to the first and the last of them, `day`
    ("7 May 2023") to `Form.AGO`.
    """

    form: Form = Form.VALUE
    subject: str = ""
    relations: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    labels: tuple[str, ...] = ()
    day: str = ""

    def as_json(self) -> dict[str, object]:
        """The fields that say something."""
        fields: dict[str, object] = _asked_adapter().dump_python(self, mode="json", exclude_defaults=True)
        return fields


@cache
def _facts_adapter() -> TypeAdapter[tuple[TrueFact, ...]]:
    return TypeAdapter(tuple[TrueFact, ...])


@cache
def _asked_adapter() -> TypeAdapter[Asked]:
    return TypeAdapter(Asked)


def truth_as_json(facts: Iterable[TrueFact]) -> list[dict[str, object]]:
    """Facts as they stand in `Sample.extra`, without what is empty."""
    items: list[dict[str, object]] = _facts_adapter().dump_python(
        tuple(facts), mode="json", exclude_defaults=True
    )
    return items


def truth_of(sample: Sample) -> tuple[TrueFact, ...]:
    """The truth of a generated sample, in reading order.

    Raises:
        InputError: the sample carries none, or it is damaged.
    """
    if TRUTH not in sample.extra:
        raise InputError(f"sample {sample.sample_id!r} carries no truth: only generated worlds do")
    try:
        return _facts_adapter().validate_python(sample.extra[TRUTH])
    except ValidationError as error:
        raise InputError(f"sample {sample.sample_id!r}, truth: {error.errors()[0]['msg']}") from error


def asked_by(question: Question) -> Asked:
    """What a generated question asks for.

    Raises:
        InputError: the question does not say so.
    """
    try:
        return _asked_adapter().validate_python(question.extra.get(ASKS))
    except ValidationError as error:
        raise InputError(
            f"question {question.question_id!r}, extra {ASKS!r}: {error.errors()[0]['msg']}"
        ) from error


def answer_from(facts: Iterable[TrueFact], asked: Asked) -> str | None:
    """The answer that these facts give, the later the truer; None when they do not say it.

    For `Form.RECENT` it is the gist of the last unimportant fact.
    """
    current: dict[Key, str] = {}
    gist = ""
    for fact in facts:
        if fact.kind is FactKind.UNIMPORTANT:
            gist = fact.gist
        else:
            current[fact.key] = fact.value
    answer = ""
    match asked.form:
        case Form.RECENT:
            answer = gist
        case Form.FIRST:
            answer = _earliest(current, asked.keys, asked.labels) or ""
        case Form.ANY | Form.GIVEN:
            said = next((value for key in asked.keys if (value := current.get(key))), "")
            answer = asked.labels[0] if said and asked.form is Form.GIVEN else said
        case Form.LIST | Form.COUNT:
            answer = _listed(current, asked)
        case Form.AGO:
            date_said = current.get((asked.subject, asked.relations[0]), "")
            answer = days_ago(date_said, asked.day) if _is_date(date_said) else ""
        case Form.VALUE:
            answer = asked.subject
            for relation in asked.relations:
                answer = current.get((answer, relation), "")
    return answer or None


def days_ago(value: str, day: str) -> str:
    """As "12 days ago", of two dates in full.

    Raises:
        InputError: one is no such date.
    """
    return f"{(read_date(day) - read_date(value)).days} days ago"


def _listed(current: Mapping[Key, str], asked: Asked) -> str:
    prefix = f"{asked.relations[0]}/"
    values = [
        value
        for (subject, name), value in current.items()
        if value and subject == asked.subject and name.startswith(prefix)
    ]
    return str(len(values) or "") if asked.form is Form.COUNT else ", ".join(values)


def _earliest(current: Mapping[Key, str], keys: Sequence[Key], labels: Sequence[str]) -> str | None:
    if not all(_is_date(current.get(key, "")) for key in keys):
        return None
    dates = [read_date(current[key]) for key in keys]
    return labels[dates.index(min(dates))]


def _is_date(text: str) -> bool:
    """Whether a value is a date in full: what was first said roughly ("the weekend after 7 May 2023") tells no order."""
    try:
        read_date(text)
    except InputError:
        return False
    return True


def read_date(text: str) -> date:
    """The date behind "7 May 2023".

    Raises:
        InputError: the text is no such date.
    """
    try:
        day, month, year = text.split()
        return date(int(year), MONTHS.index(month) + 1, int(day))
    except ValueError as error:
        raise InputError(f"expected a date such as '7 May 2023', got {text!r}") from error
