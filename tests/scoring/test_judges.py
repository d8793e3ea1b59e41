from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.judges import JUDGES
from memquartet.scoring.judging import TRIES, JudgeCall, json_value, whole_number, yes_or_no
from memquartet.scoring.memorybench_feedback import Action, Feedback, user_turn

Result = TypeVar("Result")


def told(steps: Generator[JudgeCall, str, Result], *replies: str) -> tuple[Result, list[JudgeCall]]:
    """What a judgement returns for these replies, and what it asked; every reply must be wanted."""
    calls: list[JudgeCall] = []
    left = list(replies)
    try:
        calls.append(next(steps))
        while True:
            calls.append(steps.send(left.pop(0)))
    except StopIteration as stop:
        assert not left
        return stop.value, calls


def question(kind: str, *answers: str, question_id: str = "q", **extra: object) -> Question:
    return Question(question_id=question_id, text="How many?", answers=answers, category=kind, extra=extra)


def task(dataset: str, **info: object) -> Question:
    return Question(question_id="q", text="Why?", answers=(), extra={"dataset": dataset, "info": info})


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [("Yes.", 1.0), ("no", 0.0), ("No, yes would be wrong", 0.0), ("I do not know", None), ("", None)],
)
def test_a_verdict_is_the_first_yes_or_no(reply: str, verdict: float | None) -> None:
    assert yes_or_no(reply) == verdict


def test_a_judge_that_says_neither_is_asked_again_and_then_unscored() -> None:
    value, calls = told(JUDGES["longmemeval"](question("multi-session", "7"), "8"), *["Hm."] * TRIES)
    assert value is None
    assert [call.attempt for call in calls] == list(range(TRIES))
    assert told(JUDGES["longmemeval"](question("multi-session", "7"), "8"), "Hm.", "yes")[0] == 1


@pytest.mark.parametrize(
    ("kind", "wording"),
    [
        ("temporal-reasoning", "off by one"),
        ("knowledge-update", "outdated"),
        ("single-session-preference", "Rubric: 7"),
        ("single-session-user", "Correct answer: 7"),
        ("abstention", "Explanation: 7"),
    ],
)
def test_each_type_of_longmemeval_has_its_rule(kind: str, wording: str) -> None:
    value, calls = told(JUDGES["longmemeval"](question(kind, "7"), "my reply"), "yes")
    assert value == 1
    assert wording in calls[0].prompt
    assert "my reply" in calls[0].prompt


def test_an_abstention_is_known_by_its_id_too() -> None:
    asked = question("multi-session", question_id="x_abs", answer="Never said.")
    assert "Explanation: Never said." in told(JUDGES["longmemeval"](asked, "?"), "no")[1][0].prompt


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="is of the type 'riddle'"):
        told(JUDGES["longmemeval"](question("riddle", "7"), "7"))


def test_a_summary_is_scored_by_fluency_recall_and_precision() -> None:
    asked = question("infbench", "The expert's.", keypoints=["a", "b"])
    replies = ['{"fluency": 1}', 'So {"recall": 1}', 'Well.\n{"precision": 3, "sentence_count": 4}']
    assert told(JUDGES["novel_summary"](asked, "Mine."), *replies)[0] == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    replies[0] = '{"fluency": 0}'
    assert told(JUDGES["novel_summary"](asked, "Mine."), *replies)[0] == 0


def test_a_summary_judge_that_counts_too_many_points_is_no_verdict() -> None:
    asked = question("infbench", "The expert's.", keypoints=["a", "b"])
    assert told(JUDGES["novel_summary"](asked, "x"), '{"fluency": 1}', *['{"recall": 3}'] * TRIES)[0] is None


