"""Dates as this project writes them, and the dates beside words such as "yesterday".

"Yesterday" is true for a day. What is kept for longer needs the date, and to calculate it is hard for a small model
while the time of a text is known: so the date is written beside the words before anybody reads them.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

# strftime follows the locale of the machine; what is stored must not.
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def write_date(day: date) -> str:
    """As "7 May 2023"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def write_chinese_date(day: date) -> str:
    """As "2023年5月7日"."""
    return f"{day.year}年{day.month}月{day.day}日"


def with_dates(text: str, said: date) -> str:
    """The text with a date in brackets behind every time that is told from the day on which it is said.

    "I moved yesterday" of 2 May 2023 becomes "I moved yesterday (1 May 2023)". A weekday is the nearest one that is
    not today. What is no single day is tied to the day on which it was said, as LoCoMo's answers do: "last week" is
    "the week before 2 May 2023". English, and the commonest words of Chinese.

    Left as they are: times without a number ("a few days ago"), "on Friday" where the clause does not tell whether it
    was or will be, "in two days" where it tells how long
    something took, "in ten years", and what has a bracket behind it already.
    """

    def dated(found: re.Match[str]) -> str:
        try:
            when = _time(found, said)
        except (ValueError, OverflowError):  # before the year 1 or after 9999
            when = None
        return f"{found[0]} ({when})" if when else found[0]

    def dated_chinese(found: re.Match[str]) -> str:
        try:
            day = said + timedelta(days=_chinese_days(found))
        except OverflowError:
            return found[0]
        return f"{found[0]}\uff08{write_chinese_date(day)}\uff09"

    return _CHINESE.sub(dated_chinese, _ENGLISH.sub(dated, text))


_NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_AMOUNT = rf"(?<![\d,.])(?:\d{{1,3}}|an?|{'|'.join(_NUMBERS[1:])})"
_PART = r"(?:\s(?:morning|afternoon|evening|night))?"
_ENGLISH = re.compile(
    rf"""\b(?:
        (?P<before>(?:the\s)?day\sbefore\syesterday{_PART}) | (?P<after>(?:the\s)?day\safter\stomorrow)
        | (?P<yesterday>yesterday{_PART}|last\s(?:night|evening)) | (?P<tomorrow>tomorrow{_PART})
        | (?P<today>today|tonight|this\s(?:morning|afternoon|evening))
        | (?P<way>last|next|this)\s(?P<unit>week|weekend|month|year)
        | (?P<side>last|past|this\spast|next|coming|this\scoming)\s(?P<weekday>{"|".join(WEEKDAYS)})
        | on\s(?P<bare>{"|".join(WEEKDAYS)})
        | (?P<ago>{_AMOUNT})\s(?P<ago_unit>day|week|month|year)s?\sago
        | in\s(?!an?\b)(?P<ahead>{_AMOUNT})\s(?P<ahead_unit>day|week|month)s?(?!['’\s]*\stime)
    )(?:['’]s)?\b(?!\s?[(\uff08])""",
    re.IGNORECASE | re.VERBOSE,
)
_CHINESE = re.compile(r"(?:(前天|昨天|今天|明天|后天)|(\d{1,3})天([前后]))(?![(\uff08])")
_CHINESE_DAYS = {"前天": -2, "昨天": -1, "今天": 0, "明天": 1, "后天": 2}
_DAYS = {"before": -2, "yesterday": -1, "today": 0, "tomorrow": 1, "after": 2}
# "The last week" is a span of days, "half a year ago" is no year.
_OTHER_MEANING = re.compile(
    r"\b(?:the|every|each|these|half|first|once|twice|times?|only)\s+$", re.IGNORECASE
)
_LOOK_BACK = 200
"""Characters before the words that may tell what they mean."""
_CLAUSE = re.compile(r"[^.,;:!?\n]*$")
_PAST = re.compile(
    r"\b(?:\w{2,}[^e\W]ed|was|were|had|did|made|wrote|built|went|took|came|ran|sold|won|lost|grew|fell|read|saw|met|got|left|gave)\b",
    re.IGNORECASE,
)
_COMING = re.compile(r"\b(?:will|shall|going\sto)\b|['’]ll\b", re.IGNORECASE)
# "They asked me to come on Friday", "I booked a table on Friday".
_AHEAD_OF_PAST = re.compile(
    r"\b(?:to\s(?!the|an?|my|our|his|her|their|its|your)[a-z]\w*|(?:book|plann|invit|want|hop|ask|promis|schedul|reserv|arrang|order)ed)\b"
)
_PRESENT = re.compile(r"(?:['’](?:m|s|re|ll)|\b(?:am|is|are|will|have|has|due))\b", re.IGNORECASE)


