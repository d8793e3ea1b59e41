"""Document questions: passages about invented people, firms and places, then short questions about what they say.

A document says a few facts in several paragraphs, between sentences that say nothing, and mostly without the name
of what it is about. Some are about an earlier document's subject: they say things anew, again or in addition.
Sample n of a seed is the same in every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import islice
from random import Random

from pydantic import TypeAdapter

from memquartet.benchmarks.worlds.questions import QuestionKind, draw_by_share, value_question
from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError

SOURCE = "world-documents"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentShape:
    """How much there is to read.

    Each of `documents` says `facts` at most in `paragraphs`, with a sentence of `filler` behind a fact by that
    probability. A share `follow_ups` of the documents is about an earlier one's subject: of its facts, `changes`
    say something anew where that is possible, `mentions` again, and the rest in addition. Of the questions
    `abstentions` have no answer and `updates` ask for what changed. `queries` is the share of documents that are
    read with one of the questions in mind.
    """

    documents: int = 5
    facts: int = 5
    paragraphs: int = 3
    filler: float = 0.6
    follow_ups: float = 0.35
    changes: float = 0.5
    mentions: float = 0.2
    queries: float = 0.15
    questions: int = 6
    abstentions: float = 0.15
    updates: float = 0.25

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a size below 1, a share outside [0, 1], or shares that exceed 1 together.
        """
        for name in ("documents", "facts", "paragraphs", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for group in (
            ("filler",),
            ("follow_ups",),
            ("queries",),
            ("changes", "mentions"),
            ("abstentions", "updates"),
        ):
            shares = [getattr(self, name) for name in group]
            if min(shares) < 0 or sum(shares) > 1 + 1e-9:
                raise ConfigError(f"{', '.join(group)} must be shares of at most 1 together, got {shares}")


DEFAULT_DOCUMENTS = DocumentShape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names or values, put together from one of each of the parts."""

    parts: tuple[tuple[str, ...], ...]
    between: str

    def draw(self, random: Random) -> str:
        """One of them."""
        return self.between.join([random.choice(part) for part in self.parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing that a document can say. Where `changed` is empty, it is so for ever.

    In the forms `{s}` is the subject's name, `{r}` the name or what stands for it, `{v}` the value. `values` is a key of `DocumentWords.values`.
    """

    name: str
    values: str
    says: tuple[str, ...]
    changed: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentKind:
    """What documents are about: `refs` are sets of words that stand for a name, `again` the titles of follow-ups."""

    name: str
    names: Names
    refs: tuple[tuple[str, ...], ...]
    titles: tuple[str, ...]
    again: tuple[str, ...]
    fields: tuple[Field, ...]
    filler: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentWords:
    """What a split is made of."""

    values: Mapping[str, Names]
    kinds: tuple[DocumentKind, ...]


@cache
def document_words(split: WorldSplit) -> DocumentWords:
    """The shipped words of a split."""
    file = resources.files("memquartet.benchmarks.worlds").joinpath(f"vocabulary/documents_{split}.json")
    return TypeAdapter(DocumentWords).validate_json(file.read_text(encoding="utf-8"))


def document_samples(
    count: int, *, seed: int, words: DocumentWords, shape: DocumentShape = DEFAULT_DOCUMENTS, first: int = 0
) -> Iterator[Sample]:
    """Generate samples; equal arguments give equal ones.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        words: see `document_words`.
        shape: how much there is to read.
        first: number of the first one.
    """
    for number in range(first, first + count):
        random = Random(f"documents/{seed}/{number}")
        yield _Library(words, shape, random).sample(f"documents-{seed}-{number}")


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    kind: DocumentKind
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Statement:
    """A field, its value, and the forms to say it in."""

    field: Field
    value: str
    forms: tuple[str, ...]


class _Library:
    def __init__(self, words: DocumentWords, shape: DocumentShape, random: Random) -> None:
        self._words, self._shape, self._random = words, shape, random
        self._script = Script()
        self._subjects: dict[str, _Subject] = {}

    def sample(self, sample_id: str) -> Sample:
        for _ in range(self._shape.documents):
            if self._subjects and self._random.random() < self._shape.follow_ups:
                subject = self._random.choice(list(self._subjects.values()))
                self._document(subject, subject.kind.again)
            else:
                subject = self._new_subject()
                self._document(subject, subject.kind.titles)
        questions = self._questions()
        return self._script.as_sample(
            sample_id, questions, source=SOURCE, queries=self._shape.queries, random=self._random
        )

    def _new_subject(self) -> _Subject:
        kind = self._random.choice(self._words.kinds)
        while (name := kind.names.draw(self._random)) in self._subjects:
            pass
        self._subjects[name] = _Subject(name, kind, self._random.choice(kind.refs))
        return self._subjects[name]

    def _document(self, subject: _Subject, titles: Sequence[str]) -> None:
        said = self._statements(subject)
        filler = iter(self._random.sample(subject.kind.filler, len(subject.kind.filler)))
        size = -(-len(said) // self._shape.paragraphs)
        for start in range(0, len(said), size):
            self._paragraph(subject, said[start : start + size], filler, named=start == 0)
        title = self._random.choice(titles).format(s=subject.name)
        self._script.end_chunk(head=_sentence(title))

    def _statements(self, subject: _Subject) -> list[_Statement]:
        """What a document is to say; a subject's first one leaves at least one thing unsaid."""
        fields = self._random.sample(subject.kind.fields, len(subject.kind.fields))
        known = [field for field in fields if self._script.current((subject.name, field.name))]
        said = [one for field in fields[bool(not known) :] if (one := self._statement(subject, field))]
        return said[: self._shape.facts] or [self._again(subject, known[0])]

    def _statement(self, subject: _Subject, field: Field) -> _Statement | None:
        """Something new about a field or, of what is known, perhaps a change or the same again."""
        current = self._script.current((subject.name, field.name))
        if current is None:
            return _Statement(field, self._value(field, ""), field.says)
        draw, shape = self._random.random(), self._shape
        if draw < shape.changes and field.changed:
            return _Statement(field, self._value(field, current.value), field.changed)
        if shape.changes <= draw < shape.changes + shape.mentions:
            return self._again(subject, field)
        return None

    def _again(self, subject: _Subject, field: Field) -> _Statement:
        current = self._script.history[subject.name, field.name][-1]
        return _Statement(field, current.value, field.says)

    def _value(self, field: Field, before: str) -> str:
        while (value := self._words.values[field.values].draw(self._random)) == before:
            pass
        return value

    def _paragraph(
        self, subject: _Subject, said: Sequence[_Statement], filler: Iterator[str], *, named: bool
    ) -> None:
        """One line of the chunk; a document's first sentence says the name."""
        sentences: list[str] = []
        facts: list[str] = []
        for one in said:
            full = named and not sentences
            name = subject.name if full else self._random.choice([subject.name, *subject.refs, *subject.refs])
            form = self._random.choice(one.forms)
            sentences.append(_sentence(form.format(r=name, v=one.value)))
            # The same sentence, with the name in it, stands alone.
            facts.append(_sentence(form.format(r=subject.name, v=one.value)))
            if self._random.random() < self._shape.filler:
                sentences += islice(filler, 1)
        # A blank line parts the paragraphs.
        line = self._script.say("\n" + " ".join(sentences))
        for one, fact in zip(said, facts, strict=True):
            self._script.note(line, text=fact, key=(subject.name, one.field.name), value=one.value)

    def _questions(self) -> list[Question]:
        found: dict[QuestionKind, list[Question]] = {kind: [] for kind in QuestionKind}
        for subject in self._subjects.values():
            for field in subject.kind.fields:
                text = self._random.choice(field.questions).format(s=subject.name)
                question = value_question(
                    self._script, text=text, subject=subject.name, relations=(field.name,)
                )
                found[self._kind(subject, field)].append(question)
        shape = self._shape
        shares = {
            QuestionKind.ABSTENTION: shape.abstentions,
            QuestionKind.KNOWLEDGE_UPDATE: shape.updates,
            QuestionKind.SINGLE_HOP: 1 - shape.abstentions - shape.updates,
        }
        drawn = draw_by_share(found, shares, shape.questions, self._random)
        return [
            replace(question, question_id=f"q{number}", category=kind)
            for number, (kind, question) in enumerate(drawn)
        ]

    def _kind(self, subject: _Subject, field: Field) -> QuestionKind:
        history = self._script.history.get((subject.name, field.name), ())
        if not history:
            return QuestionKind.ABSTENTION
        return QuestionKind.KNOWLEDGE_UPDATE if len(history) > 1 else QuestionKind.SINGLE_HOP


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
