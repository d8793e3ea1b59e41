"""Questions about a written script, with everything that rewards and scorers want to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from itertools import permutations
from random import Random
from typing import TypeVar

from memquartet.benchmarks.worlds.script import Script
from memquartet.benchmarks.worlds.truth import ASKS, Asked, Form, Key, answer_from, days_ago
from memquartet.core.samples import Question
from memquartet.text.dates import write_date

T = TypeVar("T")
COUNTS = ("none", "one", "two", "three", "four")


class QuestionKind(StrEnum):
    """What a question tests; its category."""

    SINGLE_HOP = "single-hop"
    """One fact that never changed."""
    MULTI_HOP = "multi-hop"
    """Two or three facts joined."""
    TEMPORAL = "temporal"
    """When something is or was, or what came first."""
    KNOWLEDGE_UPDATE = "knowledge-update"
    """One fact that changed."""
    AGGREGATION = "aggregation"
    """Several facts of one sort: all of them, or how many they are."""
    ABSTENTION = "abstention"
    """Nothing was said of it, or it was withdrawn: the right reply is that there is no information."""
    SHORT_TERM = "short-term"
    """What was said in passing, lately."""


def value_question(script: Script, *, text: str, subject: str, relations: Sequence[str]) -> Question:
    """A question for the value at the end of a path of relations, still without id and category.

    `extra` names the superseded values of the last relation and, as "subject", whom these are about.
    """
    about, evidence = subject, []
    for name in relations[:-1]:
        bridge = script.current((about, name))
        if bridge is None:
            break
        evidence.append(bridge.line)
        about = bridge.value
    key = (about, relations[-1])
    last = script.current(key)
    # Of what was withdrawn, the withdrawal is the evidence.
    evidence += [fact.line for fact in script.history.get(key, ())[-1:]]
    return Question(
        question_id="",
        text=text,
        answers=(last.value,) if last else (),
        evidence=tuple(dict.fromkeys(evidence)),
        extra={
            ASKS: Asked(subject=subject, relations=tuple(relations)).as_json(),
            "superseded": list(script.superseded(key)),
            "subject": about,
        },
    )


def order_question(script: Script, *, text: str, keys: tuple[Key, Key], labels: tuple[str, str]) -> Question:
    """Which of two dated things came first; the answer is its label."""
    asked = Asked(form=Form.FIRST, keys=keys, labels=labels)
    facts = [fact for key in keys if (fact := script.current(key))]
    return Question(
        question_id="",
        text=text,
        answers=(answer_from(facts, asked) or "",),
        evidence=tuple(dict.fromkeys(fact.line for fact in facts)),
        extra={ASKS: asked.as_json()},
    )


def list_question(
    script: Script, *, text: str, subject: str, relation: str, counted: bool = False
) -> Question:
    """All values of a list, or how many; any order is right, and a number in figures or as a word."""
    facts = [
        fact
        for key in script.history
        if key[0] == subject and key[1].startswith(f"{relation}/") and (fact := script.current(key))
    ]
    values = [fact.value for fact in facts]
    ways = [str(len(values)), COUNTS[len(values)]] if counted else map(", ".join, permutations(values))
    asked = Asked(form=Form.COUNT if counted else Form.LIST, subject=subject, relations=(relation,))
    return Question(
        question_id="",
        text=text,
        answers=tuple(ways) if values else (),
        evidence=tuple(dict.fromkeys(fact.line for fact in facts)),
        extra={ASKS: asked.as_json()},
    )


def ago_question(script: Script, *, text: str, key: Key, day: date) -> Question:
    """How many days before `day` something was."""
    asked = Asked(form=Form.AGO, subject=key[0], relations=(key[1],), day=write_date(day))
    fact = script.current(key)
    answer = days_ago(fact.value, asked.day) if fact else ""
    return Question(
        question_id="",
        text=text,
        answers=(answer, answer.removesuffix(" ago")),
        evidence=(fact.line,) if fact else (),
        extra={ASKS: asked.as_json()},
    )


def recent_question(text: str, gist: str) -> Question:
    """What was said in passing last; the short-term memory knows."""
    return Question(
        question_id="", text=text, answers=(gist,), extra={ASKS: Asked(form=Form.RECENT).as_json()}
    )


def draw_by_share(
    found: Mapping[QuestionKind, Sequence[T]],
    shares: Mapping[QuestionKind, float],
    count: int,
    random: Random,
) -> list[tuple[QuestionKind, T]]:
    """Draw without repetition: each time a kind by its share among those that have something left.

    A kind without a share is never drawn.
    """
    left = {kind: random.sample(items, len(items)) for kind, items in found.items() if items}
    drawn: list[tuple[QuestionKind, T]] = []
    while left and len(drawn) < count:
        kinds = list(left)
        weights = [max(0.0, shares.get(kind, 0.0)) for kind in kinds]
        if not any(weights):
            break
        kind = random.choices(kinds, weights)[0]
        drawn.append((kind, left[kind].pop()))
        if not left[kind]:
            del left[kind]
    return drawn
