"""Words of the dialogue worlds: what people say of themselves and of others, and how dates are said.

In the forms `{p}` stands for the person, `{v}` for the value, `{w}` for a slip of the tongue, `{x}` for what an event
is about, `{when}` and `{When}` for a date as people say it, `{date}` for the same in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from random import Random

from pydantic import TypeAdapter

from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.text.dates import MONTHS, WEEKDAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a person says of herself, what others say of her (empty where only she speaks of it), and the fact."""

    said: str
    fact: str
    other: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """Something that a person has one of, and may change or lose."""

    name: str
    values: tuple[str, ...]
    stated: tuple[Saying, ...]
    changed: tuple[Saying, ...]
    dropped: tuple[Saying, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """Another person that a person has one of."""

    name: str
    stated: tuple[Saying, ...]
    questions: tuple[str, ...]
    phrase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Something that will be on a day, may be moved and may be called off. `x` are its varieties."""

    name: str
    x: tuple[str, ...]
    planned: tuple[Saying, ...]
    moved: tuple[Saying, ...]
    cancelled: tuple[Saying, ...]
    questions: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was on a day."""

    name: str
    x: tuple[str, ...]
    happened: tuple[Saying, ...]
    questions: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Small talk. Its `question` (if any) makes it worth remembering while somebody works on that question."""

    said: str
    fact: str
    gist: str
    question: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueWords:
    """Everything that a dialogue world is made of."""

    people: tuple[str, ...]
    traits: tuple[Trait, ...]
    ties: tuple[Tie, ...]
    plans: tuple[Plan, ...]
    events: tuple[Event, ...]
    small_talk: tuple[Remark, ...]
    filler: tuple[str, ...]
    order_questions: tuple[str, ...]
    recent_questions: tuple[str, ...]
    repeated: tuple[str, ...]


@cache
def dialogue_words(split: WorldSplit) -> DialogueWords:
    """The shipped words of a split."""
    file = resources.files("memquartet.benchmarks.worlds").joinpath(f"vocabulary/dialogue_{split}.json")
    return TypeAdapter(DialogueWords).validate_json(file.read_text(encoding="utf-8"))


def say_date(day: date, today: date, random: Random) -> str:
    """A day as people say it: "tomorrow", "last Sunday", "on 12 May".

    "This coming" and "last" name the nearest such weekday that is not today. Further than a week away only the
    date itself is said, so a day should be within half a year.
    """
    days = (day - today).days
    forms = [f"on {day.day} {MONTHS[day.month - 1]}"]
    near = {
        -2: "the day before yesterday",
        -1: "yesterday",
        0: "today",
        1: "tomorrow",
        2: "the day after tomorrow",
    }
    if days in near:
        forms = [near[days]]
    elif 0 < days <= 7:
        forms += [f"this coming {WEEKDAYS[day.weekday()]}", f"in {days} days"]
    elif -7 <= days < 0:
        forms += [f"last {WEEKDAYS[day.weekday()]}", f"{-days} days ago"]
    return random.choice(forms)


def some_days(random: Random, nearest: int, furthest: int) -> timedelta:
    """A distance in days, near ones more often."""
    return timedelta(
        days=random.choice([random.randint(nearest, min(7, furthest)), random.randint(nearest, furthest)])
    )
