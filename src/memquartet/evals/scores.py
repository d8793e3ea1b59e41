"""From answers to scores: each by its metric or a judge; what has no answer or no verdict has no score."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Episode
from memquartet.errors import WorldError
from memquartet.evals.judging import Judge
from memquartet.evals.memory_quality import memory_quality
from memquartet.evals.results import (
    OVERALL,
    UNCATEGORIZED,
    QuestionResult,
    Reading,
    SystemResult,
    Usage,
)
from memquartet.scoring.judges import is_judged
from memquartet.scoring.registry import reads_raw_replies, score
from memquartet.scoring.summary import Summary, summarize
from memquartet.text.tokens import default_counter

SHOWN_TEXTS = 30
SHOWN_CHARACTERS = 1_000
EVIDENCE_CHARACTERS = 300
"""What a result keeps of the texts that the answerer saw; the transcripts have all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A score, or None with the reason; `metric` names whose it is where that is not the sample's own metric."""

    score: float | None
    problem: str = ""
    metric: str = ""


ScoreAnswer = Callable[[Sample, Question, str], Awaitable[Verdict]]
"""Scores an answer that was given. A `WorldError` leaves it unscored, and the next run tries again."""


async def by_metric(sample: Sample, question: Question, answer: str) -> Verdict:
    """The score by the sample's own metric."""
    return Verdict(score=score(sample.metric, answer, question))


def judged_by(judge: Judge, *, critic: Judge | None = None) -> ScoreAnswer:
    """Scoring by a judge where the sample names a protocol in `extra["judge"]` that is for the question, else by the metric.

    Args:
        judge: asked about everything that needs one.
        critic: asked about WritingBench in its place, as officially a model made for that is.
    """

    async def verdict(sample: Sample, question: Question, answer: str) -> Verdict:
        protocol = sample.extra.get("judge")
        if not isinstance(protocol, str) or not is_judged(protocol, question):
            return await by_metric(sample, question, answer)
        asked = critic if critic and str(question.extra.get("dataset")).startswith("WritingBench") else judge
        found = await asked.score(protocol, question, answer)
        problem = "" if found is not None else f"no verdict: {asked.name} decided nothing"
        return Verdict(score=found, problem=problem, metric=f"judge:{protocol}")

    return verdict


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
            return await _scored(sample, question, answer, score_answer, said[sample.sample_id], count)

    # Many questions are shown the same texts.
    count = cache(default_counter().count)
    said = {sample.sample_id: _source_texts(sample) for sample in samples}
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
        memory=memory_quality(samples, episodes),
    )


def summaries(rows: Sequence[QuestionResult]) -> dict[str, Summary]:
    """Mean and interval overall and by category."""
    values: dict[str, list[float | None]] = {OVERALL: []}
    for row in rows:
        values[OVERALL].append(row.score)
        values.setdefault(row.category, []).append(row.score)
    return {name: summarize(found) for name, found in values.items()}


async def _scored(
    sample: Sample,
    question: Question,
    answer: Answer | None,
    score_answer: ScoreAnswer,
    evidence: Mapping[str, str],
    count: Callable[[str], int],
) -> QuestionResult:
    text = _said(answer, sample.metric) if answer else None
    verdict = Verdict(score=None, problem=_why_unanswered(answer))
    if text is not None:
        try:
            verdict = await score_answer(sample, question, text)
        except WorldError as error:
            verdict = Verdict(score=None, problem=f"{type(error).__name__}: {error}")
    shown = answer.memories if answer else ()
    return QuestionResult(
        sample_id=sample.sample_id,
        question_id=question.question_id,
        category=question.category or UNCATEGORIZED,
        metric=verdict.metric or sample.metric,
        question=question.text,
        gold=question.answers,
        evidence=tuple(evidence.get(one, one) for one in question.evidence),
        answer=text,
        score=verdict.score,
        problem=verdict.problem,
        shown=tuple(one[:SHOWN_CHARACTERS] for one in shown[:SHOWN_TEXTS]),
        shown_tokens=sum(map(count, shown)),
        seconds=answer.seconds if answer else None,
        usage=Usage.of(answer.trajectory.turns) if answer else Usage(),
    )


def _said(answer: Answer, metric: str) -> str | None:
    """What is scored: our reading of the reply, or the reply as it came for a metric that reads it by its own rules."""
    return answer.raw if answer.raw is not None and reads_raw_replies(metric) else answer.text


def _source_texts(sample: Sample) -> dict[str, str]:
    """What stands behind the benchmark's source ids: the line where lines and ids match, else the chunk's beginning."""
    texts: dict[str, str] = {}
    for chunk in sample.chunks:
        lines = chunk.text.splitlines()
        lines = lines[len(lines) - len(chunk.source_ids) :] if len(lines) >= len(chunk.source_ids) else []
        for place, source_id in enumerate(chunk.source_ids):
            text = lines[place] if lines else chunk.text
            texts.setdefault(source_id, f"{source_id}: {text[:EVIDENCE_CHARACTERS]}")
    return texts


def _answers(episode: Episode | None) -> dict[str, Answer]:
    return {answer.question_id: answer for answer in episode.answers} if episode else {}


def _why_unanswered(answer: Answer | None) -> str:
    if answer is None:
        return "not asked"
    failure = answer.trajectory.failure
    return f"{failure.kind}: {failure.message}" if failure else "not asked"
