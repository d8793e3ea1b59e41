"""Sentences from encyclopedias and news with the questions that people asked about them, as samples that carry a truth.

Read from QAMR's "readable" files (Michael et al., Crowdsourcing Question-Answer Meaning Representations, NAACL 2018;
github.com/uwnlp/qamr, MIT). Generated worlds ask in the wordings that somebody wrote for them; here everybody asked in
words of their own. The files are not shipped: they are read from where the user has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from memquartet.benchmarks.reading import read_lines
from memquartet.benchmarks.worlds.truth import ASKS, TRUTH, Asked, FactKind, Form, TrueFact, truth_as_json
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import InputError
from memquartet.text.terms import STOP_WORDS, content_words

SENTENCES_A_SAMPLE = 24
CHUNK_SENTENCES = (1, 4)
"""Least and most sentences of a chunk."""
QUESTIONS_A_SENTENCE = 5
MAX_CHARACTERS = 200
MAX_ANSWER_CHARACTERS = 60
MIN_SHARED_WORDS = 2
"""Of a question and its sentence; with fewer it could be about anything."""
_QUESTION_WIDTH = 50
_SUBJECT = "sentence"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSentence:
    """A sentence and (question, answer) pairs about it, each answer given by two people alike."""

    name: str
    text: str
    asked: tuple[tuple[str, str], ...]


def read_sentences(path: Path) -> list[AskedSentence]:
    """The sentences of a file that are short enough to be a fact and were asked about.

    A block is a line "#NAME", the sentence, and for each question a line of which the first 50 characters are the
    question and the rest the answers, with tabs between them.

    Raises:
        InputError: the file cannot be read, or holds no such blocks.
    """
    blocks: list[list[str]] = []
    for _, line in read_lines(path):
        if line.startswith("#"):
            blocks.append([line])
        elif blocks and line.strip():
            blocks[-1].append(line)
    found = [sentence for block in blocks if len(block) > 1 and (sentence := _read(block))]
    if not found:
        raise InputError(
            f"{path}: no sentences with questions in QAMR's readable form, such as data/readable/dev.tsv of uwnlp/qamr"
        )
    return found


def sentence_samples(paths: Sequence[Path], ways: int, *, seed: int = 0) -> Iterator[Sample]:
    """Samples of sentences that have nothing to do with each other, every sentence in `ways` of them.

    A question is kept where its words point at its sentence more than at any other of the sample. Equal arguments
    give equal samples.

    Raises:
        InputError: see `read_sentences`.
    """
    sentences = [sentence for path in paths for sentence in read_sentences(path)]
    for way in range(ways):
        draw = Random(f"sentences/{seed}/{way}")
        mixed = draw.sample(sentences, len(sentences))
        for start in range(0, len(mixed), SENTENCES_A_SAMPLE):
            yield _sample(mixed[start : start + SENTENCES_A_SAMPLE], f"sentences-{seed}-{way}-{start}", draw)


def _read(block: Sequence[str]) -> AskedSentence | None:
    text = " ".join(block[1].split())
    if len(text) > MAX_CHARACTERS:
        return None
    asked: dict[str, str] = {}
    for line in block[2:]:
        question = line[:_QUESTION_WIDTH].strip()
        first, *others = map(str.strip, line[_QUESTION_WIDTH:].split("\t"))
        if first.count(".") == 1:  # the sentence's own, and no "U.S."
            first = first.removesuffix(".")
        agreed = any(first.casefold().strip(".") == other.casefold().strip(".") for other in others)
        if (
            agreed
            and len(first) <= MAX_ANSWER_CHARACTERS
            and _says_something(first)
            and question.endswith("?")
        ):
            asked.setdefault(question, first)
    return AskedSentence(name=block[0][1:].strip(), text=text, asked=tuple(asked.items())) if asked else None


def _says_something(answer: str) -> bool:
    return not STOP_WORDS.issuperset(content_words(answer))


def _sample(sentences: Sequence[AskedSentence], sample_id: str, draw: Random) -> Sample:
    chunks: list[Chunk] = []
    facts: list[TrueFact] = []
    for group in _groups(sentences, draw):
        facts += [
            TrueFact(
                fact_id=sentence.name,
                chunk=len(chunks),
                text=sentence.text,
                kind=FactKind.SEMANTIC,
                subject=_SUBJECT,
                relation=sentence.name,
                value=sentence.text,
                decision=Decision.ADD,
            )
            for sentence in group
        ]
        text = "\n".join(sentence.text for sentence in group)
        names = tuple(sentence.name for sentence in group)
        chunks.append(Chunk(index=len(chunks), text=text, source_ids=names))
    questions = [
        Question(
            question_id=f"{sample_id}-{number}",
            text=question,
            answers=(answer,),
            evidence=(name,),
            extra={ASKS: Asked(form=Form.GIVEN, keys=((_SUBJECT, name),), labels=(answer,)).as_json()},
        )
        for number, (name, question, answer) in enumerate(_questions(sentences, draw))
    ]
    return Sample(
        sample_id=sample_id,
        chunks=tuple(chunks),
        questions=tuple(questions),
        source="sentences",
        extra={TRUTH: truth_as_json(facts)},
    )


def _groups(sentences: Sequence[AskedSentence], draw: Random) -> Iterator[Sequence[AskedSentence]]:
    start = 0
    while start < len(sentences):
        length = draw.randint(*CHUNK_SENTENCES)
        yield sentences[start : start + length]
        start += length


def _questions(sentences: Sequence[AskedSentence], draw: Random) -> Iterator[tuple[str, str, str]]:
    words = {sentence.name: set(content_words(sentence.text)) for sentence in sentences}
    for sentence in sentences:
        asked = [
            pair for pair in sentence.asked if _closest(set(content_words(pair[0])), words) == sentence.name
        ]
        for question, answer in draw.sample(asked, min(len(asked), QUESTIONS_A_SENTENCE)):
            yield sentence.name, question, answer


def _closest(wanted: set[str], words: dict[str, set[str]]) -> str | None:
    """The only sentence that shares most words; None when several do or they are too few."""
    shared = {name: len(wanted & said) for name, said in words.items()}
    most = max(shared.values())
    names = [name for name, count in shared.items() if count == most]
    return names[0] if most >= MIN_SHARED_WORDS and len(names) == 1 else None
