from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.scoring.answers import (
    abstains,
    exact_match,
    integer_match,
    normalize,
    substring_exact_match,
    token_f1,
)

METRICS = [exact_match, substring_exact_match, token_f1]


def test_normalisation_drops_case_articles_punctuation_and_spaces() -> None:
    assert normalize("  The  Cat, an OLD cat's (a) tale! ") == "cat old cats tale"


def test_an_article_inside_a_word_stays() -> None:
    assert normalize("Ana's theatre") == "anas theatre"


@given(st.text(), st.text())
def test_scores_lie_between_0_and_1(prediction: str, answer: str) -> None:
    assert all(0 <= metric(prediction, answer) <= 1 for metric in METRICS)


@given(st.text(), st.text())
def test_f1_is_symmetric(left: str, right: str) -> None:
    assert token_f1(left, right) == token_f1(right, left)


@given(st.text())
def test_a_text_matches_itself(text: str) -> None:
    assert exact_match(text, text) == 1
    assert token_f1(text, text) == 1
    assert substring_exact_match(text, text) == float(bool(normalize(text)))


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    # Two of four predicted words and two of three gold words: P 1/2, R 2/3.
    assert token_f1("red car and bicycle", "old red bicycle") == pytest.approx(4 / 7)


def test_f1_counts_a_repeated_word_as_often_as_both_have_it() -> None:
    assert token_f1("cat cat cat", "cat") == pytest.approx(0.5)


def test_a_yes_or_no_earns_nothing_for_a_shared_word() -> None:
    assert token_f1("no", "no cats at home") == 0
    assert token_f1("No.", "no") == 1


def test_a_substring_is_searched_in_the_prediction_not_the_other_way_round() -> None:
    assert substring_exact_match("She moved to Bristol in April", "Bristol") == 1
    assert substring_exact_match("Bristol", "Bristol in April") == 0


@pytest.mark.parametrize("prediction", ["43", "label: 43", r"\boxed{43}", "It is 43.", "043", "43, so 43"])
def test_the_one_integer_of_a_reply_is_its_answer(prediction: str) -> None:
    assert integer_match(prediction, "43") == 1


@pytest.mark.parametrize("prediction", ["", "none", "43 or 44", "-43", "43.5", "x43", "430"])
def test_another_integer_or_a_choice_of_two_is_wrong(prediction: str) -> None:
    assert integer_match(prediction, "43") == 0


def test_integer_match_refuses_an_answer_that_is_no_integer() -> None:
    with pytest.raises(ConfigError, match="got 'many'"):
        integer_match("43", "many")


def test_abstaining_has_two_phrases() -> None:
    assert abstains("There is No Information Available on that.")
    assert abstains("It is not mentioned.")
    assert not abstains("I do not know")
