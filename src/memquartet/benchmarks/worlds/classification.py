"""In-context classification: labelled examples are read, then new texts are to be given the right number.

Which number stands for an intent is drawn anew for every sample, so that only memory can know it. A memory keeps one
example of each form in which an intent was said; another in the same words says nothing new. Sample n of a seed is
the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random

from pydantic import TypeAdapter

from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import ASKS, TRUTH, Asked, Form, TrueFact, truth_as_json
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError

SOURCE = "world-classification"
LABELS = 150
"""Labels are drawn from 0 up to this, exclusive; MemoryAgentBench's go up to 150."""
FACT = '"{text}" has label {label}.'
MAX_DRAWS = 20
"""Tries to find a text that was not among the examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationShape:
    """How much there is to learn.

    Each of `chunks` holds `examples` in different forms, of `intents` in all. A share `bare` of the questions
    is the text to label and nothing else, as in MemoryAgentBench; the others say what is wanted. A share `familiar`
    is in a form that an example had, with other things in its slots; the others in any form of the intent.
    """

    intents: int = 8
    chunks: int = 5
    examples: int = 6
    questions: int = 6
    bare: float = 0.5
    familiar: float = 0.75

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, more intents than labels, or a share outside [0, 1].
        """
        for name in ("intents", "chunks", "examples", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.intents > LABELS:
            raise ConfigError(f"intents must be at most {LABELS}, got {self.intents}")
        for name in ("bare", "familiar"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be a share in [0, 1], got {getattr(self, name)}")


DEFAULT_CLASSIFICATION = ClassificationShape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What people want, and forms of saying so; `{…}` are slots."""

    name: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationWords:
    """What a split is made of: how an example is written down, how a label is asked for, slots, intents by domain."""

    layouts: tuple[str, ...]
    asks: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]
    domains: tuple[tuple[Intent, ...], ...]


@cache
def classification_words(split: WorldSplit) -> ClassificationWords:
    """The shipped words of a split."""
    file = resources.files("memquartet.benchmarks.worlds").joinpath(f"vocabulary/classification_{split}.json")
    return TypeAdapter(ClassificationWords).validate_json(file.read_text(encoding="utf-8"))


def classification_samples(
    count: int,
    *,
    seed: int,
    words: ClassificationWords,
    shape: ClassificationShape = DEFAULT_CLASSIFICATION,
    first: int = 0,
) -> Iterator[Sample]:
    """Generate samples; equal arguments give equal ones.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `classification_words`.
        shape: how much there is to learn.
        first: number of the first one.
    """
    for number in range(first, first + count):
        random = Random(f"classification/{seed}/{number}")
        yield _Lesson(words, shape, random).sample(f"classification-{seed}-{number}")


class _Slots(dict[str, str]):
    """Values for the slots of one text, each drawn when the text first needs it."""

    def __init__(self, values: Mapping[str, Sequence[str]], random: Random) -> None:
        super().__init__()
        self._values, self._random = values, random

    def __missing__(self, name: str) -> str:
        self[name] = self._random.choice(self._values[name])
        return self[name]


class _Lesson:
    def __init__(self, words: ClassificationWords, shape: ClassificationShape, random: Random) -> None:
        self._words, self._shape, self._random = words, shape, random
        self._script = Script()
        # Few domains make neighbours that are alike, as in the benchmarks.
        domains = random.sample(words.domains, len(words.domains))
        near = [intent for domain in domains[:2] for intent in domain]
        far = [intent for domain in domains[2:] for intent in domain]
        chosen = random.sample(near, min(len(near), shape.intents))
        self._intents = chosen + far[: shape.intents - len(chosen)]
        labels = random.sample(range(LABELS), len(self._intents))
        self._labels = {intent.name: str(label) for intent, label in zip(self._intents, labels, strict=True)}
        self._layout = random.choice(words.layouts)
        self._lower = random.random() < 0.5
        self._said: set[str] = set()

    def sample(self, sample_id: str) -> Sample:
        forms = [(intent, form) for intent in self._intents for form in intent.says]
        for _ in range(self._shape.chunks):
            for intent, form in self._random.sample(forms, min(self._shape.examples, len(forms))):
                self._example(intent, form)
            self._script.end_chunk()
        return Sample(
            sample_id=sample_id,
            chunks=tuple(self._script.chunks),
            questions=tuple(self._questions()),
            source=SOURCE,
            metric="integer_match",
            extra={TRUTH: truth_as_json(self._script.facts)},
        )

    def _example(self, intent: Intent, form: str) -> None:
        if (text := self._new_text(form)) is None:
            return
        label = self._labels[intent.name]
        # The line break at the end makes the blank line that parts examples.
        line = self._layout.format(text=text, label=label) + "\n"
        said = FACT.format(text=text, label=label)
        self._script.tell(line, text=said, key=(intent.name, form), value=label)

    def _new_text(self, form: str) -> str | None:
        """Something in this form that was not said before; None when nothing was found."""
        for _ in range(MAX_DRAWS):
            text = form.format_map(_Slots(self._words.slots, self._random))
            text = text.lower() if self._lower else text[:1].upper() + text[1:]
            if text not in self._said:
                self._said.add(text)
                return text
        return None

    def _questions(self) -> Iterator[Question]:
        """About intents of which an example was given, in turn."""
        seen = [intent for intent in self._intents if self._examples_of(intent)]
        for number in range(self._shape.questions):
            if number % len(seen) == 0:
                self._random.shuffle(seen)
            intent = seen[number % len(seen)]
            examples = self._examples_of(intent)
            familiar = self._random.random() < self._shape.familiar
            forms = [fact.relation for fact in examples] if familiar else intent.says
            if (text := self._new_text(self._random.choice(forms))) is None:
                continue
            bare = self._random.random() < self._shape.bare
            asked = Asked(form=Form.ANY, keys=tuple(fact.key for fact in examples))
            yield Question(
                question_id=f"q{number}",
                text=text if bare else self._random.choice(self._words.asks).format(text=text),
                answers=(self._labels[intent.name],),
                category=QuestionKind.SINGLE_HOP,
                evidence=tuple(fact.line for fact in examples),
                extra={ASKS: asked.as_json()},
            )

    def _examples_of(self, intent: Intent) -> list[TrueFact]:
        """The examples of an intent that a perfect memory keeps."""
        told = (self._script.current((intent.name, form)) for form in intent.says)
        return [fact for fact in told if fact]
