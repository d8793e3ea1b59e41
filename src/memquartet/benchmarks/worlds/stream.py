"""Streams of facts that are restated, contradicted and withdrawn, as FactConsolidation's lists or as conversation.

What counts is what was said last. Everything is drawn from a seed: sample n of a seed is the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

from memquartet.benchmarks.sessions import date_time_text
from memquartet.benchmarks.worlds.questions import QuestionKind, draw_by_share, value_question
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import Key
from memquartet.benchmarks.worlds.vocabulary import Relation, Vocabulary
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError

SOURCE = "world-stream"
MAX_DRAWS = 100
"""Tries to find something new to say."""
MAX_HOPS = 3
"""Facts that a question joins at most."""


class StreamForm(StrEnum):
    """How facts are written down."""

    SERIAL = "serial"
    """`12. The capital of … is ….`, a fact a line; the larger number is the newer."""
    PLAIN = "plain"
    """A fact a line, without numbers."""
    PROSE = "prose"
    """Several facts in a line, numbered or not."""
    DIALOGUE = "dialogue"
    """Speakers say them between small talk, in dated sessions."""
    MIXED = "mixed"
    """One of them, drawn for each sample."""


_SHARES = {StreamForm.SERIAL: 4, StreamForm.PLAIN: 1, StreamForm.PROSE: 2, StreamForm.DIALOGUE: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamShape:
    """How large a stream is and what happens in it.

    A line that says a fact changes one (with probability `conflicts`), withdraws one (`deletions`), says one again
    (`mentions`) or says a new one. A sample's chunks have half to all of `chunk_lines`. In a conversation a share `small_talk` of the lines is small talk. Of the
    questions, `multi_hop` join two or three facts, `abstentions` have no answer, `updates` ask for what changed, and the rest
    for what did not; kinds that a sample cannot have give their share to the others. `queries` is the share of
    chunks that are read with one of the questions in mind.
    """

    facts: int = 24
    chunk_lines: int = 8
    form: StreamForm = StreamForm.MIXED
    conflicts: float = 0.25
    mentions: float = 0.1
    deletions: float = 0.05
    small_talk: float = 0.2
    joined: float = 0.4
    queries: float = 0.15
    questions: int = 6
    multi_hop: float = 0.25
    abstentions: float = 0.15
    updates: float = 0.35

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, a share outside [0, 1], or shares that exceed 1 together.
        """
        for name in ("facts", "chunk_lines", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("conflicts", "mentions", "deletions", "small_talk", "joined", "queries"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be a share in [0, 1], got {getattr(self, name)}")
        for group in (("conflicts", "mentions", "deletions"), ("multi_hop", "abstentions", "updates")):
            shares = [getattr(self, name) for name in group]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise ConfigError(f"{', '.join(group)} must be shares of at most 1 together, got {shares}")


DEFAULT_STREAM = StreamShape()


def stream_samples(
    count: int, *, seed: int, words: Vocabulary, shape: StreamShape = DEFAULT_STREAM, first: int = 0
) -> Iterator[Sample]:
    """Generate fact streams; equal arguments give equal samples.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `vocabulary.built_in` and `vocabulary.from_trex`.
        shape: their size, and what happens in them.
        first: number of the first one.
    """
    for number in range(first, first + count):
        yield _Stream(words, shape, Random(f"stream/{seed}/{number}")).sample(f"stream-{seed}-{number}")


@dataclass(frozen=True, slots=True)
class _Untold:
    """A fact that waits to be said."""

    subject: str
    relation: Relation
    value: str


class _Stream:
    def __init__(self, words: Vocabulary, shape: StreamShape, random: Random) -> None:
        self._words, self._shape, self._random = words, shape, random
        self._form = shape.form
        if self._form is StreamForm.MIXED:
            self._form = random.choices(list(_SHARES), list(_SHARES.values()))[0]
        numbered = self._form is StreamForm.SERIAL or (
            self._form is StreamForm.PROSE and random.random() < 0.5
        )
        self._prefix = random.choice(words.speech.numbers) if numbered else ""
        self._chunk_lines = random.randint((shape.chunk_lines + 1) // 2, shape.chunk_lines)
        self._script = Script()
        self._relations = {relation.name: relation for relation in words.relations}
        # A stream is about few enough things that a question's neighbours are told, too.
        chosen = random.sample(words.joins, min(3, len(words.joins)))
        self._joins = chosen
        self._singles = random.sample(words.relations, min(6, len(words.relations)))
        self._waiting: list[_Untold] = []
        self._hops: list[tuple[Key, str]] = []
        self._speakers = random.sample(words.speech.speakers, 2)
        self._time = datetime(2023, 1, 1, 9, tzinfo=UTC) + timedelta(
            minutes=random.randrange(2 * 365 * 24 * 60)
        )
        self._remarks = self._sentences = 0
        self._number = random.choice([0, 0, random.randrange(500)])

    @property
    def _conversation(self) -> bool:
        return self._form is StreamForm.DIALOGUE

    def sample(self, sample_id: str) -> Sample:
        if not self._conversation:
            self._script.say(self._random.choice(self._words.speech.heads))
        while len(self._script.facts) - self._remarks < self._shape.facts:
            if self._conversation and self._random.random() < self._shape.small_talk:
                self._small_talk()
            elif not self._fact():
                self._end_chunk()
            if self._script.lines >= self._chunk_lines:
                self._end_chunk()
        self._end_chunk()
        questions = self._questions()
        return self._script.as_sample(
            sample_id, questions, source=SOURCE, queries=self._shape.queries, random=self._random
        )

    def _end_chunk(self) -> None:
        self._sentences = 0
        if not self._conversation:
            self._script.end_chunk()
            return
        self._script.end_chunk(head=f"[{date_time_text(self._time)}]", time=self._time)
        self._time += timedelta(minutes=self._random.randrange(60, 14 * 24 * 60))

    def _small_talk(self) -> None:
        speaker = self._random.choice(self._speakers)
        line, text, gist = self._random.choice(self._words.speech.small_talk)
        plain = self._words.speech.stated[0].format(s=speaker, fact=line)
        self._script.remark(plain, text=text.format(s=speaker), gist=gist)
        self._remarks += 1

    def _fact(self) -> bool:
        """Say one fact; False when the chunk is full because it speaks of everything that there is."""
        draw = self._random.random()
        shape = self._shape
        open_keys = [key for key in self._script.history if key not in self._script.touched]
        told = [key for key in open_keys if self._script.current(key)]
        if draw < shape.conflicts and open_keys:
            self._change(self._random.choice(open_keys))
        elif draw < shape.conflicts + shape.mentions and told:
            self._repeat(self._random.choice(told))
        elif draw < shape.conflicts + shape.mentions + shape.deletions and told:
            self._withdraw(self._random.choice(told))
        elif fact := self._untold():
            self._tell(fact.relation, fact.subject, fact.value, self._words.speech.stated)
        elif open_keys:
            self._change(self._random.choice(open_keys))
        else:
            return False
        return True

    def _untold(self) -> _Untold | None:
        """A fact about a key of which nothing was said yet; None when the words are used up."""
        while self._waiting:
            fact = self._waiting.pop(self._random.randrange(len(self._waiting)))
            if (fact.subject, fact.relation.name) not in self._script.history:
                return fact
        for _ in range(MAX_DRAWS):
            first, second = self._random.choice(self._joins)
            joined = self._random.random() < self._shape.joined
            relation = first if joined else self._random.choice(self._singles)
            subject = self._subject(relation)
            if (subject, relation.name) in self._script.history:
                continue
            value = self._value(relation, subject)
            if joined:
                self._join(subject, first, second, value)
            return _Untold(subject, relation, value)
        return None

    def _subject(self, relation: Relation) -> str:
        """Someone already spoken of, where the type fits, or someone new."""
        known = [subject for subject, _ in self._script.history if self._fits(subject, relation)]
        if known and self._random.random() < 0.4:
            return self._random.choice(known)
        return self._random.choice(self._words.names[relation.subject])

    def _fits(self, subject: str, relation: Relation) -> bool:
        return subject in self._words.members[relation.subject]

    def _join(self, subject: str, first: Relation, second: Relation, bridge: str) -> None:
        """Let the bridge's fact be told some time, and perhaps one more: they can be asked for together."""
        value = self._value(second, subject, bridge)
        self._waiting.append(_Untold(bridge, second, value))
        self._hops.append(((subject, first.name), second.name))
        thirds = [three for two, three in self._words.joins if two is second]
        if thirds and self._random.random() < 0.5:
            third = self._random.choice(thirds)
            self._waiting.append(_Untold(value, third, self._value(third, subject, bridge, value)))
            self._hops.append(((bridge, second.name), third.name))

    def _value(self, relation: Relation, *others: str) -> str:
        while (value := self._random.choice(self._words.names[relation.object])) in others:
            pass
        return value

    def _change(self, key: Key) -> None:
        subject, relation = key[0], self._relations[key[1]]
        current = self._script.current(key)
        value = self._value(relation, subject, current.value if current else "")
        for hop, second in self._hops:
            if hop == key and (value, second) not in self._script.history:
                further = self._relations[second]
                self._waiting.append(_Untold(value, further, self._value(further, value)))
        self._tell(relation, subject, value, self._words.speech.changed)

    def _repeat(self, key: Key) -> None:
        current = self._script.current(key)
        if current:
            self._tell(self._relations[key[1]], key[0], current.value, self._words.speech.repeated)

    def _tell(self, relation: Relation, subject: str, value: str, frames: Sequence[str]) -> None:
        template = self._random.choice(relation.statements)
        text, middle = statement(template, subject, value)
        self._script.note(
            self._say(text, middle, frames), text=text, key=(subject, relation.name), value=value
        )

    def _withdraw(self, key: Key) -> None:
        current = self._script.current(key)
        if current is None:
            return
        template = self._random.choice(self._relations[key[1]].statements)
        _, middle = statement(template, key[0], current.value)
        text = self._random.choice(self._words.speech.deleted).format(mid=middle)
        middle = text[:1].lower() + text.removesuffix(".")[1:]
        self._script.note(self._say(text, middle, self._words.speech.changed), text=text, key=key, value="")

    def _say(self, text: str, middle: str, frames: Sequence[str]) -> str:
        """Write a fact down; the source id of its line."""
        if self._conversation:
            speaker = self._random.choice(self._speakers)
            return self._script.say(self._random.choice(frames).format(s=speaker, fact=text, mid=middle))
        if self._sentences and self._random.random() < 0.6:
            self._sentences -= 1
            return self._script.go_on(text)
        self._sentences = 2 if self._form is StreamForm.PROSE else 0
        number, self._number = self._number, self._number + 1
        return self._script.say(self._prefix.format(n=number) + text)

    def _questions(self) -> list[Question]:
        """Questions in the wanted shares, as far as the stream can have them."""
        script, shape = self._script, self._shape
        found: dict[QuestionKind, list[tuple[str, tuple[str, ...]]]] = {kind: [] for kind in QuestionKind}
        for key in script.history:
            single = (key[0], (key[1],))
            if script.current(key) is None:
                found[QuestionKind.ABSTENTION].append(single)
            elif len(script.history[key]) > 1:
                found[QuestionKind.KNOWLEDGE_UPDATE].append(single)
            else:
                found[QuestionKind.SINGLE_HOP].append(single)
        for subject in dict.fromkeys(subject for subject, _ in script.history):
            found[QuestionKind.MULTI_HOP] += [(subject, path) for path in self._paths(subject, (subject,))]
        found[QuestionKind.ABSTENTION] += self._never_told()
        shares = {
            QuestionKind.MULTI_HOP: shape.multi_hop,
            QuestionKind.ABSTENTION: shape.abstentions,
            QuestionKind.KNOWLEDGE_UPDATE: shape.updates,
            QuestionKind.SINGLE_HOP: 1 - shape.multi_hop - shape.abstentions - shape.updates,
        }
        drawn = draw_by_share(found, shares, shape.questions, self._random)
        return [
            replace(self._question(subject, relations), question_id=f"q{number}", category=kind)
            for number, (kind, (subject, relations)) in enumerate(drawn)
        ]

    def _paths(self, about: str, seen: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Relations that can be walked from a subject, two or three of them; `seen` are the names on the way."""
        for (subject, name), facts in self._script.history.items():
            value = facts[-1].value
            if subject != about or not value or value in seen:
                continue
            if len(seen) > 1:
                yield (name,)
            if len(seen) < MAX_HOPS and self._relations[name].phrases:
                yield from ((name, *path) for path in self._paths(value, (*seen, value)))

    def _question(self, subject: str, relations: tuple[str, ...]) -> Question:
        text = self._asking(subject, relations)
        return value_question(self._script, text=text, subject=subject, relations=relations)

    def _never_told(self) -> list[tuple[str, tuple[str, ...]]]:
        """Single questions about known subjects to which nothing was said, with relations that did occur."""
        subjects = dict.fromkeys(subject for subject, _ in self._script.history)
        relations = dict.fromkeys(name for _, name in self._script.history)
        return [
            (subject, (name,))
            for subject in subjects
            for name in relations
            if (subject, name) not in self._script.history and self._fits(subject, self._relations[name])
        ]

    def _asking(self, subject: str, relations: Sequence[str]) -> str:
        """The question's words: the last relation asks, the ones before it describe whom about."""
        about = subject
        for name in relations[:-1]:
            about = self._random.choice(self._relations[name].phrases).replace("[X]", about)
        question = self._random.choice(self._relations[relations[-1]].questions).replace("[X]", about)
        asking = self._words.speech.asking
        if not asking or self._random.random() < 0.7:
            return _sentence(question)
        middle = question if question.startswith(about) else question[:1].lower() + question[1:]
        return self._random.choice(asking).format(q=_sentence(question), mid=middle)


def statement(template: str, subject: str, value: str) -> tuple[str, str]:
    """A statement as a sentence of its own, and as part of one: without its full stop, "The" in lower case."""
    middle = template if template.startswith("[") else template[:1].lower() + template[1:]
    filled = [text.replace("[X]", subject).replace("[Y]", value) for text in (template, middle)]
    return _sentence(filled[0]), filled[1].removesuffix(".")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
