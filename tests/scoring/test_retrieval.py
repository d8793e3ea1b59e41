from __future__ import annotations

import pytest

from memquartet.errors import ConfigError
from memquartet.scoring.retrieval import evidence_recall

HITS = [("D1:1", "D1:2"), ("D2:5",), ("D1:2", "D3:1")]


@pytest.mark.parametrize(("k", "recall"), [(1, 1 / 3), (2, 2 / 3), (3, 1.0), (50, 1.0)])
def test_recall_is_the_share_of_evidence_within_the_first_k_hits(k: int, recall: float) -> None:
    assert evidence_recall(HITS, ("D1:1", "D2:5", "D3:1"), k) == pytest.approx(recall)


def test_evidence_found_twice_counts_once() -> None:
    assert evidence_recall(HITS, ("D1:2",), 3) == 1


def test_no_hits_find_nothing() -> None:
    assert evidence_recall([], ("D1:2",), 3) == 0


def test_without_evidence_there_is_no_recall() -> None:
    assert evidence_recall(HITS, (), 3) is None


def test_k_below_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 0"):
        evidence_recall(HITS, ("D1:2",), 0)
