"""Real talk whose observations somebody wrote down: LoCoMo's conversations as samples that carry a truth.

LoCoMo's file names, for each session, facts about the speakers and the turns that say them. These are taken as the
perfect extraction; a question's answer is known where the observations of its evidence say it. The file is not
shipped: it is read from where the user has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from pydantic import Field

from memquartet.benchmarks import locomo
from memquartet.benchmarks.reading import Record, Row, checked, read_records
from memquartet.benchmarks.worlds.truth import ASKS, TRUTH, Asked, FactKind, Form, TrueFact, truth_as_json
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize
from memquartet.text.terms import content_words

CHUNK_TOKENS = (96, 256)
"""Least and most tokens of a chunk; each sample draws its own."""
MAX_CHARACTERS = 200
MAX_FACTS = 8
KNOWN = 0.6
"""Share of an answer's words that an observation must hold to say it."""
_TURN = re.compile(r"D\d+:\d+")
# What the observation's subject did or is about to do, by the word behind the name.
_HAPPENED = re.compile(
    r"\w+(?:'s \w+)? (?:is |are )?(?:\w+ed|went|took|had|made|got|bought|ran|saw|lost|plans|planning|going)\b"
)
_TAUGHT = ("single-hop", "multi-hop")


class _Observed(Row):
    sample_id: str
    observation: dict[str, dict[str, list[list[str | list[str]]]]] = Field(default_factory=dict)


def observed_samples(path: Path, conversation: str, count: int, *, seed: int = 0) -> Iterator[Sample]:
    """A conversation cut into chunks in `count` ways; equal arguments give equal samples.

    Args:
        path: a file in LoCoMo's form.
        conversation: its id, such as "conv-26".
        count: how many samples.
        seed: of the chunk sizes.

    Raises:
        InputError: the file cannot be read, or holds no observations of such a conversation.
    """
    record = _record(path, conversation)
    facts = _observations(checked(_Observed, record))
    if not facts:
        raise InputError(f"{record.place}: conversation {conversation!r} has no observations")
    for number in range(count):
        tokens = Random(f"observed/{seed}/{number}").randint(*CHUNK_TOKENS)
        (sample,) = locomo.read([record], ChunkSize(tokens=tokens))
        yield _with_truth(sample, facts, f"{conversation}-{seed}-{number}")


def _record(path: Path, conversation: str) -> Record:
    names = []
    for record in read_records(path):
        if record.value.get("sample_id") == conversation:
            return record
        names.append(str(record.value.get("sample_id")))
    raise InputError(f"{path}: no conversation {conversation!r}, there are {', '.join(names[:12])}")


def _observations(row: _Observed) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Facts with the turns that say them."""
    found = []
    for session in row.observation.values():
        for items in session.values():
            for text, *cited in items:
                turns = _TURN.findall(str(cited))
                if turns and isinstance(text, str) and len(text) <= MAX_CHARACTERS:
                    found.append((" ".join(text.split()), tuple(turns)))
    return found


def _with_truth(sample: Sample, facts: Sequence[tuple[str, tuple[str, ...]]], sample_id: str) -> Sample:
    place = {turn: chunk.index for chunk in sample.chunks for turn in chunk.source_ids}
    known = [fact for fact in facts if fact[1][-1] in place]
    truth = [
        TrueFact(
            fact_id=f"{turns[-1]}#{number}",
            chunk=place[turns[-1]],
            text=text,
            kind=FactKind.EPISODIC if _HAPPENED.match(text) else FactKind.SEMANTIC,
            subject="observation",
            relation=str(number),
            value=text,
            decision=Decision.ADD,
        )
        for number, (text, turns) in enumerate(known)
    ]
    truth.sort(key=lambda fact: fact.chunk)
    by_turn: dict[str, list[TrueFact]] = {}
    for fact in truth:
        for turn in known[int(fact.relation)][1]:
            by_turn.setdefault(turn, []).append(fact)
    questions = [_question(one, by_turn) for one in sample.questions]
    kept = _manageable(sample.chunks, truth)
    return replace(
        sample,
        sample_id=sample_id,
        chunks=tuple(replace(chunk, index=index) for index, chunk in enumerate(kept)),
        questions=tuple(one for one in questions if one),
        source="observed",
        extra={TRUTH: truth_as_json(_renumbered(truth, kept))},
    )


def _manageable(chunks: Sequence[Chunk], truth: Sequence[TrueFact]) -> Sequence[Chunk]:
    """Chunks with no more facts than a small model can write."""
    return [chunk for chunk in chunks if sum(fact.chunk == chunk.index for fact in truth) <= MAX_FACTS]


def _renumbered(truth: Sequence[TrueFact], kept: Sequence[Chunk]) -> Sequence[TrueFact]:
    index = {chunk.index: number for number, chunk in enumerate(kept)}
    return [replace(fact, chunk=index[fact.chunk]) for fact in truth if fact.chunk in index]


def _question(question: Question, by_turn: Mapping[str, Sequence[TrueFact]]) -> Question | None:
    """A question with what it asks for; None where no single observation says its answer."""
    if not question.answers:
        return replace(question, extra={**question.extra, ASKS: Asked(form=Form.GIVEN).as_json()})
    answer = question.answers[0]
    facts = [fact for turn in question.evidence for fact in by_turn.get(turn, ())]
    keys = tuple(dict.fromkeys(fact.key for fact in facts if _says(fact.text, answer)))
    if question.category not in _TAUGHT or not keys:
        return None
    asked = Asked(form=Form.GIVEN, keys=keys, labels=(answer,))
    return replace(question, extra={**question.extra, ASKS: asked.as_json()})


def _says(text: str, answer: str) -> bool:
    said, wanted = set(content_words(text)), content_words(answer)
    return sum(word in said for word in wanted) >= KNOWN * len(wanted) > 0
