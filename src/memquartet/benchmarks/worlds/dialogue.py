"""Dialogue worlds: two people talk about themselves and others over several dated sessions.

Profiles and plans change, are taken back and are mentioned again; small talk stands between. A query, if there is
one, can make a passing remark worth remembering. Sample n of a seed is the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

from memquartet.benchmarks.sessions import date_time_text
from memquartet.benchmarks.worlds.dialogue_words import (
    DialogueWords,
    Event,
    Plan,
    Remark,
    Saying,
    Tie,
    Trait,
    say_date,
    some_days,
)
from memquartet.benchmarks.worlds.questions import (
    QuestionKind,
    draw_by_share,
    order_question,
    recent_question,
    value_question,
)
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import TRUTH, FactKind, Key, read_date, truth_as_json
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError
from memquartet.text.dates import write_date

SOURCE = "world-dialogue"
Topic = Trait | Tie | Plan | Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueShape:
    """How long a dialogue is and what happens in it.

    Of the lines, a share is `small_talk` and a share `filler` that says nothing; of the others a share `changes`
    something, `mentions` it again or takes it back (`deletions`), and the rest tells something new. `queries` is the
    share of sessions that are read with a question in mind. Of the questions the named shares are of their kinds,
    and the rest asks for one unchanged fact.
    """

    sessions: int = 6
    lines: int = 7
    small_talk: float = 0.15
    filler: float = 0.1
    changes: float = 0.25
    mentions: float = 0.12
    deletions: float = 0.06
    queries: float = 0.25
    questions: int = 8
    multi_hop: float = 0.2
    temporal: float = 0.2
    updates: float = 0.25
    abstentions: float = 0.15
    short_term: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, or shares below 0 or above 1 together.
        """
        for name in ("sessions", "lines", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for group in (
            ("small_talk", "filler"),
            ("changes", "mentions", "deletions"),
            ("queries",),
            ("multi_hop", "temporal", "updates", "abstentions", "short_term"),
        ):
            shares = [getattr(self, name) for name in group]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise ConfigError(f"{', '.join(group)} must be shares of at most 1 together, got {shares}")


MAX_TRAITS = 9
"""Traits that a dialogue is about: among more few things would be said twice or change."""
MAX_DATED = 5
"""Plans, and as many events."""
DEFAULT_DIALOGUE = DialogueShape()


def dialogue_samples(
    count: int, *, seed: int, words: DialogueWords, shape: DialogueShape = DEFAULT_DIALOGUE, first: int = 0
) -> Iterator[Sample]:
    """Generate dialogues; equal arguments give equal samples.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `dialogue_words`.
        shape: their length, and what happens in them.
        first: number of the first one.
    """
    for number in range(first, first + count):
        random = Random(f"dialogue/{seed}/{number}")
        yield _Dialogue(words, shape, random).sample(f"dialogue-{seed}-{number}")


@dataclass(frozen=True, slots=True)
class _Subject:
    """A key as a topic: whom it is about, and which variety (empty where there is none)."""

    person: str
    topic: Topic
    x: str = ""

    @property
    def key(self) -> Key:
        return self.person, f"{self.topic.name}:{self.x}" if self.x else self.topic.name


class _Dialogue:
    def __init__(self, words: DialogueWords, shape: DialogueShape, random: Random) -> None:
        words = replace(
            words,
            traits=tuple(random.sample(words.traits, min(MAX_TRAITS, len(words.traits)))),
            plans=tuple(random.sample(words.plans, min(MAX_DATED, len(words.plans)))),
            events=tuple(random.sample(words.events, min(MAX_DATED, len(words.events)))),
        )
        self._words, self._shape, self._random = words, shape, random
        self._script = Script()
        people = random.sample(words.people, 4)
        self._speakers, self._others = people[:2], people[2:]
        self._now = datetime(2023, 1, 1, 8, tzinfo=UTC) + timedelta(
            minutes=random.randrange(2 * 365 * 24 * 60)
        )
        self._told: dict[Key, _Subject] = {}
        self._untold = self._subjects()
        self._said_remarks: set[tuple[str, str]] = set()
        self._query: tuple[str, Remark] | None = None
        self._remembered: list[tuple[Key, str]] = []

    def _subjects(self) -> list[_Subject]:
        """Everything that this dialogue may come to speak of, in random order."""
        words, random = self._words, self._random
        found = [_Subject(p, topic) for p in (*self._speakers, *self._others) for topic in words.traits]
        found += [
            _Subject(p, tie)
            for p in self._speakers
            for tie in random.sample(words.ties, min(2, len(words.ties)))
        ]
        dated: list[Plan | Event] = [*words.plans, *words.events]
        found += [
            _Subject(p, topic, x)
            for p in self._speakers
            for topic in dated
            for x in random.sample(topic.x, min(2, len(topic.x)))
        ]
        random.shuffle(found)
        # Ties come early, since questions join on them.
        return sorted(found, key=lambda one: isinstance(one.topic, Tie) and random.random() < 0.7)

    @property
    def _today(self) -> date:
        return self._now.date()

    def sample(self, sample_id: str) -> Sample:
        queries: dict[int, str] = {}
        for _ in range(self._shape.sessions):
            self._session(queries)
        questions = self._questions()
        free = [chunk.index for chunk in self._script.chunks if chunk.index not in queries]
        for index in free:
            if questions and self._random.random() < self._shape.queries / 2:
                queries[index] = self._random.choice(questions).text
        return Sample(
            sample_id=sample_id,
            chunks=tuple(replace(chunk, query=queries.get(chunk.index, "")) for chunk in self._script.chunks),
            questions=tuple(questions),
            source=SOURCE,
            metric="exact_match",
            extra={TRUTH: truth_as_json(self._script.facts)},
        )

    def _session(self, queries: dict[int, str]) -> None:
        """One chunk; half of the queries ask for a remark that is made in it."""
        self._query = None
        remarks = [(p, r) for p in self._speakers for r in self._words.small_talk if self._may_ask(p, r)]
        if remarks and self._random.random() < self._shape.queries / 2:
            person, remark = self._query = self._random.choice(remarks)
            queries[len(self._script.chunks)] = remark.question.format(p=person)
        asked_at = self._random.randrange(self._shape.lines)
        for number in range(self._shape.lines):
            draw = self._random.random()
            if self._query and number == asked_at:
                self._remark(*self._query)
            elif draw < self._shape.small_talk:
                self._small_talk()
            elif draw < self._shape.small_talk + self._shape.filler:
                self._fill()
            else:
                self._important()
        self._script.end_chunk(head=f"[{date_time_text(self._now)}]", time=self._now)
        self._now += timedelta(minutes=self._random.randrange(12 * 60, 12 * 24 * 60))

    def _may_ask(self, person: str, remark: Remark) -> bool:
        return bool(remark.question) and (person, remark.said) not in self._said_remarks

    def _fill(self) -> None:
        self._script.say(f"{self._random.choice(self._speakers)}: {self._random.choice(self._words.filler)}")

    def _small_talk(self) -> None:
        left = [
            (p, remark)
            for p in self._speakers
            for remark in self._words.small_talk
            if (p, remark.said) not in self._said_remarks and (p, remark) != self._query
        ]
        if left:
            self._remark(*self._random.choice(left))
        else:
            self._fill()

    def _remark(self, person: str, remark: Remark) -> None:
        """Small talk, or, when it answers the query, something to remember. Nobody makes a remark twice."""
        self._said_remarks.add((person, remark.said))
        line, text = f"{person}: {remark.said}", remark.fact.format(p=person)
        if (person, remark) == self._query:
            key = (person, f"remark:{remark.gist}")
            self._script.tell(line, text=text, key=key, value=remark.value)
            self._remembered.append((key, remark.question.format(p=person)))
        else:
            self._script.remark(line, text=text, gist=remark.gist)

    def _important(self) -> None:
        draw, shape = self._random.random(), self._shape
        open_ = [one for key, one in self._told.items() if key not in self._script.touched]
        lively = [one for one in open_ if self._can_change(one)]
        if draw < shape.changes and lively:
            self._change(self._random.choice(lively))
        elif draw < shape.changes + shape.mentions and (again := [o for o in open_ if self._can_repeat(o)]):
            self._repeat(self._random.choice(again))
        elif draw < shape.changes + shape.mentions + shape.deletions and (
            gone := [o for o in lively if self._script.current(o.key)]
        ):
            self._drop(self._random.choice(gone))
        elif self._untold:
            self._new(self._untold.pop())
        else:
            self._fill()

    def _can_change(self, one: _Subject) -> bool:
        """Whether something still can be different: not a tie, not what is past."""
        current = self._script.current(one.key)
        if isinstance(one.topic, Plan):
            return current is not None and read_date(current.value) > self._today
        return isinstance(one.topic, Trait)

    def _can_repeat(self, one: _Subject) -> bool:
        current = self._script.current(one.key)
        if current is None:
            return False
        return not isinstance(one.topic, Plan) or read_date(current.value) > self._today

    def _new(self, one: _Subject) -> None:
        value = self._value(one, before="")
        self._tell(one, self._sayings(one.topic), value)
        self._told[one.key] = one

    def _change(self, one: _Subject) -> None:
        current = self._script.current(one.key)
        sayings: Sequence[Saying] = self._sayings(one.topic)
        if isinstance(one.topic, Trait) and current:
            sayings = one.topic.changed
        elif isinstance(one.topic, Plan):
            sayings = one.topic.moved
        self._tell(one, sayings, self._value(one, before=current.value if current else ""))

    def _drop(self, one: _Subject) -> None:
        if isinstance(one.topic, Trait):
            self._tell(one, one.topic.dropped, "")
        elif isinstance(one.topic, Plan):
            self._tell(one, one.topic.cancelled, "")

    def _repeat(self, one: _Subject) -> None:
        current = self._script.current(one.key)
        if current:
            plain = [saying for saying in self._sayings(one.topic) if "{w}" not in saying.said]
            self._tell(one, plain, current.value, frame=self._random.choice(self._words.repeated))

    @staticmethod
    def _sayings(topic: Topic) -> Sequence[Saying]:
        """How a topic is told for the first time."""
        match topic:
            case Trait() | Tie():
                return topic.stated
            case Plan():
                return topic.planned
            case Event():
                return topic.happened

    def _value(self, one: _Subject, *, before: str) -> str:
        match one.topic:
            case Trait():
                return self._random.choice([value for value in one.topic.values if value != before])
            case Tie():
                return self._random.choice(self._others)
            case Plan():
                while (value := write_date(self._today + some_days(self._random, 1, 60))) == before:
                    pass
                return value
            case Event():
                return write_date(self._today - some_days(self._random, 1, 40))

    def _tell(self, one: _Subject, sayings: Sequence[Saying], value: str, *, frame: str = "") -> None:
        """Let the person say it of herself, or, of someone who is not there, one of the speakers."""
        saying = self._random.choice(sayings)
        speaker = one.person if one.person in self._speakers else self._random.choice(self._speakers)
        form = saying.said if speaker == one.person else saying.other or saying.fact
        if frame:
            form = frame.format(mid=_within(form))
        names = {
            "p": one.person,
            "v": value,
            "x": one.x,
            "w": self._slip(one, value),
            "date": value,
            "when": "",
            "When": "",
        }
        dated = isinstance(one.topic, Plan | Event)
        if dated and value:
            when = say_date(read_date(value), self._today, self._random)
            names |= {"when": when, "When": when[:1].upper() + when[1:]}
        text = saying.fact.format(**names)
        self._script.tell(
            f"{speaker}: {form.format(**names)}",
            text=text[:1].upper() + text[1:],
            key=one.key,
            value=value,
            kind=FactKind.EPISODIC if dated else FactKind.SEMANTIC,
        )

    def _slip(self, one: _Subject, value: str) -> str:
        if not isinstance(one.topic, Trait):
            return ""
        return self._random.choice([other for other in one.topic.values if other != value])

    def _questions(self) -> list[Question]:
        found = self._askable()
        shape = self._shape
        shares = {
            QuestionKind.MULTI_HOP: shape.multi_hop,
            QuestionKind.TEMPORAL: shape.temporal,
            QuestionKind.KNOWLEDGE_UPDATE: shape.updates,
            QuestionKind.ABSTENTION: shape.abstentions,
            QuestionKind.SHORT_TERM: shape.short_term,
        }
        shares[QuestionKind.SINGLE_HOP] = 1 - sum(shares.values())
        # A question that somebody had in mind while reading is asked in the end.
        asked = [
            (
                QuestionKind.SINGLE_HOP,
                value_question(self._script, text=text, subject=key[0], relations=(key[1],)),
            )
            for key, text in self._remembered[: shape.questions]
        ]
        drawn = asked + draw_by_share(found, shares, shape.questions - len(asked), self._random)
        return [
            replace(question, question_id=f"q{number}", category=kind)
            for number, (kind, question) in enumerate(drawn)
        ]

    def _askable(self) -> dict[QuestionKind, list[Question]]:
        """Every question that this dialogue can be asked, one wording each."""
        found: dict[QuestionKind, list[Question]] = {kind: [] for kind in QuestionKind}
        for one in self._told.values():
            found[self._kind(one)].append(self._about(one.person, one, (one.key[1],)))
            person = self._script.current(one.key)
            if isinstance(one.topic, Tie) and person:
                for other in self._told.values():
                    if other.person == person.value and self._script.current(other.key):
                        phrase = one.topic.phrase.format(p=one.person)
                        found[QuestionKind.MULTI_HOP].append(
                            self._about(phrase, other, (one.key[1], other.key[1]), start=one.person)
                        )
        found[QuestionKind.ABSTENTION] += [
            self._about(one.person, one, (one.key[1],)) for one in self._untold
        ]
        found[QuestionKind.TEMPORAL] += self._orders()
        if gist := next((fact.gist for fact in reversed(self._script.facts) if fact.gist), ""):
            found[QuestionKind.SHORT_TERM].append(
                recent_question(self._random.choice(self._words.recent_questions), gist)
            )
        return found

    def _kind(self, one: _Subject) -> QuestionKind:
        if self._script.current(one.key) is None:
            return QuestionKind.ABSTENTION
        if len(self._script.history[one.key]) > 1:
            return QuestionKind.KNOWLEDGE_UPDATE
        return QuestionKind.TEMPORAL if isinstance(one.topic, Plan | Event) else QuestionKind.SINGLE_HOP

    def _about(self, whom: str, one: _Subject, path: tuple[str, ...], *, start: str = "") -> Question:
        text = self._random.choice(one.topic.questions).format(p=whom, x=one.x)
        return value_question(self._script, text=text, subject=start or one.person, relations=path)

    def _orders(self) -> Iterator[Question]:
        """Two dated things, and which of them came first."""
        dated = [
            (one.key, one.topic.label.format(p=one.person, x=one.x), current)
            for one in self._told.values()
            if isinstance(one.topic, Plan | Event) and (current := self._script.current(one.key))
        ]
        self._random.shuffle(dated)
        for (key, label, fact), (other, its_label, its_fact) in zip(dated[::2], dated[1::2], strict=False):
            if fact.value != its_fact.value:
                text = self._random.choice(self._words.order_questions).format(a=label, b=its_label)
                yield order_question(self._script, text=text, keys=(key, other), labels=(label, its_label))


def _within(form: str) -> str:
    """A sentence's form to stand after a comma or colon: in lower case unless it begins with a name or "I"."""
    if form.startswith("{When}"):
        return "{when}" + form.removeprefix("{When}")
    return form if form.startswith(("I ", "{")) else form[:1].lower() + form[1:]
