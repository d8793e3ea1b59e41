"""Judge protocols by name: LongMemEval, novel summaries (MemoryAgentBench), LoCoMo, MemoryBench.

The prompts are ours and ask what the official ones ask.
"""

from __future__ import annotations

from collections.abc import Mapping

from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.judging import Judgement, JudgeProtocol, ask, json_value, number_in, yes_or_no
from memquartet.scoring.memorybench_judges import memorybench_judgement

_BASE = (
    "Below are a question, its correct answer and the reply of a model. Is the reply correct? Say yes when it contains the"
    " correct answer, says the same in other words, or goes through all the steps that lead to it. Say no otherwise, also"
    " when it gives only a part of what the answer needs."
)
_RULES = {
    "single-session-user": _BASE,
    "single-session-assistant": _BASE,
    "multi-session": _BASE,
    "temporal-reasoning": f"{_BASE} A count of days, weeks, months or the like that is off by one is still correct.",
    "knowledge-update": (
        "Below are a question, its correct answer and the reply of a model. Is the reply correct? Say yes when it contains"
        " the correct answer, even if it mentions earlier, outdated information besides, as long as the answer it gives"
        " is the updated one. Say no otherwise."
    ),
    "single-session-preference": (
        "Below are a question, a rubric for a good personal reply and the reply of a model. Does the reply satisfy the"
        " rubric? Say yes when it remembers the user's personal information and makes right use of it; it need not meet"
        " every point. Say no otherwise."
    ),
}
_ABSTENTION = (
    "Below are a question that cannot be answered, an explanation why, and the reply of a model. Does the model recognize"
    " that the question cannot be answered? It may say that the information is incomplete, or that something else is"
    " known but not what was asked. Say yes or no."
)
_LAST = "Reply with yes or no alone."


def longmemeval_judgement(question: Question, prediction: str) -> Judgement:
    """1 or 0 by the rule for the question's type; also of MemoryAgentBench's chats.

    The type is `extra["question_type"]` or else the category; an id with "_abs" (or the category "abstention") marks a
    question that cannot be answered, whose explanation is `extra["answer"]` or else the first answer.

    Raises:
        ConfigError: no such type.
    """
    name = str(question.extra.get("question_type") or question.category)
    question_id = str(question.extra.get("question_id") or question.question_id)
    answer = "; ".join(question.answers) or str(question.extra.get("answer", ""))
    if "_abs" in question_id or name == "abstention":
        rule, label = _ABSTENTION, "Explanation"
    elif name in _RULES:
        rule = _RULES[name]
        label = "Rubric" if name == "single-session-preference" else "Correct answer"
    else:
        raise ConfigError(
            f"question {question.question_id!r} is of the type {name!r}; LongMemEval has {', '.join(_RULES)}"
        )
    return (
        yield from ask(
            f"{rule}\n\nQuestion: {question.text}\n\n{label}: {answer}\n\nReply of the model: {prediction}\n\n{_LAST}",
            yes_or_no,
        )
    )


def locomo_judgement(question: Question, prediction: str) -> Judgement:
    """1 or 0; LoCoMo has no official judge, vendors use one for all but the adversarial questions (see `is_judged`)."""
    if not question.answers:
        return None
    return (
        yield from ask(
            f"{_BASE} Be generous with wording and with the form of dates.\n\nQuestion: {question.text}\n\nCorrect answer:"
            f" {question.answers[0]}\n\nReply of the model: {prediction}\n\n{_LAST}",
            yes_or_no,
        )
    )


_IMPARTIAL = "Judge impartially. Think in a few sentences, then end with JSON alone on the last line"


def summary_judgement(question: Question, prediction: str) -> Judgement:
    """F1 of a novel's summary in [0, 1]: fluency (0 or 1) x 2PR / (P + R).

    R is the share of the key points (`extra["keypoints"]`) that the summary holds, P the share of its sentences that the
    expert's summary, the first answer, supports. Three calls; None as soon as one has no verdict.

    Raises:
        ConfigError: the question has no key points or no expert summary.
    """
    points = question.extra.get("keypoints")
    if not isinstance(points, list | tuple) or not points or not question.answers:
        raise ConfigError(f"question {question.question_id!r} has no key points or no summary to judge by")
    listed = "\n".join(f"{number}. {point}" for number, point in enumerate(points, start=1))
    fluency = yield from ask(
        "Is this summary of a novel fluent? Give 0 when it is incoherent, gibberish, repetitive (also with other words) or"
        " incomplete, and 1 when it is coherent, grammatical and without repetition; a last sentence that is cut off is"
        f' forgiven. {_IMPARTIAL}: {{"fluency": 0 or 1}}\n\nSummary: "{prediction.strip()}"',
        lambda reply: _within(number_in(json_value_last(reply), "fluency"), 1),
        max_tokens=1024,
    )
    if fluency is None:
        return None
    recalled = yield from ask(
        "How many of these key points of a novel does the summary hold? A point counts when most of its facts are in the"
        f' summary. {_IMPARTIAL}: {{"recall": the number of key points}}\n\nKey points:\n{listed}\n\nSummary:'
        f' "{prediction.strip()}"',
        lambda reply: _within(number_in(json_value_last(reply), "recall"), len(points)),
        max_tokens=2048,
    )
    if recalled is None:
        return None
    precision = yield from ask(
        "How many sentences of the summary of a novel does the expert's summary support? A sentence counts when most of its"
        " facts are in the expert's summary; sentences without facts of the novel do not count."
        f' {_IMPARTIAL}: {{"precision": the number of supported sentences, "sentence_count": the number of all sentences}}'
        f'\n\nExpert\'s summary: "{question.answers[0]}"\n\nSummary: "{prediction.strip()}"',
        _supported,
        max_tokens=4096,
    )
    if precision is None:
        return None
    recall = recalled / len(points)
    return fluency * 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def json_value_last(reply: str) -> object:
    """The JSON object on the last line of a reply that begins with one, else the first in it."""
    lines = [line for line in reply.splitlines() if line.lstrip("` ").startswith("{")]
    return json_value(lines[-1]) if lines else json_value(reply)


def _within(value: float | None, high: float) -> float | None:
    return value if value is not None and 0 <= value <= high else None


def _supported(reply: str) -> float | None:
    value = json_value_last(reply)
    supported, sentences = number_in(value, "precision"), number_in(value, "sentence_count")
    if supported is None or sentences is None or not 0 <= supported <= sentences:
        return None
    return supported / sentences if sentences else 0.0


JUDGES: Mapping[str, JudgeProtocol] = {
    "longmemeval": longmemeval_judgement,
    "novel_summary": summary_judgement,
    "locomo": locomo_judgement,
    "memorybench": memorybench_judgement,
}
"""The protocols by the name that a sample's `extra["judge"]` gives."""


def is_judged(protocol: str, question: Question) -> bool:
    """Whether a protocol has a verdict about this question; others are scored by their sample's metric.

    LoCoMo's adversarial questions have no answer to compare with: the official rule looks for the abstention itself.
    """
    return protocol != "locomo" or bool(question.answers)