@pytest.mark.parametrize(
    ("asked", "replies", "score"),
    [
        (task("NFCats"), ["Score: 4"], 4),
        (task("NFCats"), ["9"] * TRIES, None),
        (task("DialSim-friends", golden_answer="x"), ["Wrong."], 0),
        (task("DialSim-friends", golden_answer="reply"), [], 1),
        (
            task("HelloBench-Creative&Design", checklist=["a?", "b?"]),
            ['[{"evaluation_score": 1}, {"evaluation_score": "0.5"}]'],
            0.75,
        ),
        (
            task("HelloBench-Creative&Design", checklist=["a?", "b?"]),
            ['[{"evaluation_score": 1}]'] * TRIES,
            None,
        ),
        (
            task("WritingBench-Politics&Law", criteria=[{"name": "a"}, {"name": "b"}]),
            ['{"score": 8, "reason": ""}', '{"score": 5}'],
            6.5,
        ),
        (task("JuDGE", golden_answer="x"), ["10"], 10),
        (task("JRE-L", **{"pr-abstract": "x"}), ["7."], 7),
        (task("Locomo-1", category=4, golden_answer="reply"), [], 1),
    ],
)
def test_each_data_set_of_memorybench_has_its_scale(
    asked: Question, replies: list[str], score: float | None
) -> None:
    assert told(JUDGES["memorybench"](asked, "reply"), *replies)[0] == score


PAPER = task("LimitGen-Syn", category="ablation", ground_truth="No ablation.")
NAMED = '```json\n{"limitations": ["No ablation.", "Few data sets."]}\n```'


def test_a_limitation_is_rated_when_aspect_and_kind_are_the_planted_ones() -> None:
    replies = ["yes", "4", '{"explanation": "", "rating": 5}', "yes", "2"]
    assert told(JUDGES["memorybench"](PAPER, NAMED), *replies)[0] == 5
    assert told(JUDGES["memorybench"](PAPER, NAMED), "no", "no")[0] == 0
    assert told(JUDGES["memorybench"](PAPER, "no JSON"))[0] == 0


def test_a_question_without_what_its_judge_needs_is_refused() -> None:
    for asked in (task("HelloBench-Creative&Design"), task("JuDGE"), task("LimitGen-Syn", category="odd")):
        with pytest.raises(ConfigError, match="question 'q'"):
            told(JUDGES["memorybench"](asked, "reply"))


@pytest.mark.parametrize(
    ("reply", "value"),
    [("4.5 or 3", 3.0), ("10/10", 10.0), ("score: 0", None), ("-", None), ("12", None)],
)
def test_a_whole_number_within_the_bounds_is_found(reply: str, value: float | None) -> None:
    assert whole_number(reply, 1, 10) == value


@pytest.mark.parametrize("reply", ["", "[" * 5000, "{" * 5000, '{"a": ', "none"])
def test_hostile_replies_hold_no_json(reply: str) -> None:
    assert json_value(reply) is None


def dialogue(reply: str) -> list[Message]:
    return [
        Message(speaker=Speaker.USER, content="Why?"),
        Message(speaker=Speaker.ASSISTANT, content=reply),
    ]


def test_for_locomo_the_score_decides_what_the_user_thinks() -> None:
    asked = task("Locomo-0", category=4, golden_answer="a red bowl")
    liked, calls = told(user_turn(asked, dialogue("red bowl")))
    assert liked == Feedback(action=Action.LIKE, ends=True)
    assert calls == []
    disliked, _ = told(user_turn(asked, dialogue("a cat")))
    assert disliked is not None
    assert (disliked.action, disliked.ends) == (Action.DISLIKE, False)
    assert disliked.as_row(0) == {"round": 0, "implicit_action": "dislike", "terminated": False}


def test_otherwise_a_model_plays_the_user() -> None:
    reply = '{"implicit_action": "copy", "behavior": "continue_conversation", "response": "More."}'
    turn, calls = told(user_turn(task("NFCats"), dialogue("Because.")), reply)
    assert turn == Feedback(action=Action.COPY, ends=False, says="More.")
    assert "Assistant: Because." in calls[0].prompt


@pytest.mark.parametrize(
    "reply",
    [
        '{"implicit_action": "love", "behavior": "end_conversation"}',
        '{"implicit_action": "like", "behavior": "continue_conversation", "response": null}',
        "I like it",
    ],
)
def test_a_user_that_cannot_be_understood_gives_no_feedback(reply: str) -> None:
    assert told(user_turn(task("NFCats"), dialogue("Because.")), *[reply] * TRIES)[0] is None
