"""MemoryBench's judge scores, each on its data set's own scale (see `memorybench_summary` for how they are scaled).

| data set | score |
| --- | --- |
| DialSim-* | 0 or 1; a reply equal to the answer needs no judge |
| NFCats | 1 to 5 |
| HelloBench-* | mean over the checklist, in [0, 1] |
| LimitGen-Syn | the best rating, 0 to 5, of the first three limitations |
| WritingBench-* | mean over the criteria, 1 to 10; the paper uses a critic model of 7B parameters |
| JuDGE, IdeaBench, JRE-L | 1 to 10 against the reference; the paper's judge is also shown the values of their metrics |

The prompts are ours and ask what the official ones ask. Where the official code gives 0 or 1 to a judge without a verdict,
the score here is None.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping

from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.judging import (
    JudgeCall,
    Judgement,
    JudgeProtocol,
    ask,
    json_value,
    number_in,
    whole_number,
    yes_or_no,
)
from memquartet.scoring.memorybench import (
    dataset_of,
    golden_answer,
    info_of,
    memorybench_score,
    says_the_same,
)

_GRADES = (
    "0 not met, 0.25 met in small part, 0.5 unclear or half met, 0.75 met but for minor points, 1 fully met"
)
_REFERENCES = {"JuDGE": "golden_answer", "IdeaBench": "abstract", "JRE-L": "pr-abstract"}


def memorybench_judgement(question: Question, prediction: str) -> Judgement:
    """The score by the rule of the question's data set; the judge-free score where there is one.

    Raises:
        ConfigError: the question does not carry what its data set's score needs.
    """
    dataset = dataset_of(question)
    judgement = next((one for prefix, one in _JUDGEMENTS.items() if dataset.startswith(prefix)), None)
    if judgement is None:
        return memorybench_score(prediction, question)
    return (yield from judgement(question, prediction))


def _dialsim(question: Question, prediction: str) -> Judgement:
    answer = golden_answer(question)
    if says_the_same(prediction, answer):
        return 1.0
    return (
        yield from ask(
            f"Question: {question.text}\n\nTrue answer: {answer}\n\nReply: {prediction}\n\nDoes the reply say basically the"
            ' same as the true answer? Reply with "Correct" or "Wrong" alone.',
            _correct_or_wrong,
            temperature=0.2,
        )
    )


def _correct_or_wrong(reply: str) -> float | None:
    word = reply.strip().lower().rstrip(".")
    return {"correct": 1.0, "wrong": 0.0}.get(word)


def _usefulness(question: Question, prediction: str) -> Judgement:
    return (
        yield from ask(
            "How well does the answer solve the question? 1: it has nothing to do with it. 2: it is related but solves"
            " nothing. 3: it solves a part. 4: it solves most of it. 5: it solves it perfectly.\n\nQuestion:"
            f" {question.text}\n\nAnswer: {prediction}\n\nReply with the number alone.",
            lambda reply: whole_number(reply, 1, 5),
            max_tokens=64,
        )
    )


def _checklist(question: Question, prediction: str) -> Judgement:
    checks = info_of(question).get("checklist")
    if not isinstance(checks, list | tuple) or not checks:
        raise ConfigError(f"question {question.question_id!r} has no checklist, which its score needs")

    def read(reply: str) -> float | None:
        value = json_value(reply)
        if not isinstance(value, list) or len(value) != len(checks):
            return None
        grades = [_grade(one) for one in value]
        known = [grade for grade in grades if grade is not None]
        return sum(known) / len(known) if len(known) == len(grades) else None

    return (
        yield from ask(
            "Grade a reply to an instruction by a checklist of yes-or-no questions, strictly but fairly. The grades are:"
            f" {_GRADES}.\n\nInstruction: {question.text}\n\nReply (it ends before the checklist): {prediction}\n\n"
            f"Checklist: {json.dumps(checks, ensure_ascii=False)}\n\nReply with a JSON list alone, one object a check, in"
            ' order: [{"checklist_id": its id, "reason": why, "evaluation_score": the grade}, ...]. There are'
            f" {len(checks)} checks.",
            read,
            max_tokens=4096,
            temperature=0.8,
        )
    )


def _grade(value: object) -> float | None:
    found = value.get("evaluation_score") if isinstance(value, dict) else None
    try:
        grade = float(found) if isinstance(found, str) else number_in(value, "evaluation_score")
    except ValueError:
        return None
    return grade if grade is not None and 0 <= grade <= 1 else None


def _criteria(question: Question, prediction: str) -> Judgement:
    criteria = info_of(question).get("criteria")
    if not isinstance(criteria, list | tuple) or not criteria:
        raise ConfigError(f"question {question.question_id!r} has no criteria, which its score needs")
    total = 0.0
    for criterion in criteria:
        score = yield from ask(
            f"Task of a writer: {question.text}\n\nText: {prediction}\n\nCriterion:"
            f" {json.dumps(criterion, ensure_ascii=False)}\n\nHow well does the text meet the criterion, from 1 (not at all)"
            ' to 10 (perfectly)? Be strict. Reply with JSON alone: {"reason": why, "score": the whole number}',
            lambda reply: _bounded(number_in(json_value(reply), "score"), 1, 10),
            max_tokens=1024,
        )
        if score is None:
            return None
        total += score
    return total / len(criteria)


def _against_reference(question: Question, prediction: str) -> Judgement:
    field = _REFERENCES[dataset_of(question)]
    reference = info_of(question).get(field)
    if not isinstance(reference, str):
        raise ConfigError(f"question {question.question_id!r} has no {field}, which its score needs")
    return (
        yield from ask(
            f"Task: {question.text}\n\nReference: {reference}\n\nResult: {prediction}\n\nHow good is the result beside the"
            " reference, from 1 (irrelevant, wrong or nonsense) to 10 (as good as the reference)? Reply with the whole"
            " number alone.",
            lambda reply: whole_number(reply, 1, 10),
            max_tokens=64,
        )
    )


def _bounded(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None


# Category of a paper's planted limitation -> aspect, and its place among the aspect's kinds.
_PLANTED = {
    "data": ("methodology", 1),
    "inappropriate": ("methodology", 2),
    "baseline": ("experimental design", 1),
    "dataset": ("experimental design", 2),
    "replace": ("experimental design", 3),
    "ablation": ("experimental design", 4),
    "metric": ("result analysis", 1),
    "analysis": ("result analysis", 2),
    "review": ("literature review", 1),
    "citation": ("literature review", 2),
    "description": ("literature review", 3),
}
_KINDS = {
    "methodology": (
        "low data quality: data were collected unreliably, with bias or without cleaning",
        "an unsuitable method: it does not fit the question or oversimplifies",
        "no novelty: it hardly goes beyond earlier techniques",
        "limited performance: weak results, not robust, or not general",
        "another",
    ),
    "experimental design": (
        "too few baselines: established methods are not compared",
        "limited data sets: too few to generalize",
        "unsuitable data sets: they do not show the task or the real world",
        "no ablation study: what a component contributes stays unclear",
        "another",
    ),
    "result analysis": (
        "insufficient metrics: they show performance incompletely",
        "limited analysis: little insight into behaviour and failures",
        "text and tables or figures disagree",
        "exaggerated or misleading conclusions",
        "another",
    ),
    "literature review": (
        "limited scope: important studies or views are left out",
        "irrelevant citations: off the point or outdated",
        "existing methods are described inaccurately",
        "another",
    ),
}
_MOST_LIMITATIONS = 3


def _limitations(question: Question, prediction: str) -> Judgement:
    info = info_of(question)
    category, truth = info.get("category"), info.get("ground_truth")
    if category not in _PLANTED or not isinstance(truth, str):
        raise ConfigError(
            f"question {question.question_id!r} has the category {category!r}, expected one of {', '.join(_PLANTED)}, and"
            " a ground_truth"
        )
    best = 0.0
    for limitation in _named_limitations(prediction):
        rating = yield from _limitation(limitation, *_PLANTED[str(category)], truth)
        if rating is None:
            return None
        best = max(best, rating)
    return best


def _named_limitations(prediction: str) -> list[str]:
    value = json_value(prediction)
    named = value.get("limitations") if isinstance(value, dict) else None
    if isinstance(named, str):
        return [named]
    return [str(one) for one in named[:_MOST_LIMITATIONS]] if isinstance(named, list) else []


def _limitation(
    limitation: str, aspect: str, kind: int, truth: str
) -> Generator[JudgeCall, str, float | None]:
    """The rating of one limitation: 0 unless it is of the planted aspect and kind."""
    related = yield from ask(
        f"Is this limitation of a scientific paper about its {aspect}? Reply with yes or no alone.\n\n{limitation}",
        yes_or_no,
        temperature=0.8,
    )
    if not related:
        return related
    kinds = "\n".join(f"{number}. {text}" for number, text in enumerate(_KINDS[aspect], start=1))
    found = yield from ask(
        f"Of which kind is this limitation of a scientific paper?\n{kinds}\n\nLimitation: {limitation}\n\nReply with the number"
        " alone.",
        lambda reply: whole_number(reply, 1, len(_KINDS[aspect])),
        temperature=0.8,
    )
    if found is None or found != kind:
        return None if found is None else 0.0
    return (
        yield from ask(
            f"True limitation of a scientific paper: {truth}\n\nNamed limitation: {limitation}\n\nHow near is the named one to"
            " the true one? 5: the same content in as much detail. 4: the same content in less detail. 3: related, not the"
            ' same. 2: loosely related. 1: not related. Reply with JSON alone: {"explanation": a short one, "rating": the'
            " whole number}",
            lambda reply: _bounded(number_in(json_value(reply), "rating"), 1, 5),
            max_tokens=1024,
            temperature=0.8,
        )
    )


_JUDGEMENTS: Mapping[str, JudgeProtocol] = {
    "DialSim": _dialsim,
    "HelloBench": _checklist,
    "WritingBench": _criteria,
    "NFCats": _usefulness,
    "LimitGen": _limitations,
    **dict.fromkeys(_REFERENCES, _against_reference),
}
