"""When something was or will be: as people say it, and as a fact that must hold for ever says it.

What is no single day ("last week") is tied to the day on which it was said ("the week before 15 July 2023"), as
LoCoMo's answers do; see `text.dates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from memquartet.text.dates import MONTHS, NUMBERS, WEEKDAYS, write_date


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """`said` fits into a sentence ("last week"), `on` too ("in the week before 9 June 2023"); `text` is the bare time.

    `day` is the day itself where `exact`, else one of those meant.
    """

    said: str
    text: str
    on: str
    day: date
    exact: bool


def past_moment(today: date, random: Random) -> Moment:
    """Some time before, at most five years."""
    return random.choice((_near_past, _near_past, _loose_past, _far_past))(today, random)


def coming_moment(today: date, random: Random) -> Moment:
    """Some time ahead, at most a year."""
    return random.choice((_near_future, _near_future, _loose_future, _far_future))(today, random)


def _near_past(today: date, random: Random) -> Moment:
    days = random.choice([0, 1, 1, 2, 3, 4, 5])
    said = {0: "today", 1: random.choice(["yesterday", "last night"])}.get(days, f"{NUMBERS[days]} days ago")
    return _exact(said, today - timedelta(days=days))


def _near_future(today: date, random: Random) -> Moment:
    days = random.choice([1, 1, 2, 3, 4, 5])
    said = {1: "tomorrow", 2: "the day after tomorrow"}.get(days, f"in {NUMBERS[days]} days")
    return _exact(said, today + timedelta(days=days))


def _loose_past(today: date, random: Random) -> Moment:
    now = write_date(today)
    days = random.randint(1, 7)
    name = WEEKDAYS[(today - timedelta(days=days)).weekday()]
    weeks = random.randint(2, 4)
    return random.choice(
        [
            _exact(f"last {name}", today - timedelta(days=days)),
            _loose("last week", f"the week before {now}", "in", today - timedelta(days=7)),
            _loose("last weekend", f"the weekend before {now}", "on", today - timedelta(days=6)),
            _loose(
                f"{NUMBERS[weeks]} weeks ago",
                f"{NUMBERS[weeks]} weeks before {now}",
                "",
                today - timedelta(weeks=weeks),
            ),
        ]
    )


def _loose_future(today: date, random: Random) -> Moment:
    now = write_date(today)
    days = random.randint(1, 7)
    name = WEEKDAYS[(today + timedelta(days=days)).weekday()]
    weeks = random.randint(2, 4)
    return random.choice(
        [
            _exact(f"next {name}", today + timedelta(days=days)),
            _loose("next week", f"the week after {now}", "in", today + timedelta(days=7)),
            _loose("next weekend", f"the weekend after {now}", "on", today + timedelta(days=8)),
            _loose(
                f"in {NUMBERS[weeks]} weeks",
                f"{NUMBERS[weeks]} weeks after {now}",
                "",
                today + timedelta(weeks=weeks),
            ),
        ]
    )


def _far_past(today: date, random: Random) -> Moment:
    before = (today.year * 12 + today.month - 2) // 12, (today.month - 2) % 12
    years = random.randint(2, 5)
    day = today - timedelta(days=random.randint(6, 40))
    return random.choice(
        [
            _exact(f"on {day.day} {MONTHS[day.month - 1]}", day),
            _exact(f"on {day.day} {MONTHS[day.month - 1]}", day),
            _loose(
                "last month",
                f"{MONTHS[before[1]]} {before[0]}",
                "in",
                today.replace(day=1) - timedelta(days=15),
            ),
            _loose("last year", f"{today.year - 1}", "in", date(today.year - 1, 7, 1)),
            _loose(
                f"{NUMBERS[years]} years ago", f"{today.year - years}", "in", date(today.year - years, 7, 1)
            ),
        ]
    )


def _far_future(today: date, random: Random) -> Moment:
    after = today.year + today.month // 12, today.month % 12
    day = today + timedelta(days=random.randint(6, 60))
    return random.choice(
        [
            _exact(f"on {day.day} {MONTHS[day.month - 1]}", day),
            _exact(f"on {day.day} {MONTHS[day.month - 1]}", day),
            _loose("next month", f"{MONTHS[after[1]]} {after[0]}", "in", date(after[0], after[1] + 1, 15)),
        ]
    )


def _exact(said: str, day: date) -> Moment:
    text = write_date(day)
    return Moment(said=said, text=text, on=f"on {text}", day=day, exact=True)


def _loose(said: str, text: str, preposition: str, day: date) -> Moment:
    return Moment(said=said, text=text, on=f"{preposition} {text}".strip(), day=day, exact=False)
