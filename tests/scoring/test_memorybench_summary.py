from __future__ import annotations

import pytest

from memquartet.errors import ConfigError
from memquartet.scoring.memorybench_summary import memorybench_summary


def test_scores_are_scaled_and_standardized_by_the_frozen_constants() -> None:
    summary = memorybench_summary(
        "task", "Short-Short", {"JRE-L": [8, 2], "LexEval-QA": [0.0], "NFCats": [5]}
    )
    assert summary.datasets["JRE-L"].scaled == pytest.approx(0.5)
    assert summary.datasets["NFCats"].scaled == 1
    assert summary.average == pytest.approx((0.5 + 0 + 1) / 3)
    assert summary.weighted_average == pytest.approx((1 + 0 + 0 + 1) / 4)
    z = [(8 - 7.85) / 0.4716990566028302, (2 - 7.85) / 0.4716990566028302]
    z += [-0.12312124506737952 / 0.0673206327681146, (5 - 4.4325) / 0.9749070468511344]
    assert summary.z_score == pytest.approx(sum(z) / 4, abs=1e-9)


def test_a_better_system_can_exceed_1() -> None:
    summary = memorybench_summary("task", "Short-Short", {"LexEval-QA": [0.9]})
    assert summary.datasets["LexEval-QA"].scaled > 1


def test_locomo_s_conversations_are_pooled_and_what_is_missing_is_named() -> None:
    summary = memorybench_summary("domain", "Open-Domain", {"Locomo-0": [1.0, None], "Locomo-9": [0.0]})
    assert summary.datasets["Locomo"].n == 2
    assert summary.datasets["Locomo"].raw == 0.5
    assert summary.unscored == 1
    assert (summary.average, summary.weighted_average, summary.z_score) == (None, None, None)
    assert "NFCats" in summary.missing
    assert "Locomo" not in summary.missing


@pytest.mark.parametrize(
    ("kind", "name", "scores", "expected"),
    [
        ("task", "Legal", {}, "no task 'Legal' in MemoryBench: use one of 'Long-Long'"),
        ("domain", "Legal", {"NFCats": [1.0]}, "'NFCats' does not belong to the domain 'Legal'"),
    ],
)
def test_an_unknown_group_or_member_is_refused(
    kind: str, name: str, scores: dict[str, list[float]], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        memorybench_summary(kind, name, scores)  # type: ignore[arg-type]  # the point of the test
