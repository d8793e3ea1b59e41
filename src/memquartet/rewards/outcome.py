"""The episode's outcome: how right its answers are, and which chunks and entries they depended on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memquartet.agents.rendering import as_read, undated
from memquartet.core.memory import EntryId
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Answer, Episode
from memquartet.errors import ConfigError
from memquartet.rewards.wording import says_any
from memquartet.scoring.registry import score

RIGHT = 0.5
"""Answers scored at least this much count as right where a yes or no is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """An answer with its question and its score in [0, 1]; None when the world kept it from being given."""

    question: Question
    answer: Answer
    score: float | None

    @property
    def right(self) -> bool:
        """Whether the answer is known to be right."""
        return self.score is not None and self.score >= RIGHT

    @property
    def right_and_known(self) -> bool:
        """Whether the answer is right and there was something to be known, so that memory can have served it."""
        return self.right and bool(self.question.answers)


def scored_answers(episode: Episode, sample: Sample) -> tuple[ScoredAnswer, ...]:
    """The episode's answers, in their order, scored by the sample's own metric.

    Raises:
        ConfigError: the episode is of another sample, or a score is not in [0, 1].
    """
    questions = {question.question_id: question for question in sample.questions}
    foreign = [a.question_id for a in episode.answers if a.question_id not in questions]
    if episode.sample_id != sample.sample_id or foreign:
        raise ConfigError(
            f"episode of sample {episode.sample_id!r} cannot be rewarded with sample {sample.sample_id!r}"
            + (f": it answers questions {foreign!r}" if foreign else "")
        )
    return tuple(
        ScoredAnswer(
            question=questions[answer.question_id],
            answer=answer,
            score=answer_score(sample.metric, answer.text, questions[answer.question_id]),
        )
        for answer in episode.answers
    )


def answer_score(metric: str, text: str | None, question: Question) -> float | None:
    """The score of one answer; None when there is none.

    Raises:
        ConfigError: the metric gave something that is not in [0, 1].
    """
    value = score(metric, text, question)
    if value is not None and not 0 <= value <= 1:
        raise ConfigError(
            f"metric {metric!r} gave {value!r} for question {question.question_id!r}: expected a number in [0, 1]"
        )
    return value


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None of none."""
    found = [value for value in values if value is not None]
    return math.fsum(found) / len(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How much the answers needed a chunk.

    `guard` is the mean score of the questions that need it, of all questions when none is known to; None
    without scores. `needless` is set when every question that has an answer names its evidence and none names this
    chunk.
    """

    guard: float | None
    needless: bool

    @classmethod
    def of(cls, chunk: Chunk, answers: Sequence[ScoredAnswer]) -> Need:
        """A question needs a chunk that its evidence names or, without evidence, one that says an accepted answer."""
        verdicts = [_needs(scored.question, chunk) for scored in answers]
        needing = [scored.score for scored, needs in zip(answers, verdicts, strict=True) if needs]
        guard = mean(needing)
        return cls(
            guard=mean(scored.score for scored in answers) if guard is None else guard,
            needless=bool(verdicts) and all(needs is False for needs in verdicts),
        )


def _needs(question: Question, chunk: Chunk) -> bool | None:
    """Whether a question needs a chunk; None when nothing tells. What nobody said stands in no chunk."""
    if question.evidence and chunk.source_ids:
        return not set(question.evidence).isdisjoint(chunk.source_ids)
    if not question.answers:
        return False
    return True if says_any(as_read(chunk), question.answers) else None


def used_entries(answers: Sequence[ScoredAnswer]) -> frozenset[EntryId]:
    """Every entry that was retrieved for a right answer, but for answers that there is nothing to be known."""
    return frozenset(hit for scored in answers if scored.right_and_known for hit in scored.answer.hits)


def useful_searches(scored: ScoredAnswer, contents: Mapping[EntryId, str]) -> tuple[bool, ...]:
    """For each search that the answerer made, whether the answer needed it.

    It did when the answer is right and the search brought an entry that says an accepted answer while none before it
    did, or led on to such a search. Where no entry says an accepted answer (yes or no, dates, counts), every search
    that brought something new is taken to be needed. A question without accepted answers needs none.

    Args:
        scored: the answer.
        contents: the long-term memory.
    """
    searches = scored.answer.searches
    if not scored.right_and_known:
        return (False,) * len(searches)
    saying = _saying(scored, contents)
    brought = [bool(saying.intersection(search.hits)) for search in searches]
    if not saying:
        return tuple(bool(search.hits) for search in searches)
    later = {hit for search in searches for hit in search.hits}
    if saying - later:
        return (False,) * len(searches)
    first = brought.index(True)
    return tuple(number <= first and bool(search.hits) for number, search in enumerate(searches))


def entry_credit(answers: Sequence[ScoredAnswer], contents: Mapping[EntryId, str]) -> Mapping[EntryId, float]:
    """What each retrieved entry was worth to the right answers, in [0, 1]; entries worth nothing are left out.

    To be among the top-k is not yet to be of use: a small memory is retrieved whole for every question. So where
    some hits of a right answer say an accepted answer, these earn the answer's score and the others nothing;
    where none does (yes or no, dates, counts), the hit of rank r earns score / r. An entry keeps the most that
    any answer gives it. Where only a line of the text says it, no fact earns anything. Where there is nothing to be known, no entry has served the answer that says so: otherwise a
    team that never knows anything earns credit for whatever it wrote.
    """
    credit: dict[EntryId, float] = {}
    for scored in answers:
        if not scored.right_and_known or scored.score is None:
            continue
        saying = _saying(scored, contents)
        for rank, hit in enumerate(scored.answer.hits, start=1):
            share = float(hit in saying) if saying else 1 / rank
            credit[hit] = max(credit.get(hit, 0.0), scored.score * share)
    return {hit: value for hit, value in credit.items() if value > 0}


def _saying(scored: ScoredAnswer, contents: Mapping[EntryId, str]) -> frozenset[EntryId]:
    """The hits that say an accepted answer. A line of the text, which no fact wrote, is known from what was shown."""
    answer = scored.answer
    shown = dict(zip(answer.hits, map(undated, answer.memories), strict=False))
    return frozenset(
        hit
        for hit in answer.hits
        if says_any(contents.get(hit) or shown.get(hit, ""), scored.question.answers)
    )