def _time(found: re.Match[str], said: date) -> str | None:
    """When it is; None where the words mean something else."""
    for name, days in _DAYS.items():
        if found[name]:
            return write_date(said + timedelta(days=days))
    before = found.string[max(0, found.start() - _LOOK_BACK) : found.start()]
    if _OTHER_MEANING.search(before):
        return None
    if weekday := found["weekday"] or found["bare"]:
        side = found["side"] or _tense(before)
        return write_date(_nearest(side.lower(), weekday.capitalize(), said)) if side else None
    if found["unit"]:
        return _near(found["way"].lower(), found["unit"].lower(), said)
    if found["ago"]:
        return _far(-_count(found["ago"]), found["ago_unit"].lower(), said)
    return None if _how_long(before) else _far(_count(found["ahead"]), found["ahead_unit"].lower(), said)


def _how_long(before: str) -> bool:
    """Whether "in two days" tells how long something took: "I read it", not "I leave"."""
    words = _clause(before)
    return bool(_PAST.search(words)) and not _PRESENT.search(words)


def _tense(before: str) -> str:
    """Whether "on Friday" is the "next" or the "last" one, as far as its clause tells; else empty."""
    clause = _clause(before)
    if _COMING.search(clause):
        return "next"
    was = _PAST.search(clause) and not _PRESENT.search(clause) and not _AHEAD_OF_PAST.search(clause)
    return "last" if was else ""


def _clause(before: str) -> str:
    """What stands before some words in their clause."""
    found = _CLAUSE.search(before)
    return found[0] if found else ""


def _nearest(side: str, name: str, said: date) -> date:
    """The weekday's nearest day before or after, never today."""
    weekday = WEEKDAYS.index(name)
    if side.endswith(("last", "past")):
        return said - timedelta(days=(said.weekday() - weekday - 1) % 7 + 1)
    return said + timedelta(days=(weekday - said.weekday() - 1) % 7 + 1)


def _near(way: str, unit: str, said: date) -> str | None:
    step = {"last": -1, "this": 0, "next": 1}[way]
    if unit in ("week", "weekend"):
        # This week, or this weekend, may be before the day or after it.
        return f"the {unit} {_side(step)} {write_date(said)}" if step else None
    return _far(step, unit, said)


def _far(count: int, unit: str, said: date) -> str:
    if unit == "day":
        return write_date(said + timedelta(days=count))
    if unit == "week":
        number = abs(count)
        much = "a week" if number == 1 else f"{_word(number)} weeks"
        return f"{much} {_side(count)} {write_date(said)}"
    if unit == "month":
        months = said.year * 12 + said.month - 1 + count
        return f"{MONTHS[months % 12]} {_year(months // 12)}"
    return f"{_year(said.year + count)}"


def _side(count: int) -> str:
    return "before" if count < 0 else "after"


def _year(year: int) -> int:
    return date(year, 1, 1).year


def _word(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _count(amount: str) -> int:
    word = amount.lower()
    if word in ("a", "an"):
        return 1
    return _NUMBERS.index(word) if word in _NUMBERS else int(word)


def _chinese_days(found: re.Match[str]) -> int:
    if found[1]:
        return _CHINESE_DAYS[found[1]]
    return int(found[2]) * (-1 if found[3] == "前" else 1)
