"""Talk worlds: two friends who chat for weeks, or a user and an assistant, in long turns that say several things.

Topics come from cards. Profiles change, plans are moved and called off, lists grow and shrink, events are told with
their circumstances and a relative date, much is said twice, and most of what is said matters to nobody.
Sample n of a seed is the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

from memquartet.benchmarks.sessions import date_time_text
from memquartet.benchmarks.worlds.cards import Cards, Saying, Topic, TopicKind
from memquartet.benchmarks.worlds.moments import Moment, coming_moment, past_moment
from memquartet.benchmarks.worlds.questions import QuestionKind, draw_by_share
from memquartet.benchmarks.worlds.script import Script, capitalized
from memquartet.benchmarks.worlds.talk_questions import THE_USER, Subject, TalkQuestions
from memquartet.benchmarks.worlds.truth import FactKind, Key
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError

USER, ASSISTANT = "user", "assistant"
MAX_ITEMS = 3
"""Values of a list that a person has at one time: every order of them is an accepted answer."""
TOPICS = 80
"""Cards that a talk is about, drawn from all: among more few things would ever be said twice, change or make a list."""
_EPISODIC = (TopicKind.EVENT, TopicKind.PLAN, TopicKind.CIRCUMSTANCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkShape:
    """How long a talk is and what happens in it.

    A chunk ends after half to all of `characters` or `facts`. Of the things said that matter a share `changes`
    something, `mentions` it again or ends it (`deletions`). `small_talk` is the share of turns with a remark.
    `queries` is the share of chunks that are read with a question in mind. Of the questions the named shares are
    of their kinds, and the rest asks for one unchanged fact.
    """

    chunks: int = 6
    characters: int = 900
    facts: int = 6
    changes: float = 0.25
    mentions: float = 0.1
    deletions: float = 0.06
    small_talk: float = 0.15
    queries: float = 0.15
    questions: int = 8
    multi_hop: float = 0.12
    temporal: float = 0.2
    updates: float = 0.22
    abstentions: float = 0.14
    aggregation: float = 0.1
    short_term: float = 0.03

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, or shares below 0 or above 1 together.
        """
        for name in ("chunks", "characters", "facts", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for group in (
            ("changes", "mentions", "deletions"),
            ("small_talk",),
            ("queries",),
            ("multi_hop", "temporal", "updates", "abstentions", "aggregation", "short_term"),
        ):
            shares = [getattr(self, name) for name in group]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise ConfigError(f"{', '.join(group)} must be shares of at most 1 together, got {shares}")

    @property
    def shares(self) -> dict[QuestionKind, float]:
        """Share of each kind of question."""
        shares = {
            QuestionKind.MULTI_HOP: self.multi_hop,
            QuestionKind.TEMPORAL: self.temporal,
            QuestionKind.KNOWLEDGE_UPDATE: self.updates,
            QuestionKind.ABSTENTION: self.abstentions,
            QuestionKind.AGGREGATION: self.aggregation,
            QuestionKind.SHORT_TERM: self.short_term,
        }
        return {**shares, QuestionKind.SINGLE_HOP: 1 - sum(shares.values())}


DEFAULT_TALK = TalkShape()


def talk_samples(
    count: int,
    *,
    seed: int,
    words: Cards,
    assistant: bool,
    shape: TalkShape = DEFAULT_TALK,
    first: int = 0,
) -> Iterator[Sample]:
    """Generate talks; equal arguments give equal samples.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `cards`.
        assistant: whether a user talks to an assistant, and not two friends to each other.
        shape: their length, and what happens in them.
        first: number of the first one.
    """
    name = ASSISTANT if assistant else "friends"
    for number in range(first, first + count):
        talk = _Talk(words, shape, Random(f"{name}/{seed}/{number}"), assistant=assistant)
        yield talk.sample(f"{name}-{seed}-{number}", source=f"world-{name}")


class _Talk:
    def __init__(self, words: Cards, shape: TalkShape, random: Random, *, assistant: bool) -> None:
        if len(words.topics) > TOPICS:
            words = replace(words, topics=tuple(random.sample(words.topics, TOPICS)))
        self._words, self._shape, self._random, self._assistant = words, shape, random, assistant
        self._script = Script()
        names = random.sample(words.people, 5)
        self._speakers = [THE_USER] if assistant else names[:2]
        self._others = names[2:]
        self._now = datetime(2022, 3, 1, random.randint(7, 21), random.randrange(60), tzinfo=UTC)
        self._now += timedelta(days=random.randrange(3 * 365))
        self._told: dict[Key, Subject] = {}
        self._moments: dict[Key, Moment] = {}
        self._untold = {person: self._subjects(person) for person in self._speakers}
        self._remarks = random.sample(words.remarks, len(words.remarks))
        self._ties: dict[str, tuple[str, str]] = {}
        self._facts_left = 0

    @property
    def _today(self) -> date:
        return self._now.date()

    def _subjects(self, person: str) -> list[Subject]:
        """What a speaker may come to speak of, in random order; who they know comes early, since questions join."""
        random = self._random
        kinds = set(TopicKind) if self._assistant else set(TopicKind) - {TopicKind.TOLD}
        found: list[Subject] = []
        for topic in self._words.topics:
            if topic.kind not in kinds:
                continue
            if topic.kind is TopicKind.ITEM:
                found += [Subject(person, topic)] * MAX_ITEMS
            elif topic.x:
                found += [Subject(person, topic, x) for x in random.sample(topic.x, min(2, len(topic.x)))]
            else:
                found.append(Subject(person, topic))
        random.shuffle(found)
        # What is mentioned of a list goes together with the rest of it, or few lists would ever have two items.
        lists = [topic for topic in self._words.topics if topic.kind is TopicKind.ITEM]
        lists = random.sample(lists, min(2, len(lists)))
        last = sorted(found, key=lambda one: random.random() < 0.6 and self._is_late(one, lists))
        return last[::-1]

    @staticmethod
    def _is_late(one: Subject, lists: Sequence[Topic]) -> bool:
        if one.topic.kind is TopicKind.ITEM:
            return one.topic not in lists
        return one.topic.kind is not TopicKind.TIE

    def sample(self, sample_id: str, *, source: str) -> Sample:
        while len(self._script.chunks) < self._shape.chunks:
            self._chunk()
            # Half of the chunks go on with the day's conversation.
            if self._random.random() < 0.5:
                self._now += timedelta(minutes=2)
            else:
                later = self._now + timedelta(days=self._random.randint(1, 12))
                self._now = later.replace(hour=self._random.randint(7, 21))
        questions = self._questions()
        return self._script.as_sample(
            sample_id, questions, source=source, queries=self._shape.queries, random=self._random
        )

    def _chunk(self) -> None:
        random, shape = self._random, self._shape
        characters = random.randint((shape.characters + 1) // 2, shape.characters)
        self._facts_left = random.randint((shape.facts + 1) // 2, shape.facts)
        number, prompt = random.randrange(2), None
        while not self._script.lines or (
            self._script.characters < characters and (self._facts_left > 0 or random.random() < 0.5)
        ):
            speaker = self._speakers[number % len(self._speakers)]
            prompt = self._turn(speaker, prompt)
            if self._assistant:
                self._assistant_turn()
            number += 1
        self._script.end_chunk(head=f"[{date_time_text(self._now)}]", time=self._now)

    def _turn(self, speaker: str, prompt: tuple[Subject, Saying] | None) -> tuple[Subject, Saying] | None:
        """One turn; the question that it ends with, if that is a card's: whom it asks about, and the reply."""
        random, words = self._random, self._words
        line = self._script.say(f"{USER if self._assistant else speaker}:")
        if prompt:
            subject, reply = prompt
            self._new(line, subject, reply)
        elif not self._assistant:
            opened = self._script.lines > 1
            if random.random() < 0.7:
                self._script.go_on(random.choice(words.reactions if opened else words.openers))
        count = random.choices((0, 1, 2, 3), (20, 45, 25, 10))[0] - bool(prompt)
        for _ in range(max(count, int(self._assistant))):
            if self._facts_left > 0:
                self._important(line, speaker)
        if random.random() < self._shape.small_talk and self._remarks and self._facts_left > 0:
            self._remark(line, speaker)
        if self._assistant:
            return None
        return self._ask_back(speaker, empty=self._script.is_bare)

    def _ask_back(self, speaker: str, *, empty: bool) -> tuple[Subject, Saying] | None:
        """End the turn, often with a question."""
        random = self._random
        other = next(one for one in self._speakers if one != speaker)
        draw = random.random()
        if draw < 0.2 and self._facts_left > 0:
            found = [one for one in self._untold[other] if one.topic.prompted]
            if found:
                one = random.choice(found)
                reply = random.choice(one.topic.prompted)
                self._untold[other].remove(one)
                self._script.go_on(reply.question.format(x=one.x))
                return one, reply
        if draw < 0.6 or empty:
            self._script.go_on(random.choice(self._words.turns))
        return None

    def _assistant_turn(self) -> None:
        """A request in the user's turn and a long reply that says nothing of the user, now and then a name."""
        random, words = self._random, self._words
        request, reply = random.choice(words.advice)
        self._script.go_on(request)
        line = self._script.say(f"{ASSISTANT}: {random.choice(words.acknowledged)} {reply}")
        told = [one for one in self._untold[THE_USER] if one.topic.kind is TopicKind.TOLD]
        if told and random.random() < 0.2 and self._facts_left > 0:
            one = random.choice(told)
            self._untold[THE_USER].remove(one)
            self._new(line, one, random.choice(one.topic.said))

    def _remark(self, line: str, speaker: str) -> None:
        said, fact, gist = self._remarks.pop()
        self._script.go_on(said)
        self._script.note_remark(line, text=capitalized(fact.format(p=speaker)), gist=gist)
        self._facts_left -= 1

    def _important(self, line: str, speaker: str) -> None:
        draw, shape, random = self._random.random(), self._shape, self._random
        mine = [
            one
            for key, one in self._told.items()
            if one.speaker == speaker
            and key not in self._script.touched
            and one.topic.kind is not TopicKind.TOLD
        ]
        lively = [one for one in mine if self._can_change(one)]
        ending = [one for one in lively if one.topic.ended and self._script.current(one.key)]
        open_ = [one for one in lively if one.topic.changed]
        again = [one for one in mine if one.topic.kind not in _EPISODIC and self._can_repeat(one)]
        if draw < shape.changes and open_:
            self._change(line, random.choice(open_))
        elif draw < shape.changes + shape.mentions and again:
            self._repeat(line, random.choice(again))
        elif draw < shape.changes + shape.mentions + shape.deletions and ending:
            self._end(line, random.choice(ending))
        elif one := self._next(speaker):
            self._new(line, one, random.choice(self._first_words(one)))

    def _next(self, speaker: str) -> Subject | None:
        """Something not yet spoken of; sometimes about somebody whom the speaker knows."""
        known = [name for name, (of, _) in self._ties.items() if of == speaker]
        if known and self._random.random() < 0.3:
            person = self._random.choice(known)
            topics = [
                Subject(person, topic, self._random.choice(topic.x) if topic.x else "", told_by=speaker)
                for topic in self._words.topics
                if topic.other
            ]
            if fresh := [one for one in topics if one.key not in self._told]:
                return self._random.choice(fresh)
        waiting = self._untold[speaker]
        fitting = [number for number, one in enumerate(waiting) if one.topic.kind is not TopicKind.TOLD]
        return waiting.pop(fitting[-1]) if fitting else None

    @staticmethod
    def _first_words(one: Subject) -> Sequence[Saying]:
        return one.topic.other if one.told_by else one.topic.said

    def _can_change(self, one: Subject) -> bool:
        if one.told_by:
            # What changes and ends is said in the first person.
            return False
        if one.topic.kind is TopicKind.PLAN:
            return self._moments[one.key].day > self._today and bool(self._script.current(one.key))
        return one.topic.kind in (TopicKind.TRAIT, TopicKind.ITEM)

    def _can_repeat(self, one: Subject) -> bool:
        return bool(self._script.current(one.key))

    def _new(self, line: str, one: Subject, saying: Saying) -> None:
        """Say something for the first time; of an event also some of its circumstances."""
        if one.topic.kind is TopicKind.ITEM:
            one = replace(one, item=self._fresh_item(one))
            if not one.item:
                return
        moment = None
        if one.topic.kind is TopicKind.EVENT:
            moment = past_moment(self._today, self._random)
        elif one.topic.kind is TopicKind.PLAN:
            moment = coming_moment(self._today, self._random)
        self._tell(line, one, saying, self._value(one, moment, before=""), moment)
        if self._random.random() < 0.6:
            self._script.go_on(self._random.choice(self._words.feelings))
        parts = self._random.sample(one.topic.parts, len(one.topic.parts))
        for part in parts[: self._random.randint(0, 2)]:
            if self._facts_left > 0:
                more = replace(one, topic=part)
                self._tell(
                    line, more, self._random.choice(part.said), self._value(more, None, before=""), None
                )

    def _fresh_item(self, one: Subject) -> str:
        """A value that the person's list does not have; none when it is long enough."""
        keys = [key for key in self._script.history if key[0] == one.person]
        had = {key[1].partition("/")[2] for key in keys if key[1].startswith(f"{one.topic.name}/")}
        left = [value for value in one.topic.values if value not in had]
        return self._random.choice(left) if left and len(had) < MAX_ITEMS else ""

    def _change(self, line: str, one: Subject) -> None:
        current = self._script.current(one.key)
        before = current.value if current else ""
        moment = None
        if one.topic.kind is TopicKind.PLAN:
            while (moment := coming_moment(self._today, self._random)).text == before:
                pass
        self._tell(
            line, one, self._random.choice(one.topic.changed), self._value(one, moment, before=before), moment
        )

    def _repeat(self, line: str, one: Subject) -> None:
        current = self._script.current(one.key)
        sayings = [saying for saying in self._first_words(one) if "{w}" not in saying.said]
        if current and sayings:
            saying = self._random.choice(sayings)
            said = self._random.choice(self._words.repeated).format(mid=_within(saying.said))
            self._tell(line, one, replace(saying, said=said), current.value, None)

    def _end(self, line: str, one: Subject) -> None:
        self._tell(line, one, self._random.choice(one.topic.ended), "", None)

    def _value(self, one: Subject, moment: Moment | None, *, before: str) -> str:
        if moment:
            return moment.text
        if one.topic.kind is TopicKind.TIE:
            free = [name for name in self._others if name not in self._ties]
            return self._random.choice(free or self._others)
        if one.item:
            return one.item
        return self._random.choice([value for value in one.topic.values if value != before])

    def _tell(self, line: str, one: Subject, saying: Saying, value: str, moment: Moment | None) -> None:
        """Add a sentence to the open turn and note what it says."""
        kind = one.topic.kind
        if kind is TopicKind.TIE:
            self._ties.setdefault(value, (one.person, one.topic.name))
        said = {
            "p": self._called(one),
            "v": value or one.item,
            "w": self._slip(one, value),
            "x": one.x,
            "when": moment.said if moment else "",
            "When": capitalized(moment.said) if moment else "",
        }
        form = saying.said
        if self._assistant and self._random.random() < 0.4:
            form = self._random.choice(self._words.aside).format(mid=_within(form))
        self._script.go_on(capitalized(form.format(**said)))
        true = {"p": one.person, "v": value or one.item, "x": one.x, "on": moment.on if moment else ""}
        self._script.note(
            line,
            text=capitalized(saying.fact.format(**true)),
            key=one.key,
            value=value,
            kind=FactKind.EPISODIC if kind in _EPISODIC else FactKind.SEMANTIC,
        )
        self._facts_left -= 1
        self._told[one.key] = one
        if moment:
            self._moments[one.key] = moment

    def _called(self, one: Subject) -> str:
        """How a speaker names somebody who is not there."""
        if not one.told_by:
            return ""
        _, tie = self._ties[one.person]
        return self._random.choice([one.person, f"my {tie} {one.person}"])

    def _slip(self, one: Subject, value: str) -> str:
        return self._random.choice([other for other in one.topic.values if other != value] or [""])

    def _questions(self) -> list[Question]:
        asking = TalkQuestions(
            script=self._script,
            words=self._words,
            random=self._random,
            told=self._told,
            exact={key: one.day for key, one in self._moments.items() if one.exact},
            untold=[one for waiting in self._untold.values() for one in waiting],
            speakers=self._speakers,
            today=self._today,
        )
        drawn = draw_by_share(asking.askable(), self._shape.shares, self._shape.questions, self._random)
        return [
            replace(question, question_id=f"q{number}", category=kind)
            for number, (kind, question) in enumerate(drawn)
        ]


def _within(form: str) -> str:
    """A sentence's form to stand after a comma or colon: in lower case unless it begins with a name or "I"."""
    if form.startswith("{When}"):
        return "{when}" + form.removeprefix("{When}")
    return form if form.startswith(("I ", "I'", "{")) else form[:1].lower() + form[1:]
