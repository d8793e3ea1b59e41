"""From answers to scores: each by its metric or a judge; what has no answer or no verdict has no score."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Episode
from memquartet.errors import WorldError
from memquartet.evals.results import (
    OVERALL,
    UNCATEGORIZED,
    QuestionResult,
    Reading,
    SystemResult,
    Usage,
)
from memquartet.scoring.registry import score
from memquartet.scoring.summary import Summary, summarize
from memquartet.text.tokens import default_counter

SHOWN_TEXTS = 30
SHOWN_CHARACTERS = 1_000
"""What a result keeps of the texts that the answerer saw; the transcripts have all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A score in [0, 1], or None with the reason: a judge that decided nothing, a metric that cannot tell."""

    score: float | None
    problem: str = ""


ScoreAnswer = Callable[[Sample, Question, str], Awaitable[Verdict]]
"""Scores an answer that was given. A `WorldError` leaves it unscored, and the next run tries again."""


async def by_metric(sample: Sample, question: Question, answer: str) -> Verdict:
    """The score by the sample's own metric."""
    return Verdict(score=score(sample.metric, answer, question))


async def system_result(
    system: str,
    settings: Mapping[str, object],
    samples: Sequence[Sample],
    episodes: Mapping[str, Episode],
    score_answer: ScoreAnswer,
    at_once: int,
) -> SystemResult:
    """Score every question of every sample, `at_once` at the same time; samples without an episode are unanswered."""
    bound = asyncio.Semaphore(at_once)

    async def one(sample: Sample, question: Question, answer: Answer | None) -> QuestionResult:
        async with bound:
            return await _scored(sample, question, answer, score_answer)

    answers = {sample.sample_id: _answers(episodes.get(sample.sample_id)) for sample in samples}
    rows = await asyncio.gather(
        *(
            one(sample, question, answers[sample.sample_id].get(question.question_id))
            for sample in samples
            for question in sample.questions
        )
    )
    lived = [episodes[sample.sample_id] for sample in samples if sample.sample_id in episodes]
    return SystemResult(
        system=system,
        scores=summaries(rows),
        settings=settings,
        questions=tuple(rows),
        readings=tuple(
            Reading(
                seconds=episode.reading_seconds,
                usage=Usage.of(turn for step in episode.steps for turn in step.trajectory.turns),
            )
            for episode in lived
        ),
    )


def summaries(rows: Sequence[QuestionResult]) -> dict[str, Summary]:
    """Mean and interval overall and by category."""
    values: dict[str, list[float | None]] = {OVERALL: []}
    for row in rows:
        values[OVERALL].append(row.score)
        values.setdefault(row.category, []).append(row.score)
    return {name: summarize(found) for name, found in values.items()}


async def _scored(
    sample: Sample, question: Question, answer: Answer | None, score_answer: ScoreAnswer
) -> QuestionResult:
    text = answer.text if answer else None
    verdict = Verdict(score=None, problem=_why_unanswered(answer))
    if text is not None:
        try:
            verdict = await score_answer(sample, question, text)
        except WorldError as error:
            verdict = Verdict(score=None, problem=f"{type(error).__name__}: {error}")
    shown = answer.memories if answer else ()
    count = default_counter().count
    return QuestionResult(
        sample_id=sample.sample_id,
        question_id=question.question_id,
        category=question.category or UNCATEGORIZED,
        metric=sample.metric,
        question=question.text,
        gold=question.answers,
        evidence=question.evidence,
        answer=text,
        score=verdict.score,
        problem=verdict.problem,
        shown=tuple(one[:SHOWN_CHARACTERS] for one in shown[:SHOWN_TEXTS]),
        shown_tokens=sum(map(count, shown)),
        seconds=answer.seconds if answer else None,
        usage=Usage.of(answer.trajectory.turns) if answer else Usage(),
    )


def _answers(episode: Episode | None) -> dict[str, Answer]:
    return {answer.question_id: answer for answer in episode.answers} if episode else {}


def _why_unanswered(answer: Answer | None) -> str:
    if answer is None:
        return "not asked"
    failure = answer.trajectory.failure
    return f"{failure.kind}: {failure.message}" if failure else "not asked"
