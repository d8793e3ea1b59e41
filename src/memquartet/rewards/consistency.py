"""Whether the memory is up to date: for questions whose answer changed, and for statements stored twice.

A question says what it expects through two keys of `Question.extra`:

- `superseded`: a list of values that used to be right and are not any more (an update replaced them, a deletion
  took them away; `answers` is then empty and the right reply is that there is no answer);
- `subject`, optional: words that an entry must also say to be about the question. Without it every entry with a
  superseded value counts, so give it where other subjects may rightly have the value.

An entry is *stale* for a question when it says a superseded value and no accepted answer ("moved from Paris to
Rome" is not).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memquartet.core.memory import EntryId
from memquartet.core.samples import Question
from memquartet.core.scores import RewardPart
from memquartet.errors import InputError
from memquartet.rewards.ledger import Ledger, Place
from memquartet.rewards.outcome import ScoredAnswer, mean
from memquartet.rewards.parts import Part
from memquartet.rewards.wording import says, says_any

SUPERSEDED = "superseded"
SUBJECT = "subject"


def superseded_values(question: Question) -> tuple[str, ...]:
    """The values that the question's answer used to have; empty when it tells of none.

    Raises:
        InputError: `extra["superseded"]` is not a list of texts.
    """
    values = question.extra.get(SUPERSEDED, ())
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise InputError(
            f"question {question.question_id!r}: extra {SUPERSEDED!r} must be a list of texts, got {values!r}"
        )
    return tuple(values)


def consistency_part(answers: Sequence[ScoredAnswer], contents: Mapping[EntryId, str]) -> RewardPart:
    """Mean over questions of the share of their superseded values that no stale hit says.

    None when no question tells of superseded values or nothing was retrieved for those that do.
    """
    values = [
        1 - len(_stale_values(scored.question, hits)) / len(set(superseded_values(scored.question)))
        for scored in answers
        if superseded_values(scored.question)
        and (hits := [contents[hit] for hit in scored.answer.hits if hit in contents])
    ]
    return RewardPart(
        name=Part.CONSISTENCY,
        value=mean(values),
        reason=f"{sum(v < 1 for v in values)} of {len(values)} questions retrieved a superseded value",
    )


def update_part(answers: Sequence[ScoredAnswer], contents: Mapping[EntryId, str]) -> RewardPart:
    """Share of questions with superseded values for which the memory holds an accepted answer and no stale entry.

    Where there is no accepted answer, only staleness counts. None when no question tells of superseded values.
    """
    questions = [scored.question for scored in answers if superseded_values(scored.question)]
    good = [q for q in questions if _holds(q, contents.values()) and not _stale_values(q, contents.values())]
    return RewardPart(
        name=Part.UPDATE,
        value=len(good) / len(questions) if questions else None,
        reason=f"{len(good)} of {len(questions)} changed values stand rightly in memory",
    )


def distinct_part(step: int, facts: int, ledger: Ledger) -> RewardPart:
    """Share of a step's facts that did not leave the same words twice in memory; None of no facts."""
    doubled = sum(Place(step, number) in ledger.doubled for number in range(facts))
    return RewardPart(
        name=Part.DISTINCT,
        value=1 - doubled / facts if facts else None,
        reason=f"{doubled} of {facts} facts stored words that already stood there",
    )


def _about(question: Question, content: str) -> bool:
    subject = question.extra.get(SUBJECT)
    return not isinstance(subject, str) or says(content, subject)


def _holds(question: Question, contents: Iterable[str]) -> bool:
    return not question.answers or any(
        _about(question, content) and says_any(content, question.answers) for content in contents
    )


def _stale_values(question: Question, contents: Iterable[str]) -> set[str]:
    """The superseded values that stale texts say."""
    values = superseded_values(question)
    return {
        value
        for content in contents
        for value in values
        if says(content, value) and _about(question, content) and not says_any(content, question.answers)
    }
