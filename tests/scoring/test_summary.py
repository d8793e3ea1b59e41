from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.scoring.summary import Summary, summarize

scores = st.lists(st.none() | st.floats(0, 1), max_size=30)


def test_the_mean_of_nothing_is_none() -> None:
    assert summarize([]) == Summary(mean=None, n=0, unscored=0, low=None, high=None)
    assert summarize([None, None]) == Summary(mean=None, n=0, unscored=2, low=None, high=None)


def test_a_missing_score_is_counted_and_never_averaged_as_0() -> None:
    summary = summarize([1.0, None, 0.5])
    assert (summary.mean, summary.n, summary.unscored) == (0.75, 2, 1)


def test_one_score_has_no_interval() -> None:
    assert summarize([0.5]) == Summary(mean=0.5, n=1, unscored=0, low=None, high=None)


@given(scores)
def test_the_interval_lies_within_the_scores_and_is_reproducible(values: list[float | None]) -> None:
    summary = summarize(values, seed=7)
    assert summary == summarize(values, seed=7)
    assert summary.n + summary.unscored == len(values)
    if summary.low is not None and summary.high is not None:
        known = [value for value in values if value is not None]
        assert min(known) - 1e-9 <= summary.low <= summary.high <= max(known) + 1e-9


def test_the_interval_has_the_width_of_the_normal_approximation() -> None:
    summary = summarize([0.0, 1.0] * 200)
    assert summary.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.008)
    assert summary.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.008)


def test_a_summary_goes_into_json_under_its_names() -> None:
    assert summarize([1.0]).as_json() == {"mean": 1.0, "n": 1, "unscored": 0, "low": None, "high": None}
