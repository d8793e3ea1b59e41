"""Questions about a written script, with everything that rewards and scorers want to know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import ASKS, Asked
from memquartet.core.samples import Question


class QuestionKind(StrEnum):
    """What a question tests; its category."""

    SINGLE_HOP = "single-hop"
    """One fact that never changed."""
    MULTI_HOP = "multi-hop"
    """Two facts joined."""
    TEMPORAL = "temporal"
    """When something is or was, or what came first."""
    KNOWLEDGE_UPDATE = "knowledge-update"
    """One fact that changed."""
    ABSTENTION = "abstention"
    """Nothing was said of it, or it was withdrawn: the right reply is that there is no information."""
    SHORT_TERM = "short-term"
    """What was said in passing, lately."""


def value_question(
    script: Script,
    *,
    number: int,
    kind: QuestionKind,
    text: str,
    subject: str,
    relations: Sequence[str],
    time: datetime | None = None,
) -> Question:
    """A question for the value at the end of a path of relations.

    `extra` names the superseded values of the last relation and, as "subject", whom these are about.
    """
    about, evidence = subject, []
    for name in relations[:-1]:
        bridge = script.current((about, name))
        if bridge is None:
            break
        evidence.append(bridge.fact_id)
        about = bridge.value
    key = (about, relations[-1])
    last = script.current(key)
    # Of what was withdrawn, the withdrawal is the evidence.
    evidence += [fact.fact_id for fact in script.history.get(key, ())[-1:]]
    return Question(
        question_id=f"q{number}",
        text=text,
        answers=(last.value,) if last else (),
        category=kind,
        evidence=tuple(evidence),
        time=time,
        extra={
            ASKS: Asked(subject=subject, relations=tuple(relations)).as_json(),
            "superseded": list(script.superseded(key)),
            "subject": about,
        },
    )
