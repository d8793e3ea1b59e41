"""Dates as this project writes them, and the dates beside words such as "yesterday".

"Yesterday" is true for a day. What is kept for longer needs the date, and to calculate it is hard for a small model
while the time of a text is known: so the date is written beside the words before anybody reads them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, timedelta

# strftime follows the locale of the machine; what is stored must not.
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
"""The numbers that are written as words."""


def write_date(day: date) -> str:
    """As "7 May 2023"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def write_chinese_date(day: date) -> str:
    """As "2023年5月7日"."""
    return f"{day.year}年{day.month}月{day.day}日"


def with_dates(text: str, said: date) -> str:
    """The text with a date in brackets behind every time that is told from the day on which it is said.

    "I moved yesterday" of 2 May 2023 becomes "I moved yesterday (1 May 2023)". A weekday is the nearest one that is
    not today. A day without its year gets it, "on 9 March (2023)", if it is not more than four months away. What is
    no single day is tied to the day on which it was said, as LoCoMo's answers do: "last week" is "the week before
    2 May 2023". English, and the commonest words of Chinese.

    Left as they are: birthdays and "every 9 March", days in a sentence that has another year, times without a number ("a few days ago"), "on Friday" where the
    clause does not tell whether it was or will be, "in two days" where it tells how long something took, "in ten
    years", and what has a bracket behind it already.
    """

    def dated(found: re.Match[str]) -> str:
        try:
            when = _time(found, said)
        except (ValueError, OverflowError):  # before the year 1 or after 9999
            when = None
        return f"{found[0]} ({when})" if when else found[0]

    def with_year(found: re.Match[str]) -> str:
        month = MONTHS.index(found["month"] or found["month_before"]) + 1
        year = _year_of(found, month, int(found["day"] or found["day_after"]), said)
        return f"{found[0]} ({year})" if year else found[0]

    def dated_chinese(found: re.Match[str]) -> str:
        try:
            day = said + timedelta(days=_chinese_days(found))
        except OverflowError:
            return found[0]
        return f"{found[0]}\uff08{write_chinese_date(day)}\uff09"

    def with_chinese_year(found: re.Match[str]) -> str:
        year = _year_of(found, int(found[1]), int(found[2]), said)
        return f"{found[0]}\uff08{year}年\uff09" if year else found[0]

    # Years first, since a date that was written beside a word has one.
    years = _CHINESE_YEARLESS.sub(with_chinese_year, _YEARLESS.sub(with_year, text))
    return _CHINESE.sub(dated_chinese, _ENGLISH.sub(dated, years))


