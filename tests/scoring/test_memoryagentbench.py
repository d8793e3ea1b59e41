from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring import rederived

from memquartet.core.samples import Question
from memquartet.scoring.memoryagentbench import official_metrics, option_match, parsed_answer
from memquartet.scoring.registry import score

text = st.text(alphabet="aAnNsSwWeErR: .,\nthe", max_size=40)


@given(text, text)
def test_metrics_agree_with_the_documented_rules(prediction: str, answer: str) -> None:
    assert official_metrics(prediction, answer) == pytest.approx(rederived.mab(prediction, answer), abs=1e-9)


@given(text)
def test_the_parsed_reply_agrees_with_the_documented_rule(reply: str) -> None:
    assert parsed_answer(reply) == rederived.after_mark(reply)


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        ("Bristol\nbecause", "Bristol"),
        ("I think.\nanswer: Bristol \nDone", "Bristol"),
        ("Answer: Answer: Bristol", "Bristol"),
        ("\nBristol", ""),
    ],
)
def test_a_reply_is_what_follows_the_mark_or_the_first_line(reply: str, parsed: str) -> None:
    assert parsed_answer(reply) == parsed


def test_the_prompted_form_of_a_label_is_wrong_officially_and_right_when_fixed() -> None:
    question = Question(question_id="q", text="?", answers=("43",))
    assert score("mab_parsed_exact_match", "label: 43", question) == 0
    assert score("mab_parsed_exact_match", "43", question) == 1
    assert score("integer_match", "label: 43", question) == 1


def test_an_event_counts_officially_on_the_first_line_only() -> None:
    question = Question(question_id="q", text="?", answers=("Ann leaves",))
    assert score("mab_parsed_substring_exact_match", "Next:\nAnn leaves", question) == 0
    assert score("eventqa_recall", "Next:\nAnn leaves", question) == 1


def test_event_recall_wants_all_answers() -> None:
    question = Question(question_id="q", text="?", answers=("Ann", "Bob"))
    assert score("eventqa_recall", "ann and bob", question) == 1
    assert score("eventqa_recall", "ann", question) == 0
    assert score("share_contained", "ann", question) == 0.5


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"reasoning": "He lied {twice}", "answer": "B. The butler"}', 1),
        ('```json\n{"answer": "B"}\n```', 1),
        ("Answer: B) the butler", 1),
        ("b", 1),
        ("The butler", 0),
        ('{"answer": "C. The cook"}', 0),
        ('{"answer": 7}', 0),
        ("", 0),
    ],
)
def test_an_option_is_chosen_by_its_letter_in_json_or_plain(reply: str, expected: float) -> None:
    assert option_match(reply, "B. The butler") == expected


def test_an_answer_without_a_letter_wants_the_same_words() -> None:
    assert option_match("The butler!", "butler") == 1
