"""LoCoMo's answer score, rule for rule as in snap-research/locomo, `task_eval/evaluation.py`."""

from __future__ import annotations

import re
import string

from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.answers import abstains, overlap_f1
from memquartet.scoring.stemming import porter_stem

# Unlike SQuAD's, this list has "and".
_ARTICLES = re.compile(r"\b(a|an|the|and)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def locomo_f1(prediction: str, question: Question) -> float:
    """F1 over Porter stems, by the question's category.

    - single-hop, temporal, open-domain: F1 against the answer; of an open-domain answer only what stands
      before the first ";".
    - multi-hop: prediction and answer are lists split at ","; the mean over the answer's parts of the best
      F1 that any part of the prediction reaches.
    - adversarial: 1 when the prediction contains "no information available" or "not mentioned", else 0.

    Raises:
        ConfigError: the question is of no LoCoMo category, or lacks the answer that its category needs.
        MissingExtraError: NLTK is not installed.
    """
    if question.category == "adversarial":
        return float(abstains(prediction))
    if len(question.answers) != 1:
        raise ConfigError(
            f"LoCoMo question {question.question_id!r} needs exactly one answer, has {len(question.answers)}"
        )
    answer = question.answers[0]
    match question.category:
        case "single-hop" | "temporal":
            return _stemmed_f1(prediction, answer)
        case "open-domain":
            return _stemmed_f1(prediction, answer.split(";")[0])
        case "multi-hop":
            parts = prediction.split(",")
            best = [max(_stemmed_f1(part, wanted) for part in parts) for wanted in answer.split(",")]
            return sum(best) / len(best)
        case _:
            raise ConfigError(
                f"question {question.question_id!r} has the category {question.category!r}; locomo_f1 knows"
                " single-hop, multi-hop, temporal, open-domain and adversarial"
            )


def _stemmed_f1(prediction: str, answer: str) -> float:
    return overlap_f1(_stems(prediction), _stems(answer))


def _stems(text: str) -> list[str]:
    words = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
    return [porter_stem(word) for word in words]
