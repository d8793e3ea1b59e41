"""Dates beside words that mean them."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.text.dates import WEEKDAYS, with_dates, write_date

SAID = date(2023, 5, 2)
"""A Tuesday."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I moved yesterday.", "I moved yesterday (1 May 2023)."),
        ("The day before yesterday we met", "The day before yesterday (30 April 2023) we met"),
        ("the day after tomorrow", "the day after tomorrow (4 May 2023)"),
        ("Yesterday morning it rained", "Yesterday morning (1 May 2023) it rained"),
        ("last night's party", "last night's (1 May 2023) party"),
        ("tonight!", "tonight (2 May 2023)!"),
        ("Last Friday I ran", "Last Friday (28 April 2023) I ran"),
        ("last Tuesday", "last Tuesday (25 April 2023)"),
        ("next tuesday", "next tuesday (9 May 2023)"),
        ("this coming Monday", "this coming Monday (8 May 2023)"),
        ("last week", "last week (the week before 2 May 2023)"),
        ("next weekend", "next weekend (the weekend after 2 May 2023)"),
        ("last month, this month, next month", "last month (April 2023), this month (May 2023), next month (June 2023)"),
        ("last year", "last year (2022)"),
        ("four days ago", "four days ago (28 April 2023)"),
        ("3 weeks ago", "3 weeks ago (three weeks before 2 May 2023)"),
        ("a week ago", "a week ago (a week before 2 May 2023)"),
        ("five months ago", "five months ago (December 2022)"),
        ("a year ago", "a year ago (2022)"),
        ("First, Elif had her baby on Sunday.", "First, Elif had her baby on Sunday (30 April 2023)."),
        ("We'll see each other on Friday!", "We'll see each other on Friday (5 May 2023)!"),
        ("She moved to Rome on Monday", "She moved to Rome on Monday (1 May 2023)"),
        ("I will see her on Monday.", "I will see her on Monday (8 May 2023)."),
        ("The shop opens in three weeks", "The shop opens in three weeks (three weeks after 2 May 2023)"),
        ("Today I ran. TODAY!", "Today (2 May 2023) I ran. TODAY (2 May 2023)!"),
        ("since last Friday, by next week", "since last Friday (28 April 2023), by next week (the week after 2 May 2023)"),
        ("两天前我搬家了。", "两天前\uff082023年4月30日\uff09我搬家了。"),
        ("I leave in five days.", "I leave in five days (7 May 2023)."),
        ("My bike was sold and I'm to fetch it in two days.", "My bike was sold and I'm to fetch it in two days (4 May 2023)."),
        ("We fly on 9 March.", "We fly on 9 March (2023)."),
        ("See you June 3rd at ten", "See you June 3rd (2023) at ten"),
        ("the 2nd of May, on 30 December", "the 2nd of May (2023), on 30 December"),
        ("It happened on Monday, March 6.", "It happened on Monday, March 6 (2023)."),
        ("我2月14日去\uff0c12月30号回来。", "我2月14日\uff082023年\uff09去\uff0c12月30号回来。"),
        ("昨天我搬家了\uff0c3天后请客。", "昨天\uff082023年5月1日\uff09我搬家了\uff0c3天后\uff082023年5月5日\uff09请客。"),
    ],
)  # fmt: skip
def test_a_time_told_from_today_gets_its_date(text: str, expected: str) -> None:
    assert with_dates(text, SAID) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a few days ago",
        "We fly on Friday.",
        "He asked me to come on Friday.",
        "I booked a table on Friday.",
        "I was ill, but we meet on Friday.",
        "He paid on Mondays.",
        "the last week was hard",
        "every last Friday of the month",
        "half a year ago",
        "10,000 years ago",
        "1.5 years ago",
        "3000 years ago",
        "We painted it in two days.",
        "once in a week",
        # not the words that they look like
        "la\u017ft week, th\u0131s year, th\u0130s year, la\u017ft Friday",
        "USA Today, the Today show, https://news.com/today/last-week, today.py, today@example.com",
        "It feels like just yesterday. I wasn't born yesterday.",
        "以前天气如今天气之后天天下雨后天性免疫大前天1234天前3.5天前第3天后3天前后",
        # part of a longer time
        "twenty-five years ago",
        "a hundred and two days ago",
        "3 000 years ago, 1/2 year ago",
        "2-3 days ago",
        "one or two weeks ago",
        "two weeks and three days ago",
        "a week from tomorrow",
        "next Monday week",
        "the last Friday of each month, my last year of school",
        # how long something takes
        "I haven't slept in two days.",
        "Haven't heard from you in two weeks!",
        "I have written it in three days, she's learned it in three months.",
        "Most people learn it in two weeks.",
        "It can be done in two days.",
        "hard to see everything in one day",
        # another verb's day, or no single day
        "I signed up for a class on Tuesday.",
        "I was told the results come out on Friday.",
        "My flight was moved so I leave on Friday.",
        "I'll tell you what happened on Friday.",
        "The shop was open on Sunday mornings.",
        "He was always late on Monday.",
        "Back in 2010 we met on Sunday.",
        # no day of one year, or no day
        "My birthday is on 5 May, every 4 July we grill.",
        "When is your birthday? On 9 March. Her birthday, 9 March, is soon. Birthday: 9 March",
        "born in Kassel, Germany, on 9 March",
        "我的生日是3月9日。",
        "Room 12 March Street, 12 May Road, May 2 people come, May 5 of us, our dog June 3 years, at 5 April called",
        "March 20,000, May 20% off",
        # a year stands elsewhere, or it may be any
        "In 1999 he died on 9 March.",
        "9 March, 10 March, 11 March 2022, March 9\u201311, 2021",
        "1 March to 3 April 2021",
        "9 March '22",
        "March 9 of that same year",
        "2019年\uff0c他在3月9日去世。两年前的3月9日",
        "I will fly home on 10 March.",
        "the day after (9 March)",
        "I may 5 times, 30 February, on 3/4 June-July, May 5-7",
        # the text tells the date itself
        "on 9 March 2022, on March 9, 2022, on 9 March (2022), 2022年3月9日",
        "She was born on Friday 13 March 1987.",
        "It happened on Monday, March 6 (2023).",
        "next Friday the 12th",
        "It's the first in eleven years.",
        "We meet twice in two weeks.",
        "this week",
        "in two weeks' time",
        "I moved yesterday (1 May 2023).",
        "Yesterday morning (1 May 2023) it rained.",
        "last night's (1 May 2023) party",
        "昨天\uff082023年5月1日\uff09我搬家了。",
        "",
    ],
)
def test_what_means_something_else_or_has_a_bracket_stays(text: str) -> None:
    assert with_dates(text, SAID) == text


