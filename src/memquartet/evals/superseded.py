"""Which values a question's answer used to have, so that a memory that still shows them can be told.

Generated worlds say so themselves. MemoryAgentBench's FactConsolidation does not, but its context is a numbered list of
facts of which, by its rules, the one with the largest number holds: "12. The capital of Alba is Perth." and later
"80. The capital of Alba is Oban." are two values of one statement, the words in front of the value. That is enough to
find what a question's answer replaced, as long as one statement only can be meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memquartet.agents.rendering import undated
from memquartet.core.samples import Question, Sample
from memquartet.rewards.consistency import SUBJECT, superseded_values
from memquartet.rewards.wording import says, says_any
from memquartet.text.terms import STOP_WORDS, words

FACT_CONSOLIDATION = "factconsolidation"
COMMON = 0.03
"""A word in more than this share of the facts belongs to a kind of statement ("born", "capital"), not to a subject."""
_NUMBER = re.compile(r"(?:(?<=\s)|^)(\d+)\.\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """`values` that were right once, each no longer; a line is about the question when it says all of `about`."""

    values: tuple[str, ...]
    about: tuple[str, ...]
    answers: tuple[str, ...]

    def said_by(self, texts: Iterable[str]) -> list[str]:
        """The lines that say a superseded value and no accepted answer, without the dates that memories carry."""
        return [line for text in texts for line in _lines(undated(text)) if self._stale(line)]

    def _stale(self, line: str) -> bool:
        return (
            says_any(line, self.values)
            and not says_any(line, self.answers)
            and all(says(line, part) for part in self.about)
        )


def superseded_in(sample: Sample) -> dict[str, Superseded]:
    """What is known to be superseded, by question id; questions of which nothing is known are left out.

    Raises:
        InputError: a question's `extra["superseded"]` is not a list of texts.
    """
    if FACT_CONSOLIDATION in sample.source:
        statements = _statements(sample)
        found = {q.question_id: _by_statement(q, statements) for q in sample.questions}
    else:
        found = {q.question_id: _as_told(q) for q in sample.questions}
    return {name: one for name, one in found.items() if one is not None}


def _as_told(question: Question) -> Superseded | None:
    values = superseded_values(question)
    subject = question.extra.get(SUBJECT)
    about = (subject,) if isinstance(subject, str) else ()
    return Superseded(values=values, about=about, answers=question.answers) if values else None


def numbered_facts(text: str) -> list[str]:
    """The facts of "0. … 1. … 2. …" in order; a number out of turn is part of a fact."""
    facts: list[str] = []
    begin: int | None = None
    for mark in _NUMBER.finditer(text):
        if int(mark[1]) == len(facts) + (begin is not None):
            if begin is not None:
                facts.append(text[begin : mark.start()])
            begin = mark.end()
    if begin is not None:
        facts.append(text[begin:])
    return [fact.strip().removesuffix(".") for fact in facts]


def _statements(sample: Sample) -> Sequence[str]:
    return numbered_facts("\n".join(chunk.text for chunk in sample.chunks))


def _by_statement(question: Question, facts: Sequence[str]) -> Superseded | None:
    """The older values of the statement whose newest value is the answer, if it is clear which one is meant.

    That is the one whose rare words the question says, or the only one that there is (a question of several hops
    names the beginning of its chain, not the end).
    """
    times = Counter(word for fact in facts for word in set(words(fact)))
    asked = set(words(question.text))
    found = [
        (_subject(stem, times, len(facts)), values)
        for answer in question.answers
        for stem, values in _ending_in(answer, facts).items()
    ]
    named = [one for one in found if one[0] <= asked] or found
    if len(named) != 1 or not named[0][1]:
        return None
    about, values = named[0]
    return Superseded(values=values, about=tuple(sorted(about)), answers=question.answers)


def _ending_in(answer: str, facts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Statements whose newest value is the answer, each with its older values, oldest first."""
    stems = {fact.removesuffix(answer) for fact in facts if fact.endswith(f" {answer}")}
    found = {}
    for stem in stems:
        values = [fact.removeprefix(stem) for fact in facts if fact.startswith(stem)]
        if values[-1] == answer:
            found[stem] = tuple(dict.fromkeys(value for value in values if value != answer))
    return found


def _subject(stem: str, times: Mapping[str, int], facts: int) -> frozenset[str]:
    """The words of a statement that are not those of its kind: few facts say them. All of them if every word is common."""
    said = frozenset(words(stem))
    rare = frozenset(word for word in said - STOP_WORDS if times[word] <= COMMON * facts)
    return rare or said


def _lines(text: str) -> Iterable[str]:
    """What a shown text says one after another: its lines, and numbered facts of one line each by itself."""
    for line in text.splitlines():
        begin = 0
        for mark in _counting(line):
            yield line[begin : mark.start()]
            begin = mark.end()
        yield line[begin:]


def _counting(line: str) -> list[re.Match[str]]:
    """The numbers that begin a fact: those at the line's start and those that count up one by one.

    "It costs 12. That is much." holds none: a sentence may end in a number.
    """
    runs: list[list[re.Match[str]]] = []
    by_end: dict[int, list[re.Match[str]]] = {}
    for mark in _NUMBER.finditer(line):
        number = int(mark[1])
        run = by_end.pop(number - 1, [])
        if not run:
            runs.append(run)
        run.append(mark)
        if len(run) >= len(by_end.get(number, ())):
            by_end[number] = run
    found = [mark for run in runs for mark in run if len(run) > 1 or mark.start() == 0]
    return sorted(found, key=re.Match.start)