_AMOUNT = rf"(?<![\d,./–-])(?<!\d\s)(?:\d{{1,3}}|an?|{'|'.join(NUMBERS[1:])})"
_PART = r"(?:\s(?:morning|afternoon|evening|night))?+"
_WEEKDAY = "|".join(WEEKDAYS)
_ENGLISH = re.compile(
    rf"""(?<![/@\#.-])\b(?:
        (?P<before>(?:the\s)?day\sbefore\syesterday{_PART}) | (?P<after>(?:the\s)?day\safter\stomorrow)
        | (?P<yesterday>yesterday{_PART}|last\s(?:night|evening)) | (?P<tomorrow>tomorrow{_PART})
        | (?P<today>today|tonight|this\s(?:morning|afternoon|evening))
        | (?P<way>last|next|this)\s(?P<unit>week|weekend|month|year)
        | (?P<side>last|past|this\spast|next|coming|this\scoming)\s(?P<weekday>{_WEEKDAY})
        | on\s(?P<bare>{_WEEKDAY})
        | (?P<ago>{_AMOUNT})\s(?P<ago_unit>day|week|month|year)s?\sago
        | in\s(?!an?\b|(?:1|one)\sday\b)(?P<ahead>{_AMOUNT})\s(?P<ahead_unit>day|week|month)s?(?!['’\s]*\stime)
    )(?:['’]s)?+\b(?!\s*[(\uff08]|[-/@.]\w)""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_MONTH = "|".join(MONTHS)
_ORDINAL = r"(?:st|nd|rd|th)?"
# Months are written with a capital: "I may 5 times". No number of something else, and nothing that has its year.
_YEARLESS = re.compile(
    rf"""(?<![\d/@\#.–—-])(?<!Room\s)(?<!Gate\s)(?<!Chapter\s)(?<!Chapter\s\d\s)(?<!page\s)(?<!No\.\s)(?<!Route\s)(?<!aged\s)(?<!at\s)\b(?:
        (?P<day>[12]?\d|3[01]){_ORDINAL}(?:\sof)?\s(?P<month>{_MONTH})
        | (?P<month_before>{_MONTH})\s(?:the\s)?(?P<day_after>[12]?\d|3[01]){_ORDINAL}
    )(?:['’]s)?+\b
    (?![\s\u00a0\u2009\u202f,;:–—-]*(?:\d{{4}}|['’]\d\d\b|[(\uff08])|[–—/@.-]\w|,\d|:\d|\s?%|\s\d
       |\s(?:Street|Road|Lane|Avenue|Day|years?|people|times|degrees|miles|km|of\s(?:us|them|you))\b)""",
    re.ASCII | re.VERBOSE,
)
_CHINESE = re.compile(
    r"(?<![以如今之大先\d.第了])(?:(前天|昨天|今天|明天|后天)|(\d{1,3}|[一两二三四五六七八九十])天([前后]))(?![气性天后(\uff08])"
)
_CHINESE_YEARLESS = re.compile(r"(?<![年\d.-])(1[0-2]|[1-9])月(3[01]|[12]\d|[1-9])[日号](?![(\uff08])")
_CHINESE_DAYS = {"前天": -2, "昨天": -1, "今天": 0, "明天": 1, "后天": 2}
_CHINESE_NUMBERS = {"两": 2, **{sign: number for number, sign in enumerate("一二三四五六七八九十", start=1)}}
_DAYS = {"before": -2, "yesterday": -1, "today": 0, "tomorrow": 1, "after": 2}

_NEAR = timedelta(days=120)
"""How far a day whose year is not told may be from the day on which it is said; what is farther may be before or after."""
_LOOK_AROUND = 200
"""Characters before and after the words that may tell what they mean."""
_ANY = re.IGNORECASE | re.ASCII
# Part of a longer time ("a week from tomorrow", "two weeks and three days ago"), or of a name or a saying.
_NEVER_AFTER = re.compile(r"\b(?:ago|from|after|before|like|like\s(?:just|only)|born)\s+$", _ANY)
# "The last week" is a span of days, "half a year ago" no year, "my last year" one of several.
_SPAN = re.compile(r"\b(?:the|every|each|these|half|first|once|twice|times?|only|next|very)\s+$", _ANY)
_MINE = re.compile(r"\b(?:my|your|his|her|its|our|their)\s+$", _ANY)
_MORE_OF_AMOUNT = re.compile(
    r"\b(?:and|or|to|hundred|thousand|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[\s-]+$", _ANY
)
_OF = re.compile(r"\s+(?:of|week)\b", _ANY)
# A weekday whose date the text itself tells, or of which there are many.
_NO_ONE_DAY = re.compile(
    rf"(?:,?\s+(?:the\s+)?(?:\d|{'|'.join(MONTHS)}\b)|\s+(?:last|next|this|every|or|through|of|week|mornings|afternoons|evenings|nights)\b"
    rf"|\s+(?:an?|\d+|{'|'.join(NUMBERS)})\s\w+\sago)",
    _ANY,
)
_CLAUSE = re.compile(r"[^.,;:!?\n]*$")
_PAST = re.compile(
    r"\b(?:\w{2,}[^e\W]ed|was|were|had|did|made|wrote|built|went|took|came|ran|sold|won|lost|grew|fell|read|saw|met|left|gave|learnt)\b",
    _ANY,
)
_PRESENT = re.compile(r"(?:['’](?:m|s|re|ll)|\b(?:am|is|are|will|have|has|due))\b", _ANY)
# A day of every year.
_YEARLY = re.compile(
    r"\b(?:birthdays?|birth|born|anniversar(?:y|ies)|name\sday|holidays?|every|each|always|usually|yearly|annual(?:ly)?)\b"
    r"|生日|生于|出生|农历|每年|周年",
    _ANY,
)
_BIRTHDAY = re.compile(r"\bbirthdays?\b|生日", _ANY)
# The sentence has a year of its own: "In 1999 he died on 9 March", "9 March, two years ago", "1 March to 3 April 2021".
_OWN_YEAR = re.compile(
    r"(?<!\d)(?:1\d{3}|20\d\d)(?!\d)|\b(?:last|next|that|same|following|previous)\syear\b|\byears?\s(?:ago|later|before)\b|['’]\d\d\b"
    r"|[去今明前后]年|年前|年后",
    _ANY,
)
_SENTENCE = re.compile("[^.!?\n\u3002\uff01\uff1f]*$")
_SENTENCE_AFTER = re.compile("[^.!?\n\u3002\uff01\uff1f]*")
_COMING = re.compile(r"\b(?:will|shall|going\sto)\b|['’]ll\b", _ANY)
# "On Friday" belongs to another verb ("they asked me to come", "I'll tell you what happened"), or is no single one.
_UNCLEAR = re.compile(
    r"\b(?:to\s(?!(?:the|an?|my|our|his|her|their|its|your)\b)(?-i:[a-z])\w*|booked|planned|invited|wanted|hoped|asked|promised|scheduled|reserved|arranged|ordered|signed|registered"
    r"|told|what|that|which|when|so|tell|forget|remember|starts?|leaves?|comes?|always|never|usually|often|every|used|(?:19|20)\d\d)\b",
    _ANY,
)
# "In two days" is how long something took or takes: "I haven't slept", "people learn it", "the best".
_LASTING = re.compile(
    r"\b(?:ha(?:ve|s)n['’]t|can|could|people|everything|everybody|best|worst|most|hardest|takes?"
    r"|(?:have|has|['’]ve|['’]s)\s(?:(?:not|never|already|just)\s)?(?:\w+ed|\w+en|been|done|gone|had|heard|slept|read|made|met|lost|won|found|got|kept|held|built|learnt))\b"
    r"|['’](?:ve|s)\s(?:\w+ed|\w+en|been|done|read|made)\b",
    _ANY,
)


def _time(found: re.Match[str], said: date) -> str | None:
    """When it is; None where the words mean something else."""
    before = found.string[max(0, found.start() - _LOOK_AROUND) : found.start()]
    after = found.string[found.end() : found.end() + _LOOK_AROUND]
    if _NEVER_AFTER.search(before) or _is_name(found[0], before):
        return None
    for name, days in _DAYS.items():
        if found[name]:
            return write_date(said + timedelta(days=days))
    if _SPAN.search(before) or _OF.match(after):
        return None
    if weekday := found["weekday"] or found["bare"]:
        side = "" if _NO_ONE_DAY.match(after) else found["side"] or _tense(before)
        return write_date(_nearest(side.lower(), weekday.capitalize(), said)) if side else None
    if found["unit"]:
        return None if _MINE.search(before) else _near(found["way"].lower(), found["unit"].lower(), said)
    return None if _MORE_OF_AMOUNT.search(before) else _counted(found, before, said)


def _counted(found: re.Match[str], before: str, said: date) -> str | None:
    if found["ago"]:
        return _far(-_count(found["ago"]), found["ago_unit"].lower(), said)
    if _lasts(_clause(before)):
        return None
    return _far(_count(found["ahead"]), found["ahead_unit"].lower(), said)


def _is_name(words: str, before: str) -> bool:
    """Whether the words are written as a name is, "USA Today": with a capital, and not at a sentence's beginning."""
    return words[0].isupper() and bool(re.search(r"[\w,]\s+$", before)) and not words.isupper()


def _lasts(clause: str) -> bool:
    """Whether "in two days" tells how long something took or takes: "I read it", not "I leave"."""
    return bool(_LASTING.search(clause)) or (bool(_PAST.search(clause)) and not _PRESENT.search(clause))


def _tense(before: str) -> str:
    """Whether "on Friday" is the "next" or the "last" one, as far as its clause tells; else empty."""
    clause = _clause(before)
    if _UNCLEAR.search(clause):
        return ""
    if _COMING.search(clause):
        return "next"
    return "last" if _PAST.search(clause) and not _PRESENT.search(clause) else ""


def _clause(before: str) -> str:
    """What stands before some words in their clause."""
    return _matched(_CLAUSE.search(before))


def _year_of(found: re.Match[str], month: int, day: int, said: date) -> int | None:
    """The year of a day that is told without; None where it may be any, or the text tells it."""
    before = found.string[max(0, found.start() - _LOOK_AROUND) : found.start()]
    after = found.string[found.end() : found.end() + _LOOK_AROUND]
    sentence = f"{_matched(_SENTENCE.search(before))} {_matched(_SENTENCE_AFTER.match(after))}"
    if (
        _YEARLY.search(sentence)
        or _OWN_YEAR.search(sentence)
        or _BIRTHDAY.search(before)
        or before.count("(") > before.count(")")
    ):
        return None
    when = _near_day(month, day, said)
    # A past verb says little: "gets delivered on 3 June", "was moved to 3 June".
    if when is None or (when < said and _COMING.search(_clause(before))):
        return None
    return when.year


def _near_day(month: int, day: int, said: date) -> date | None:
    """The day of a month that is near the one on which it is said; None if there is none."""
    for year in range(max(said.year - 1, date.min.year), min(said.year + 1, date.max.year) + 1):
        with suppress(ValueError):  # 30 February
            if abs((when := date(year, month, day)) - said) <= _NEAR:
                return when
    return None


def _matched(found: re.Match[str] | None) -> str:
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
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _count(amount: str) -> int:
    word = amount.lower()
    if word in ("a", "an"):
        return 1
    return NUMBERS.index(word) if word in NUMBERS else int(word)


def _chinese_days(found: re.Match[str]) -> int:
    if found[1]:
        return _CHINESE_DAYS[found[1]]
    number = _CHINESE_NUMBERS.get(found[2]) or int(found[2])
    return number * (-1 if found[3] == "前" else 1)
