"""How well a reply answers: one pure function a metric, each in [0, 1].

Normalisation and token F1 follow SQuAD's evaluation; with several accepted answers a caller takes the best.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from memquartet.errors import ConfigError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_INTEGER = re.compile(r"(?<![\w.])-?\d+(?![\w]|\.\d)")
# A right choice among these is right as a whole; sharing a word with a longer answer earns nothing.
_WHOLE = frozenset({"yes", "no", "noanswer"})
_ABSTENTIONS = ("no information available", "not mentioned")


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, words one space apart."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answer: str) -> float:
    """1 when both are the same after normalisation."""
    return float(normalize(prediction) == normalize(answer))


def substring_exact_match(prediction: str, answer: str) -> float:
    """1 when the normalised answer stands anywhere in the normalised prediction.

    An answer of nothing but articles and punctuation has no trace to find: it scores 0.
    """
    wanted = normalize(answer)
    return float(bool(wanted) and wanted in normalize(prediction))


def token_f1(prediction: str, answer: str) -> float:
    """Harmonic mean of precision and recall over words, counted as often as they occur.

    0 when either side is exactly "yes", "no" or "noanswer" and the other is not the same. Two empty sides
    are equal: 1.
    """
    said, wanted = normalize(prediction), normalize(answer)
    if said != wanted and (said in _WHOLE or wanted in _WHOLE):
        return 0.0
    return 1.0 if said == wanted else overlap_f1(said.split(), wanted.split())


def integer_match(prediction: str, answer: str) -> float:
    r"""1 when the one integer in the prediction is the answer: "43", "label: 43" and "\boxed{43}" are 43.

    A prediction with two different integers has not chosen: 0.

    Raises:
        ConfigError: the answer is no integer.
    """
    try:
        wanted = int(answer)
    except ValueError:
        raise ConfigError(f"integer_match needs an integer as answer, got {answer!r}") from None
    return float({int(found) for found in _INTEGER.findall(prediction)} == {wanted})


def share_contained(prediction: str, answers: Sequence[str]) -> float:
    """The share of the answers that stand in the prediction, whatever their case; 0 of none."""
    said = prediction.lower()
    return sum(answer.lower() in said for answer in answers) / len(answers) if answers else 0.0


def abstains(prediction: str) -> bool:
    """Whether the reply says, in one of LoCoMo's two phrases, that the text does not hold the answer."""
    return any(phrase in prediction.lower() for phrase in _ABSTENTIONS)


def overlap_f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of two bags of words; 0 when they share none."""
    shared = (Counter(said) & Counter(wanted)).total()
    # 2PR / (P + R), with P = shared / said and R = shared / wanted.
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0
