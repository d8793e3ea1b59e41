"""MemoryBench's judge-free scores: LoCoMo's F1, LexEval's ROUGE-L, METEOR; by a question's data set.

A question carries its data set's name and the record's `info` in `extra`. Rules: THUIR/MemoryBench at 9a33aae9,
`src/dataset/*.py`. The other data sets are scored by a judge model, see `memorybench_judges`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.locomo import locomo_f1
from memquartet.scoring.meteor import meteor
from memquartet.scoring.rouge import DeepTexts, chinese_rouge_l

_LOCOMO = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}


def memorybench_score(
    prediction: str, question: Question, *, deep: DeepTexts = DeepTexts.ZERO
) -> float | None:
    """The score of a reply in [0, 1]; None where only a judge can tell.

    `deep` is what LexEval gives long texts: officially 0 (see `rouge`).

    Raises:
        ConfigError: the question does not carry what its data set's score needs.
        MissingExtraError: a metric needs a package or data that is not installed.
    """
    dataset = dataset_of(question)
    if dataset.startswith("Locomo"):
        return _locomo(prediction, question)
    if dataset.startswith("DialSim"):
        return 1.0 if says_the_same(prediction, golden_answer(question)) else None
    if dataset.startswith("LexEval"):
        return chinese_rouge_l(prediction, golden_answer(question), deep=deep)
    return meteor(prediction, golden_answer(question)) if dataset == "WritingPrompts" else None


def dataset_of(question: Question) -> str:
    """The data set that a question is of.

    Raises:
        ConfigError: the question does not say.
    """
    found = question.extra.get("dataset")
    if not isinstance(found, str):
        raise ConfigError(
            f"question {question.question_id!r} names no data set of MemoryBench in its `extra`"
        )
    return found


def info_of(question: Question) -> Mapping[str, object]:
    """What the record tells besides the question: answers, categories, checklists.

    Raises:
        ConfigError: the question does not carry it.
    """
    found = question.extra.get("info")
    if not isinstance(found, Mapping):
        raise ConfigError(f"question {question.question_id!r} carries no `info` of its MemoryBench record")
    return found


def golden_answer(question: Question) -> str:
    """The reference answer.

    Raises:
        ConfigError: the record has none.
    """
    found = info_of(question).get("golden_answer")
    if not isinstance(found, str):
        raise ConfigError(f"question {question.question_id!r} has no golden_answer, which its score needs")
    return found


def says_the_same(prediction: str, answer: str) -> bool:
    """Whether a reply is the answer, but for case, outer spaces and a full stop: right without a judge (DialSim)."""
    said, wanted = prediction.lower().strip(), answer.lower().strip()
    return said in (wanted, f"{wanted}.")


def _locomo(prediction: str, question: Question) -> float:
    number = info_of(question).get("category")
    category = _LOCOMO.get(number) if isinstance(number, int) else None
    if category is None:
        raise ConfigError(
            f"question {question.question_id!r} has the LoCoMo category {number!r}, expected 1 to 5"
        )
    answer = golden_answer(question)
    if category == "adversarial":
        return locomo_f1(
            _chosen(prediction, answer, question.question_id), replace(question, category=category)
        )
    return locomo_f1(prediction, replace(question, category=category, answers=(answer,)))


def _chosen(prediction: str, options: str, question_id: str) -> str:
    """The text of the chosen option: a reply of one letter, or of one in parentheses; "b" unless it is "a"."""
    said = prediction.strip().lower()
    if len(said) not in (1, 3):
        return said
    try:
        texts = json.loads(options)
        return str(texts["a" if said in ("a", "(a)") else "b"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f'question {question_id!r}: expected the options as JSON with "a" and "b", given {options!r}'
        ) from None