@pytest.mark.parametrize("said", [date.min, date.max])
def test_dates_outside_the_calendar_are_left_out(said: date) -> None:
    text = "the day before yesterday, the day after tomorrow, last month, next month, last year, next year, last week"
    assert with_dates(text, said).startswith("the day before yesterday")


WORDS = [
    "yesterday", "Yesterday morning", "last", "next", "this", "week", "Friday", "on", "in", "two", "days", "ago", "'s",
    "the", ".", "\n", "9", "March", "9 March", "2月3日", "la\u017ft", "th\u0130s", "year", "昨天", "3", "天", "前", "后", "met", "will", "\u212a",
]  # fmt: skip


@given(st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), st.dates())
def test_any_text_gains_brackets_and_nothing_else(text: str, said: date) -> None:
    plain = re.sub(r"[()\uff08\uff09]", "", text)
    dated = with_dates(plain, said)
    assert re.sub(r" \([^()]*\)|\uff08[^\uff09]*\uff09", "", dated) == plain


@given(st.dates(min_value=date(2, 1, 1), max_value=date(9998, 1, 1)), st.sampled_from(WEEKDAYS))
def test_a_weekday_is_the_nearest_that_is_not_today(said: date, weekday: str) -> None:
    last, coming = (with_dates(f"{side} {weekday}", said).partition("(")[2][:-1] for side in ("last", "next"))
    days = [said + timedelta(days=offset) for offset in range(-7, 8) if offset]
    same = [write_date(day) for day in days if WEEKDAYS[day.weekday()] == weekday]
    assert [last, coming] == same
