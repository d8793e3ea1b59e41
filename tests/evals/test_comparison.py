from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.evals.comparison import compare, find_questions, permutation_p
from memquartet.evals.results import QuestionResult, write_questions


def row(number: int, score: float | None, **more: object) -> QuestionResult:
    fields: dict[str, object] = {
        "sample_id": "s",
        "question_id": f"q{number}",
        "category": "odd" if number % 2 else "even",
        "metric": "f1",
        "question": "?",
        "gold": ("x",),
        "answer": "x",
        "score": score,
        **more,
    }
    return QuestionResult(**fields)  # type: ignore[arg-type]  # built from a table


def rows(*scores: float | None) -> list[QuestionResult]:
    return [row(number, score) for number, score in enumerate(scores)]


def test_differences_are_b_minus_a_overall_and_by_category() -> None:
    found = compare(rows(0, 0, 1, 0), rows(1, 1, 1, 0), name_a="a", name_b="b")
    overall, even, odd = found.categories
    assert (overall.n, overall.mean_a, overall.mean_b, overall.difference) == (4, 0.25, 0.75, 0.5)
    assert (overall.better_a, overall.better_b) == (0, 2)
    assert (even.category, odd.category, odd.n) == ("even", "odd", 2)
    assert overall.low is not None
    assert overall.high is not None
    assert overall.low <= 0.5 <= overall.high


def test_unscored_and_unpaired_questions_are_counted_apart() -> None:
    found = compare(rows(0, None, 1), [*rows(1, 1, None), row(7, 1.0)], name_a="a", name_b="b")
    assert found.categories[0].n == 1
    assert (found.unscored, found.unpaired) == (2, 1)


def test_runs_of_other_data_are_refused() -> None:
    with pytest.raises(ConfigError, match="no question in common"):
        compare(rows(1), [row(5, 1.0)], name_a="a", name_b="b")
    with pytest.raises(ConfigError, match="question 'q0' of sample 's' is not the same"):
        compare(rows(1), [row(0, 1.0, gold=("y",))], name_a="a", name_b="b")


def test_p_is_exact_where_it_can_be_counted_by_hand() -> None:
    # Of the 2**6 sign patterns, all-plus and all-minus are as far from 0 as six wins of six: p = 2/64.
    assert permutation_p(np.ones(6)) == pytest.approx(2 / 64, abs=0.01)
    assert permutation_p(np.array([1.0, -1.0])) == 1.0
    assert permutation_p(np.zeros(5)) == 1.0


def test_a_clear_difference_has_a_small_p_and_never_zero() -> None:
    assert 0 < permutation_p(np.ones(200)) < 0.001


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0]), min_size=1, max_size=12))
def test_p_does_not_care_which_system_is_called_a(differences: list[float]) -> None:
    values = np.array(differences)
    p = permutation_p(values)
    assert 0 < p <= 1
    assert permutation_p(-values) == p


def test_systems_are_found_by_folder_and_name(tmp_path: Path) -> None:
    write_questions(tmp_path / "quartet.questions.jsonl", rows(1))
    assert find_questions(str(tmp_path))[0] == "quartet"
    write_questions(tmp_path / "mem0.questions.jsonl", rows(0))
    assert find_questions(f"{tmp_path}:mem0")[1] == rows(0)
    with pytest.raises(ConfigError, match=r"mem0, .*:quartet"):
        find_questions(str(tmp_path))
    with pytest.raises(ConfigError, match="run `memquartet eval run` first"):
        find_questions(str(tmp_path / "nowhere"))
