from __future__ import annotations

import pytest

from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.scoring.locomo import locomo_f1


def question(category: str, *answers: str) -> Question:
    return Question(question_id="q", text="?", answers=answers, category=category)


@pytest.mark.parametrize("category", ["single-hop", "temporal", "open-domain"])
def test_words_are_compared_by_their_porter_stems(category: str) -> None:
    assert locomo_f1("running races", question(category, "run the race")) == 1


def test_and_counts_as_an_article_and_a_comma_as_nothing() -> None:
    assert locomo_f1("cats, dogs", question("single-hop", "cats and dogs")) == 1


def test_punctuation_joins_the_words_around_it() -> None:
    assert locomo_f1("selfcare", question("single-hop", "self-care")) == 1
    assert locomo_f1("self care", question("single-hop", "self-care")) == 0


def test_of_an_open_domain_answer_only_the_part_before_the_semicolon_counts() -> None:
    answer = "Likely no; she wants to be a counselor"
    assert locomo_f1("likely no", question("open-domain", answer)) == 1
    assert locomo_f1("likely no", question("single-hop", answer)) < 1


def test_a_multi_hop_answer_is_the_mean_over_its_parts_of_the_best_match() -> None:
    two = question("multi-hop", "pottery, camping")
    assert locomo_f1("camping, swimming, pottery", two) == 1
    assert locomo_f1("camping", two) == 0.5
    # One undivided part shares one of its two words with each gold part: F1 2/3 with both.
    assert locomo_f1("camping pottery", two) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("Not mentioned in the conversation", 1),
        ("No information available.", 1),
        ("self-care is important", 0),
        ("unknown", 0),
        ("", 0),
    ],
)
def test_an_adversarial_question_wants_one_of_two_phrases(prediction: str, expected: float) -> None:
    assert locomo_f1(prediction, question("adversarial")) == expected


@pytest.mark.parametrize("category", ["single-hop", "multi-hop", "temporal", "open-domain"])
def test_an_empty_prediction_scores_0(category: str) -> None:
    assert locomo_f1("", question(category, "pottery")) == 0


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(ConfigError, match="category 'changed'"):
        locomo_f1("x", question("changed", "x"))


@pytest.mark.parametrize("answers", [(), ("a", "b")])
def test_a_question_without_exactly_one_answer_is_refused(answers: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="exactly one answer"):
        locomo_f1("x", question("single-hop", *answers))
