"""Metrics by name, as a sample names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError
from memquartet.scoring.answers import abstains, exact_match, integer_match, substring_exact_match, token_f1
from memquartet.scoring.locomo import locomo_f1

_BY_ANSWER: dict[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "f1": token_f1,
    "substring_exact_match": substring_exact_match,
    "integer_match": integer_match,
}
METRICS = (*_BY_ANSWER, "locomo_f1")

NO_ANSWER = "No information available"
"""The reply that is right where the text does not hold the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFailure:
    """An accepted answer that its own metric does not score 1."""

    sample_id: str
    question_id: str
    answer: str
    score: float


def score(metric: str, prediction: str | None, question: Question) -> float | None:
    """The best score over the accepted answers, in [0, 1]; None when there is no prediction.

    A question without answers wants a reply that says so: see `abstains`.

    Raises:
        ConfigError: no metric has this name, or it cannot score this question.
        MissingExtraError: the metric needs a package that is not installed.
    """
    if metric not in METRICS:
        raise ConfigError(f"no metric {metric!r}: use one of {', '.join(METRICS)}")
    if prediction is None:
        return None
    if metric == "locomo_f1":
        return locomo_f1(prediction, question)
    if not question.answers:
        return float(abstains(prediction))
    return max(_BY_ANSWER[metric](prediction, answer) for answer in question.answers)


def validate(samples: Iterable[Sample]) -> list[GoldFailure]:
    """Score every accepted answer as if it were a prediction; a sound data set gives an empty list.

    Raises:
        ConfigError: a sample names an unknown metric, or one that cannot score its questions.
        MissingExtraError: a metric needs a package that is not installed.
    """
    failures: list[GoldFailure] = []
    for sample in samples:
        for question in sample.questions:
            for answer in question.answers or (NO_ANSWER,):
                value = score(sample.metric, answer, question)
                if value is not None and value < 1:
                    failures.append(
                        GoldFailure(
                            sample_id=sample.sample_id,
                            question_id=question.question_id,
                            answer=answer,
                            score=value,
                        )
                    )
    return failures
