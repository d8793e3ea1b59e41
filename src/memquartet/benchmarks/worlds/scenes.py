"""Scenes: conversations written whole, in which people speak as they do, and what is true in them.

A generated talk says each thing in a sentence that stands alone. Here a turn answers the one before, things are named
halfway, and facts come in passing. A file holds scenes of the form

    ## two tickets
    city: Lisbon | Porto | Faro
    --- 0
    a: Did you ask for the week off?
    b: I did. So I book us two tickets to {city}, we fly on {@40s}.
    event a.trip = {@40} :: {a} and {b} fly to {city} on {@40}.
    a: Lovely. What a rain today, by the way.
    chat the rain :: {a} says that it rains a lot.
    --- 12
    a: They moved our flight, it is on {@45s} now.
    event a.trip = {@45} :: The flight of {a} and {b} was moved and is on {@45} now.
    ask a.trip: When do {a} and {b} fly to {city}? | On which day is the flight to {city}?
    none: Where do {a} and {b} sleep in {city}?

`a` and `b` speak, `{c}`, `{d}` and `{e}` are others; all get names. A line `NAME: x | y` above the first session says
what else is drawn. `--- N` begins a session on the scene's day N; `{@N}` is a day's date (N below 0: before the scene),
`{@Ns}` without the year, `{@Nw}` its weekday. Behind a turn stand its facts: `fact` and `event` with whose they are,
what about, the value (none when it is over) and the perfect extraction; `chat` with what a summary keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from random import Random
from typing import NamedTuple

from memquartet.benchmarks.sessions import date_time_text
from memquartet.benchmarks.worlds.cards import cards
from memquartet.benchmarks.worlds.questions import QuestionKind, value_question
from memquartet.benchmarks.worlds.script import Script, capitalized
from memquartet.benchmarks.worlds.truth import FactKind, Key
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, files_of
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError
from memquartet.text.dates import MONTHS, WEEKDAYS, write_date
from memquartet.text.terms import content_words

SPEAKERS = ("a", "b")
PEOPLE = (*SPEAKERS, "c", "d", "e")
_UNKNOWN = "nobody said"
"""The relation of what nobody spoke of."""
_DAY = re.compile(r"\{@(-?\d+)([sw]?)\}")
_SLOT = re.compile(r"\{(\w+)\}")
_SESSION = re.compile(r"--- (\d{1,4})")
_FIRST = re.compile(r"(^|[.!?] )\{(\w+)\}")
_FACT = re.compile(r"(fact|event) ([a-e])\.([\w-]+) = (.*?) ?:: (.+)")
_CHAT = re.compile(r"chat (.+?) :: (.+)")
_ASK = re.compile(r"ask ([a-e])\.([\w-]+): (.+)")


class SceneFact(NamedTuple):
    """What a turn says; `owner` is empty of small talk, whose `value` is the gist."""

    owner: str
    relation: str
    value: str
    text: str
    kind: FactKind


class SceneTurn(NamedTuple):
    """What somebody says on a day of the scene."""

    day: int
    speaker: str
    text: str
    facts: tuple[SceneFact, ...]


class SceneQuestion(NamedTuple):
    """Ways to ask for one thing; `owner` and `relation` are empty of what nobody said."""

    owner: str
    relation: str
    ways: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One conversation; `drawn` are the names that stand for one of several texts."""

    title: str
    drawn: tuple[tuple[str, tuple[str, ...]], ...]
    turns: tuple[SceneTurn, ...]
    questions: tuple[SceneQuestion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneShape:
    """A chunk ends after half to all of `lines`; later where the next turns would not be understood without it.

    It always ends with the session, and before a thing is spoken of twice in it.

    `queries` is the share of chunks read with a question in mind.
    """

    lines: int = 8
    queries: float = 0.15

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: no line, or no share.
        """
        if self.lines < 1 or not 0 <= self.queries <= 1:
            raise ConfigError(
                f"a chunk needs a line, and queries are a share, got {self.lines} and {self.queries}"
            )


DEFAULT_SCENE = SceneShape()


@cache
def scenes(split: WorldSplit) -> tuple[Scene, ...]:
    """The shipped scenes of a split, out of all its files."""
    texts = (file.read_text(encoding="utf-8") for file in files_of(split) if file.name.startswith("scenes"))
    return tuple(scene for text in texts for scene in read_scenes(text))


def read_scenes(text: str) -> tuple[Scene, ...]:
    """Scenes in the form that the module describes; a line in no such form is a ValueError that names it."""
    head, *blocks = f"\n{text}".split("\n## ")
    if head.strip():
        raise ValueError(f"before the first scene, which begins with '## ': {head.strip().splitlines()[0]!r}")
    return tuple(_scene(block) for block in blocks)


def scene_samples(
    count: int,
    *,
    seed: int,
    split: WorldSplit,
    shape: SceneShape = DEFAULT_SCENE,
    first: int = 0,
) -> Iterator[Sample]:
    """One scene a sample, with names, dates and values of its own; equal arguments give equal samples.

    Args:
        count: how many; scenes come again when all were told, in another order and with other names.
        seed: samples of different seeds have nothing to do with each other.
        split: whose scenes and names.
        shape: how they are cut.
        first: number of the first one.
    """
    told = scenes(split)
    for number in range(first, first + count):
        turn, place = divmod(number, len(told))
        order = Random(f"scenes/{seed}/order/{turn}").sample(range(len(told)), len(told))
        random = Random(f"scenes/{seed}/{number}")
        yield _Told(told[order[place]], cards(split).people, random).sample(f"scenes-{seed}-{number}", shape)


class _Told:
    """A scene with its names and dates."""

    def __init__(self, scene: Scene, people: Sequence[str], random: Random) -> None:
        self._scene, self._random = scene, random
        self._words = dict(zip(PEOPLE, random.sample(people, len(PEOPLE)), strict=True))
        for name, ways in scene.drawn:
            self._words[name] = self._filled(random.choice(ways))
        self._begin = datetime(2022, 3, 1, random.randint(7, 21), random.randrange(60), tzinfo=UTC)
        self._begin += timedelta(days=random.randrange(3 * 365))
        self._script = Script()

    def sample(self, sample_id: str, shape: SceneShape) -> Sample:
        random, script, turns = self._random, self._script, self._scene.turns
        length = random.randint((shape.lines + 1) // 2, shape.lines)
        for number, turn in enumerate(turns):
            again = any(self._key(fact) in script.touched for fact in turn.facts if fact.owner)
            full = script.lines >= length and _stands_alone(turns, number)
            if number and (turn.day != turns[number - 1].day or again or full):
                self._end_chunk(turns[number - 1])
                length = random.randint((shape.lines + 1) // 2, shape.lines)
            self._say(turn)
        self._end_chunk(turns[-1])
        questions = [
            replace(self._question(asked), question_id=f"q{number}")
            for number, asked in enumerate(self._scene.questions)
        ]
        return script.as_sample(
            sample_id, questions, source="world-scenes", queries=shape.queries, random=random
        )

    def _end_chunk(self, last: SceneTurn) -> None:
        now = self._begin + timedelta(days=last.day)
        self._script.end_chunk(head=f"[{date_time_text(now)}]", time=now)

    def _say(self, turn: SceneTurn) -> None:
        line = self._script.say(f"{self._words[turn.speaker]}: {self._sentence(turn.text)}")
        for fact in turn.facts:
            text, value = self._sentence(fact.text), self._filled(fact.value)
            if fact.kind is FactKind.UNIMPORTANT:
                self._script.note_remark(line, text=text, gist=value)
            else:
                self._script.note(line, text=text, key=self._key(fact), value=value, kind=fact.kind)

    def _key(self, of: SceneFact | SceneQuestion) -> Key:
        return self._words[of.owner], of.relation

    def _question(self, asked: SceneQuestion) -> Question:
        text = self._sentence(self._random.choice(asked.ways))
        subject, relation = self._key(asked) if asked.owner else (self._words["a"], _UNKNOWN)
        question = value_question(self._script, text=text, subject=subject, relations=(relation,))
        return replace(question, category=self._kind(question, (subject, relation)))

    def _kind(self, question: Question, key: Key) -> QuestionKind:
        if not question.answers:
            return QuestionKind.ABSTENTION
        if self._script.superseded(key):
            return QuestionKind.KNOWLEDGE_UPDATE
        said = self._script.current(key)
        dated = said is not None and re.search(r"\d (?:\w+ )?\d{4}$", said.value)
        return QuestionKind.TEMPORAL if dated else QuestionKind.SINGLE_HOP

    def _sentence(self, text: str) -> str:
        """Filled, with a capital wherever a sentence begins with a name that stands for something."""
        return self._filled(_FIRST.sub(lambda found: f"{found[1]}{capitalized(self._words[found[2]])}", text))

    def _filled(self, text: str) -> str:
        dated = _DAY.sub(lambda found: self._day(int(found[1]), found[2]), text)
        return _SLOT.sub(lambda found: self._words[found[1]], dated)

    def _day(self, number: int, form: str) -> str:
        day = (self._begin + timedelta(days=number)).date()
        match form:
            case "s":
                return f"{day.day} {MONTHS[day.month - 1]}"
            case "w":
                return WEEKDAYS[day.weekday()]
            case _:
                return write_date(day)


def _stands_alone(turns: Sequence[SceneTurn], start: int) -> bool:
    """Whether a chunk may begin here: what is said from there on that day needs no turn before it to be understood."""
    said = set(SPEAKERS)
    for turn in turns[start:]:
        if turn.day != turns[start].day:
            break
        said |= _names(turn.text)
        if any(_names(fact.text) - said for fact in turn.facts):
            return False
    own, earlier = (set(content_words(turns[n].text)) for n in (start, start - 1))
    facts = set(content_words(" ".join(fact.text for fact in turns[start].facts)))
    return not (facts - own) & earlier - set(SPEAKERS)


def _names(text: str) -> set[str]:
    """What stands in braces for somebody or something."""
    return set(_SLOT.findall(_DAY.sub("", text)))


def _scene(block: str) -> Scene:
    title, *lines = block.splitlines()
    drawn: list[tuple[str, tuple[str, ...]]] = []
    turns: list[SceneTurn] = []
    questions: list[SceneQuestion] = []
    day = -1
    for line in filter(None, map(str.strip, lines)):
        name, colon, rest = line.partition(": ")
        if found := _SESSION.fullmatch(line):
            day = int(found[1])
        elif found := _FACT.fullmatch(line):
            kind = FactKind.SEMANTIC if found[1] == "fact" else FactKind.EPISODIC
            _add(turns, SceneFact(found[2], found[3], found[4], found[5], kind), title)
        elif found := _CHAT.fullmatch(line):
            _add(turns, SceneFact("", "", found[1], found[2], FactKind.UNIMPORTANT), title)
        elif found := _ASK.fullmatch(line):
            questions.append(SceneQuestion(found[1], found[2], _ways(found[3])))
        elif name == "none" and colon:
            questions += [SceneQuestion("", "", (way,)) for way in _ways(rest)]
        elif name in SPEAKERS and colon and day >= 0:
            turns.append(SceneTurn(day, name, rest, ()))
        elif colon and day < 0 and name.isidentifier() and name not in PEOPLE:
            drawn.append((name, _ways(rest)))
        else:
            raise ValueError(f"scene {title!r}: no such line: {line!r}")
    scene = Scene(title=title.strip(), drawn=tuple(drawn), turns=tuple(turns), questions=tuple(questions))
    _check(scene)
    return scene


def _add(turns: list[SceneTurn], fact: SceneFact, title: str) -> None:
    if not turns:
        raise ValueError(f"scene {title!r}: a fact before any turn: {fact.text!r}")
    turns[-1] = turns[-1]._replace(facts=(*turns[-1].facts, fact))


def _ways(text: str) -> tuple[str, ...]:
    return tuple(way.strip() for way in text.split(" | "))


def _check(scene: Scene) -> None:
    """Refuse what would teach something wrong, or make no sample.

    Raises:
        ValueError: what is wrong first.
    """
    fault = next(chain(_faults_of_form(scene), _faults_of_truth(scene)), None)
    if fault:
        raise ValueError(f"scene {scene.title!r}: {fault}")


def _faults_of_form(scene: Scene) -> Iterator[str]:
    if not scene.turns:
        yield "nobody speaks"
    facts = [fact for turn in scene.turns for fact in turn.facts]
    texts = [turn.text for turn in scene.turns]
    texts += [part for fact in facts for part in (fact.text, fact.value)]
    texts += [way for asked in scene.questions for way in asked.ways]
    known = set(PEOPLE)
    for name, ways in scene.drawn:
        for text in ways:
            yield from _faults_of_braces(text, known)
        known.add(name)
        if not any(f"{{{name}}}" in text for text in texts):
            yield f"{name!r} is never used"
    for text in texts:
        yield from _faults_of_braces(text, known)
    told = {(fact.owner, fact.relation) for fact in facts}
    for asked in scene.questions:
        if asked.owner and (asked.owner, asked.relation) not in told:
            yield f"no fact says {asked.owner}.{asked.relation}"


def _faults_of_braces(text: str, known: Set[str]) -> Iterator[str]:
    if missing := _names(text) - known:
        yield f"nothing is called {min(missing)!r} in {text!r}"
    if set("{}") & set(_SLOT.sub("", _DAY.sub("", text))):
        yield f"braces around no name in {text!r}"


def _faults_of_truth(scene: Scene) -> Iterator[str]:
    texts: set[str] = set()
    said = set(SPEAKERS)
    day = scene.turns[0].day
    for turn in scene.turns:
        if turn.day < day:
            yield f"day {turn.day} comes after day {day}"
        if turn.day != day:
            said, day = set(SPEAKERS), turn.day
        said |= _names(turn.text)
        keys = [(fact.owner, fact.relation) for fact in turn.facts if fact.owner]
        if len(set(keys)) < len(keys):
            yield f"one thing twice in {turn.text!r}"
        for fact in turn.facts:
            if unsaid := _names(fact.text) - said:
                yield f"that day nobody says {min(unsaid)!r} before {fact.text!r}"
            if not fact.owner and ", " in fact.value:
                yield f"a comma in {fact.value!r}, which parts what a summary keeps"
            if fact.owner and fact.value not in fact.text:
                yield f"{fact.text!r} does not say {fact.value!r}"
            if fact.owner and fact.text in texts:
                yield f"{fact.text!r} twice"
            texts.add(fact.text)
