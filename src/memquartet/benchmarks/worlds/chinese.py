"""Chinese worlds: numbered lists of facts, and dialogues of two people, about people's lives and plans.

What counts is what was said last. Chinese verbs do not know persons, so one form serves for "我", "你" and a name.
Sample n of a seed is the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from random import Random

from pydantic import TypeAdapter

from memquartet.benchmarks.worlds.documents import Names
from memquartet.benchmarks.worlds.questions import (
    QuestionKind,
    draw_by_share,
    recent_question,
    value_question,
)
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import FactKind
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError
from memquartet.text.dates import write_chinese_date

SOURCE = "world-chinese"
PEOPLE = 4
"""People in a sample; in a dialogue the first two are the speakers."""
WEEKDAYS = "一二三四五六日"
COLON = "\uff1a"
"""The full-width one, behind a speaker's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChineseShape:
    """How long a sample is and what happens in it.

    A share `lists` of the samples are numbered lists, the others dialogues. Of a dialogue's lines a share is
    `small_talk` and a share `filler` that says nothing. Of the others a share `changes` something, `mentions` it
    again or takes it back (`deletions`), and the rest tells something new. Of the questions `updates` ask for what
    changed, `abstentions` have no answer, in dialogues `temporal` ask for the day of a plan and `short_term` for the
    last remark, and the rest asks for one unchanged fact. `queries` is the share of chunks that are read with one of the questions in mind.
    """

    chunks: int = 5
    lines: int = 6
    lists: float = 0.5
    small_talk: float = 0.15
    filler: float = 0.1
    changes: float = 0.25
    mentions: float = 0.1
    deletions: float = 0.06
    queries: float = 0.15
    questions: int = 6
    updates: float = 0.3
    abstentions: float = 0.15
    temporal: float = 0.1
    short_term: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, a share outside [0, 1], or shares that exceed 1 together.
        """
        for name in ("chunks", "lines", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for group in (
            ("lists",),
            ("queries",),
            ("small_talk", "filler"),
            ("changes", "mentions", "deletions"),
            ("updates", "abstentions", "temporal", "short_term"),
        ):
            shares = [getattr(self, name) for name in group]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise ConfigError(f"{', '.join(group)} must be shares of at most 1 together, got {shares}")


DEFAULT_CHINESE = ChineseShape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something that a person has one of. Without `values` it is a plan, and its value the day.

    `{p}` stands for the person, `{v}` for the value, `{when}` for a plan's day as people say it. Where `dropped` is
    empty, nothing takes it back. The fact is the sentence with the name and the date in it.
    """

    name: str
    values: str
    says: tuple[str, ...]
    changed: tuple[str, ...]
    dropped: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Small talk: what the speaker says, the fact in it, and what a summary keeps of it."""

    said: str
    fact: str
    gist: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChineseWords:
    """What a split is made of; `again` are frames for what was said before."""

    list_heads: tuple[str, ...]
    people: Names
    values: Mapping[str, Names]
    relations: tuple[Matter, ...]
    plans: tuple[Matter, ...]
    frames: tuple[str, ...]
    again: tuple[str, ...]
    small_talk: tuple[Aside, ...]
    filler: tuple[str, ...]
    recent_questions: tuple[str, ...]


@cache
def chinese_words(split: WorldSplit) -> ChineseWords:
    """The shipped words of a split."""
    file = resources.files("memquartet.benchmarks.worlds").joinpath(f"vocabulary/chinese_{split}.json")
    return TypeAdapter(ChineseWords).validate_json(file.read_text(encoding="utf-8"))


def chinese_samples(
    count: int, *, seed: int, words: ChineseWords, shape: ChineseShape = DEFAULT_CHINESE, first: int = 0
) -> Iterator[Sample]:
    """Generate samples; equal arguments give equal ones.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `chinese_words`.
        shape: their length, and what happens in them.
        first: number of the first one.
    """
    for number in range(first, first + count):
        random = Random(f"chinese/{seed}/{number}")
        yield _Story(words, shape, random).sample(f"chinese-{seed}-{number}")


@dataclass(frozen=True, slots=True)
class _Topic:
    person: str
    matter: Matter

    @property
    def key(self) -> tuple[str, str]:
        return self.person, self.matter.name


class _Story:
    def __init__(self, words: ChineseWords, shape: ChineseShape, random: Random) -> None:
        self._words, self._shape, self._random = words, shape, random
        self._script = Script()
        self._list = random.random() < shape.lists
        self._people: list[str] = []
        while len(self._people) < PEOPLE:
            if (name := words.people.draw(random)) not in self._people:
                self._people.append(name)
        self._now = datetime(2023, 1, 1, 8, tzinfo=UTC) + timedelta(
            minutes=random.randrange(2 * 365 * 24 * 60)
        )
        matters = words.relations if self._list else (*words.relations, *words.plans)
        self._untold = [_Topic(person, matter) for person in self._people for matter in matters]
        random.shuffle(self._untold)
        self._told: list[_Topic] = []
        self._asides = [(person, aside) for person in self._people[:2] for aside in words.small_talk]
        random.shuffle(self._asides)
        self._number = random.choice([0, 1, random.randrange(500)])

    def sample(self, sample_id: str) -> Sample:
        if self._list:
            self._script.say(self._random.choice(self._words.list_heads))
        for _ in range(self._shape.chunks):
            self._chunk()
        questions = self._questions()
        return self._script.as_sample(
            sample_id, questions, source=SOURCE, queries=self._shape.queries, random=self._random
        )

    def _chunk(self) -> None:
        shape = self._shape
        for _ in range(shape.lines):
            draw = self._random.random()
            if self._list or draw >= shape.small_talk + shape.filler:
                self._say_something()
            elif draw < shape.small_talk:
                self._small_talk()
            else:
                self._fill()
        if self._list:
            self._script.end_chunk()
        else:
            weekday = WEEKDAYS[self._now.weekday()]
            head = f"[{write_chinese_date(self._now.date())} 星期{weekday} {self._now:%H:%M}]"
            self._script.end_chunk(head=head, time=self._now)
            self._now += timedelta(minutes=self._random.randrange(12 * 60, 12 * 24 * 60))

    def _fill(self) -> None:
        self._script.say(f"{self._speaker()}{COLON}{self._random.choice(self._words.filler)}")

    def _small_talk(self) -> None:
        if not self._asides:
            return self._fill()
        speaker, aside = self._asides.pop()
        text = aside.fact.format(p=speaker)
        self._script.remark(f"{speaker}{COLON}{aside.said}", text=text, gist=aside.gist)

    def _speaker(self) -> str:
        return self._random.choice(self._people[:2])

    def _say_something(self) -> None:
        draw, shape = self._random.random(), self._shape
        open_ = [one for one in self._told if one.key not in self._script.touched and not self._is_past(one)]
        known = [one for one in open_ if self._script.current(one.key)]
        if draw < shape.changes and open_:
            one = self._random.choice(open_)
            forms = one.matter.changed if self._script.current(one.key) else one.matter.says
            self._tell(one, forms, self._new_value(one), self._words.frames)
        elif shape.changes <= draw < shape.changes + shape.mentions and known:
            one = self._random.choice(known)
            current = self._script.history[one.key][-1]
            self._tell(one, one.matter.says, current.value, self._words.again)
        elif shape.changes + shape.mentions <= draw < shape.changes + shape.mentions + shape.deletions and (
            gone := [one for one in known if one.matter.dropped]
        ):
            one = self._random.choice(gone)
            self._tell(one, one.matter.dropped, "", self._words.frames)
        elif self._untold:
            one = self._untold.pop()
            self._told.append(one)
            self._tell(one, one.matter.says, self._new_value(one), self._words.frames)

    def _is_past(self, one: _Topic) -> bool:
        """Whether it is a plan whose day has come: nothing more is said of it."""
        current = self._script.current(one.key)
        return not one.matter.values and current is not None and read_day(current.value) <= self._now.date()

    def _new_value(self, one: _Topic) -> str:
        current = self._script.current(one.key)
        while True:
            if one.matter.values:
                value = self._words.values[one.matter.values].draw(self._random)
            else:
                value = write_chinese_date(self._now.date() + timedelta(days=self._random.randint(1, 30)))
            if current is None or value != current.value:
                return value

    def _tell(self, one: _Topic, forms: Sequence[str], value: str, frames: Sequence[str]) -> None:
        matter, form = one.matter, self._random.choice(forms)
        fact = form.format(p=one.person, v=value, when=value)
        if self._list:
            line = f"{self._number}. {fact}"
            self._number += 1
        else:
            speaker = self._speaker()
            person = "我" if speaker == one.person else "你" if one.person in self._people[:2] else one.person
            when = "" if matter.values or not value else self._say_day(read_day(value))
            said = form.format(p=person, v=value, when=when)
            line = f"{speaker}{COLON}{self._random.choice(frames).format(fact=said)}"
        kind = FactKind.SEMANTIC if matter.values else FactKind.EPISODIC
        self._script.tell(line, text=fact, key=one.key, value=value, kind=kind)

    def _say_day(self, day: date) -> str:
        days = (day - self._now.date()).days
        near = {1: "明天", 2: "后天"}.get(days, f"{days}天后" if days <= 7 else "")
        plain = f"{day.month}月{day.day}日"
        return self._random.choice([near, plain]) if near else plain

    def _questions(self) -> list[Question]:
        found: dict[QuestionKind, list[Question]] = {kind: [] for kind in QuestionKind}
        for one in (*self._told, *self._untold):
            text = self._random.choice(one.matter.questions).format(p=one.person)
            question = value_question(
                self._script, text=text, subject=one.person, relations=(one.matter.name,)
            )
            found[self._kind(one)].append(question)
        if gist := next((fact.gist for fact in reversed(self._script.facts) if fact.gist), ""):
            text = self._random.choice(self._words.recent_questions)
            found[QuestionKind.SHORT_TERM].append(recent_question(text, gist))
        shape = self._shape
        shares = {
            QuestionKind.KNOWLEDGE_UPDATE: shape.updates,
            QuestionKind.ABSTENTION: shape.abstentions,
            QuestionKind.TEMPORAL: shape.temporal,
            QuestionKind.SHORT_TERM: shape.short_term,
        }
        shares[QuestionKind.SINGLE_HOP] = 1 - sum(shares.values())
        drawn = draw_by_share(found, shares, shape.questions, self._random)
        return [
            replace(question, question_id=f"q{number}", category=kind)
            for number, (kind, question) in enumerate(drawn)
        ]

    def _kind(self, one: _Topic) -> QuestionKind:
        if self._script.current(one.key) is None:
            return QuestionKind.ABSTENTION
        if len(self._script.history[one.key]) > 1:
            return QuestionKind.KNOWLEDGE_UPDATE
        return QuestionKind.SINGLE_HOP if one.matter.values else QuestionKind.TEMPORAL


def read_day(text: str) -> date:
    """The date behind "2023年5月7日".

    Raises:
        ValueError: the text is no such date.
    """
    year, _, rest = text.partition("年")
    month, _, day = rest.removesuffix("日").partition("月")
    return date(int(year), int(month), int(day))
