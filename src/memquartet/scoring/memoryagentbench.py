"""MemoryAgentBench's answer metrics by the official code's rules, and what they are where those defeat the task.

Rule for rule as in HUST-AI-HYZ/MemoryAgentBench, `utils/eval_other_utils.py`, at 455306dc. Unlike ours (see
`answers`), the official F1 of two empty texts is 0, and an answer of articles and punctuation alone is a sub-string
of everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from memquartet.scoring.answers import exact_match, normalize, token_f1
from memquartet.scoring.judging import json_value
from memquartet.scoring.rouge import rouge_l, rouge_l_sum

_MARK = re.compile(r"answer:(.*)", re.IGNORECASE)
_REPEATED_MARK = re.compile(r"^answer:", re.IGNORECASE)
_OPTION = re.compile(r"\W*([a-z])\s*[.):](?!\w)", re.IGNORECASE)


def parsed_answer(prediction: str) -> str:
    """What stands after the first "Answer:" (any case) on its line, else the first line; without outer spaces."""
    match = _MARK.search(prediction)
    found = match[1] if match else prediction.split("\n", 1)[0]
    return _REPEATED_MARK.sub("", found.strip()).strip()


def official_metrics(prediction: str, answer: str) -> dict[str, float]:
    """The seven metrics of one text against one answer, under their official names, each in [0, 1]."""
    short, whole = rouge_l(prediction, answer), rouge_l_sum(prediction, answer)
    return {
        "exact_match": exact_match(prediction, answer),
        "f1": _official_f1(prediction, answer),
        "substring_exact_match": _official_substring(prediction, answer),
        "rougeL_f1": short.f1,
        "rougeL_recall": short.recall,
        "rougeLsum_f1": whole.f1,
        "rougeLsum_recall": whole.recall,
    }


def official_score(metric: str, prediction: str, answer: str, *, parsed_only: bool) -> float:
    """One official metric of a reply; the better of raw and parsed reply unless `parsed_only`.

    The official code uses the parsed reply alone for classification and EventQA: there "label: 43" is wrong where the
    answer is 43.
    """
    parsed = _METRICS[metric](parsed_answer(prediction), answer)
    return parsed if parsed_only else max(parsed, _METRICS[metric](prediction, answer))


def option_match(prediction: str, answer: str) -> float:
    """1 when the reply chooses the answer's option: "B. The butler", "B)" or JSON with such an "answer".

    An answer that begins with no option letter wants the same words. The official metric compares the whole
    reply, yet the question asks for JSON with a reasoning.
    """
    chosen = _json_answer(prediction) or parsed_answer(prediction)
    wanted, found = _OPTION.match(answer), _OPTION.match(chosen)
    if wanted and not found and len(chosen.strip()) == 1:
        return float(chosen.strip().lower() == wanted[1].lower())
    if wanted and found:
        return float(wanted[1].lower() == found[1].lower())
    return exact_match(chosen, answer)


def _official_f1(prediction: str, answer: str) -> float:
    return token_f1(prediction, answer) if normalize(prediction) or normalize(answer) else 0.0


def _json_answer(prediction: str) -> str | None:
    """The "answer" of the JSON object that a reply holds; the reply may go on around it."""
    found = json_value(prediction)
    answer = found.get("answer") if isinstance(found, dict) else None
    return answer if isinstance(answer, str) else None


def _official_substring(prediction: str, answer: str) -> float:
    return float(normalize(answer) in normalize(prediction))


def _summary_f1(prediction: str, answer: str) -> float:
    return rouge_l_sum(prediction, answer).f1


_METRICS: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "f1": _official_f1,
    "substring_exact_match": _official_substring,
    "rougeLsum_f1": _summary_f1,
}
