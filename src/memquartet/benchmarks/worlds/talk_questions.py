"""What a written talk can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from random import Random

from memquartet.benchmarks.worlds.cards import Cards, Topic, TopicKind
from memquartet.benchmarks.worlds.questions import (
    QuestionKind,
    ago_question,
    list_question,
    order_question,
    recent_question,
    value_question,
)
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import Key
from memquartet.core.samples import Question
from memquartet.text.dates import write_date

THE_USER = "the user"
MAX_UNKNOWN = 6
LONGEST_AGO = 45
"""Days; further back nobody counts days."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A topic of a person: which variety or item (empty where there is none).

    `told_by` says who speaks of somebody else; it is empty where a person speaks of herself.
    """

    person: str
    topic: Topic
    x: str = ""
    item: str = ""
    told_by: str = ""

    @property
    def speaker(self) -> str:
        """Who speaks of it."""
        return self.told_by or self.person

    @property
    def key(self) -> Key:
        """What the fact is about."""
        name = f"{self.topic.name}:{self.x}" if self.x else self.topic.name
        return self.person, f"{name}/{self.item}" if self.item else name


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkQuestions:
    """The questions about a written talk.

    Args:
        script: what was said.
        words: the wordings.
        random: draws among these.
        told: what was spoken of.
        exact: the days of what happened on a day that is known.
        untold: what was not.
        speakers: the two friends, or the user alone.
        today: when the talk ended.
    """

    script: Script
    words: Cards
    random: Random
    told: Mapping[Key, Subject]
    exact: Mapping[Key, date]
    untold: Sequence[Subject]
    speakers: Sequence[str]
    today: date

    def askable(self) -> dict[QuestionKind, list[Question]]:
        """Every question that the talk can be asked, one wording each."""
        found: dict[QuestionKind, list[Question]] = {kind: [] for kind in QuestionKind}
        for one in self.told.values():
            if one.topic.kind is not TopicKind.ITEM:
                found[self._kind(one)].append(self._about(one))
            found[QuestionKind.MULTI_HOP] += self._through(one)
        for kind, question in self._lists():
            found[kind].append(question)
        # Far more was not said than was.
        found[QuestionKind.ABSTENTION] += islice(self._unknown(), MAX_UNKNOWN)
        found[QuestionKind.TEMPORAL] += [*self._orders(), *self._agos()]
        if gist := next((fact.gist for fact in reversed(self.script.facts) if fact.gist), ""):
            found[QuestionKind.SHORT_TERM].append(
                recent_question(self.random.choice(self.words.recent), gist)
            )
        return {kind: list({q.text: q for q in questions}.values()) for kind, questions in found.items()}

    def _kind(self, one: Subject) -> QuestionKind:
        if self.script.current(one.key) is None:
            return QuestionKind.ABSTENTION
        if len(self.script.history[one.key]) > 1:
            return QuestionKind.KNOWLEDGE_UPDATE
        dated = one.topic.kind in (TopicKind.EVENT, TopicKind.PLAN)
        return QuestionKind.TEMPORAL if dated else QuestionKind.SINGLE_HOP

    def _about(self, one: Subject) -> Question:
        text = self._ask(one.topic.asks, one.person, one.x)
        return value_question(self.script, text=text, subject=one.person, relations=(one.key[1],))

    def _ask(self, forms: Sequence[str], person: str, x: str = "") -> str:
        form = self.random.choice(forms)
        if person == THE_USER:
            form = in_first_person(form)
        text = form.format(p=person, x=x)
        return text[:1].upper() + text[1:]

    def _through(self, tie: Subject) -> Iterator[Question]:
        """Questions about somebody who is named only as whom somebody else knows."""
        person = self.script.current(tie.key)
        if tie.topic.kind is not TopicKind.TIE or person is None:
            return
        label = in_first_person(tie.topic.label) if tie.person == THE_USER else tie.topic.label
        for one in self.told.values():
            if one.person == person.value and self.script.current(one.key):
                text = self._ask(one.topic.asks, label.format(p=tie.person), one.x)
                yield value_question(
                    self.script, text=text, subject=tie.person, relations=(tie.key[1], one.key[1])
                )

    def _lists(self) -> Iterator[tuple[QuestionKind, Question]]:
        """All of a list; of a long one also how many."""
        lists = {(one.person, one.topic) for one in self.told.values() if one.topic.kind is TopicKind.ITEM}
        for person, topic in sorted(lists, key=lambda one: (one[0], one[1].name)):
            name = topic.name
            text = self._ask(topic.asks, person)
            question = list_question(self.script, text=text, subject=person, relation=name)
            count = len(question.evidence) and question.answers[0].count(", ") + 1
            if count < 2:
                yield QuestionKind.SINGLE_HOP if count else QuestionKind.ABSTENTION, question
                continue
            yield QuestionKind.AGGREGATION, question
            if topic.counts:
                text = self._ask(topic.counts, person)
                yield (
                    QuestionKind.AGGREGATION,
                    list_question(self.script, text=text, subject=person, relation=name, counted=True),
                )

    def _unknown(self) -> Iterator[Question]:
        """What was said of the other one only, circumstances of an event that were left out, and the untold."""
        told = [one for one in self.told.values() if not one.told_by]
        asked = [replace(one, person=person) for one in told for person in self.speakers]
        asked += [replace(one, topic=part) for one in told for part in one.topic.parts]
        asked += self.random.sample(self.untold, min(4, len(self.untold)))
        self.random.shuffle(asked)
        lists = {key[0] + key[1].partition("/")[0] for key in self.script.history}
        for one in asked:
            if one.topic.kind is TopicKind.ITEM and one.person + one.topic.name not in lists:
                text = self._ask(one.topic.asks, one.person)
                yield list_question(self.script, text=text, subject=one.person, relation=one.topic.name)
            elif one.topic.kind is not TopicKind.ITEM and one.key not in self.script.history:
                yield self._about(one)

    def _orders(self) -> Iterator[Question]:
        """Two things whose days are known, and which of them came first."""
        dated = [
            (key, self.told[key])
            for key in self.exact
            if self.script.current(key) and self.told[key].topic.label
        ]
        self.random.shuffle(dated)
        for (key, one), (other, two) in zip(dated[::2], dated[1::2], strict=False):
            if self.exact[key] != self.exact[other]:
                labels = self._label(one), self._label(two)
                form = self.random.choice(self.words.order)
                text = form.format(a=labels[0], b=labels[1])
                yield order_question(self.script, text=text, keys=(key, other), labels=labels)

    def _label(self, one: Subject) -> str:
        whose = "the" if one.person == THE_USER else f"{one.person}'s"
        return f"{whose} {one.topic.label.format(x=one.x)}"

    def _agos(self) -> Iterator[Question]:
        """How many days ago something was."""
        for key, day in self.exact.items():
            one = self.told[key]
            near = 0 < (self.today - day).days <= LONGEST_AGO
            if near and one.topic.kind is TopicKind.EVENT and self.script.current(key):
                form = self.random.choice(self.words.ago)
                text = form.format(today=write_date(self.today), a=self._label(one))
                yield ago_question(self.script, text=text, key=key, day=self.today)


_VERBS = (("Does", "Do"), ("does", "do"), ("Is", "Am"), ("is", "am"), ("Has", "Have"), ("has", "have"))


def in_first_person(form: str) -> str:
    """A question's form as the person asks it: "Where does {p} live?" becomes "Where do I live?"."""
    form = form.replace("{p}'s", "my")
    for third, first in _VERBS:
        form = form.replace(f"{third} {{p}}", f"{first} I").replace(f"{{p}} {third}", f"I {first}")
    return form.replace("{p}", "I")
