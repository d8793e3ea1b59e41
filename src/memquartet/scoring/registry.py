"""Metrics by name, as a sample names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError
from memquartet.scoring.answers import (
    abstains,
    exact_match,
    integer_match,
    normalize,
    share_contained,
    substring_exact_match,
    token_f1,
)
from memquartet.scoring.locomo import locomo_f1
from memquartet.scoring.memoryagentbench import official_score, option_match
from memquartet.scoring.memorybench import memorybench_score
from memquartet.scoring.meteor import meteor
from memquartet.scoring.recommendation import load_catalogue, recommendation_recall
from memquartet.scoring.rouge import DeepTexts, chinese_rouge_l, rouge_l, rouge_l_sum

_BY_ANSWER: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "f1": token_f1,
    "substring_exact_match": substring_exact_match,
    "integer_match": integer_match,
    "option_match": option_match,
    "rougeL_f1": lambda prediction, answer: rouge_l(prediction, answer).f1,
    "rougeLsum_f1": lambda prediction, answer: rouge_l_sum(prediction, answer).f1,
    "chinese_rouge_l": chinese_rouge_l,
    "meteor": meteor,
    # By MemoryAgentBench's official rules, on the parsed reply alone or on the better of it and the raw one.
    "mab_parsed_exact_match": partial(official_score, "exact_match", parsed_only=True),
    "mab_parsed_substring_exact_match": partial(official_score, "substring_exact_match", parsed_only=True),
    "mab_exact_match": partial(official_score, "exact_match", parsed_only=False),
    "mab_substring_exact_match": partial(official_score, "substring_exact_match", parsed_only=False),
    "mab_f1": partial(official_score, "f1", parsed_only=False),
    "mab_rougeLsum_f1": partial(official_score, "rougeLsum_f1", parsed_only=False),
}


def _recommended(prediction: str, question: Question, k: int) -> float:
    path = question.extra.get("entities")
    if not isinstance(path, str):
        raise ConfigError(
            f'question {question.question_id!r} names no catalogue of movies (`extra["entities"]`, the path of'
            " entity2id.json), which its recall needs"
        )
    return recommendation_recall(prediction, question.answers, load_catalogue(Path(path)), k)


def _all_contained(prediction: str, question: Question) -> float:
    return float(share_contained(prediction, question.answers) == 1)


_BY_QUESTION: Mapping[str, Callable[[str, Question], float | None]] = {
    "locomo_f1": locomo_f1,
    "share_contained": lambda prediction, question: share_contained(prediction, question.answers),
    "eventqa_recall": _all_contained,
    **{f"recommendation_recall@{k}": partial(_recommended, k=k) for k in (1, 5, 10)},
    "memorybench_official": partial(memorybench_score, deep=DeepTexts.ZERO),
    "memorybench_fixed": partial(memorybench_score, deep=DeepTexts.SCORED),
}
METRICS = (*_BY_ANSWER, *_BY_QUESTION)


def reads_raw_replies(metric: str) -> bool:
    """Whether a metric parses the model's reply by rules of its own: it is given the reply as it came, not our reading."""
    return metric.startswith("mab_")


NO_ANSWER = "No information available"
"""The reply that is right where the text does not hold the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFailure:
    """An accepted answer that its own metric does not score 1; `explained` names the metric's rule, if one says so."""

    sample_id: str
    question_id: str
    answer: str
    score: float
    explained: str = ""


def score(metric: str, prediction: str | None, question: Question) -> float | None:
    """The best score over the accepted answers, in [0, 1]; None without a prediction, or where only a judge can tell.

    A question without answers wants a reply that says so: see `abstains`.

    Raises:
        ConfigError: no metric has this name, or it cannot score this question.
        MissingExtraError: the metric needs a package that is not installed.
    """
    if metric not in METRICS:
        raise ConfigError(f"no metric {metric!r}: use one of {', '.join(METRICS)}")
    if prediction is None:
        return None
    if metric in _BY_QUESTION:
        return _BY_QUESTION[metric](prediction, question)
    if not question.answers:
        return float(abstains(prediction))
    return max(_BY_ANSWER[metric](prediction, answer) for answer in question.answers)


def validate(samples: Iterable[Sample]) -> list[GoldFailure]:
    """Score every accepted answer as if it were a prediction; a sound data set gives an empty list, or explained ones.

    Questions that only a judge can score are passed over.

    Raises:
        ConfigError: a sample names an unknown metric, or one that cannot score its questions.
        MissingExtraError: a metric needs a package that is not installed.
    """
    return [
        GoldFailure(
            sample_id=sample.sample_id,
            question_id=question.question_id,
            answer=answer,
            score=value,
            explained=_explanation(sample.metric, question, answer),
        )
        for sample in samples
        for question in sample.questions
        for answer in gold_replies(sample.metric, question)
        if (value := score(sample.metric, answer, question)) is not None and value < 1 - _ROUNDING
    ]


_ROUNDING = 1e-7
"""ROUGE of the package `rouge` gives equal texts 1 less a few 1e-9."""


def gold_replies(metric: str, question: Question) -> tuple[str, ...]:
    """The replies that should be right: each accepted answer, or one reply with all where all are wanted.

    Raises:
        ConfigError: a recommendation's answers are no ids of its catalogue.
    """
    if metric in ("share_contained", "eventqa_recall"):
        return (" ".join(question.answers),)
    if metric.startswith("recommendation"):
        catalogue = load_catalogue(Path(str(question.extra.get("entities"))))
        titles = (catalogue.get(int(movie), "") for movie in question.answers)
        return ("\n".join(f"{place}. {title}" for place, title in enumerate(titles, start=1)),)
    if metric.startswith("memorybench") and str(question.extra.get("dataset")).startswith("Locomo"):
        return question.answers if _category(question) != _ADVERSARIAL else ("Not mentioned",)
    return question.answers or (NO_ANSWER,)


_ADVERSARIAL = 5


def _category(question: Question) -> object:
    info = question.extra.get("info")
    return info.get("category") if isinstance(info, Mapping) else None


def _explanation(metric: str, question: Question, answer: str) -> str:
    """The rule by which an accepted answer does not score 1, or ""."""
    dataset = str(question.extra.get("dataset", ""))
    open_domain = question.category == "open-domain" or (
        dataset.startswith("Locomo") and _category(question) == 3
    )
    if open_domain and ";" in answer and metric.startswith(("locomo", "memorybench")):
        return "of an open-domain answer only what stands before the first ';' counts"
    if metric == "meteor" or (metric.startswith("memorybench") and dataset == "WritingPrompts"):
        return "METEOR takes 0.5 / words^3 from equal texts, for their one chunk of matches"
    if metric == "memorybench_official" and dataset.startswith("LexEval"):
        return "the official ROUGE-L gives 0 to texts too long for its recursion"
    if metric.startswith("recommendation") and len(question.answers) > int(metric.rpartition("@")[2]):
        return "more movies are wanted than the cut-off counts"
    if metric == "substring_exact_match" and not normalize(answer):
        return "an answer of articles and punctuation alone leaves no trace to find"
    return ""
