from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.scoring.retrieval import evidence_recall, ranking, sessions_of_turns

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


def official(ranked: list[str], correct: list[str], k: int) -> tuple[float, float, float]:
    """LongMemEval's rule once more: the first place in full, then each divided by log2 of its number from 2."""

    def gain(hits: list[int]) -> float:
        return sum(hit if place == 0 else hit / math.log2(place + 1) for place, hit in enumerate(hits))

    hits = [int(one in correct) for one in ranked[:k]]
    ideal = sorted((int(one in correct) for one in ranked), reverse=True)[:k]
    return float(any(hits)), float(sum(hits) == len(set(correct))), gain(hits) / gain(ideal)


@given(st.permutations(list("abcdefgh")), st.sets(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 9))
def test_rankings_agree_with_longmemeval_s_rules(ranked: list[str], correct: set[str], k: int) -> None:
    found = ranking(ranked, correct, k)
    assert found is not None
    assert (found.recall_any, found.recall_all, found.ndcg) == pytest.approx(
        official(ranked, sorted(correct), k), abs=1e-9
    )


def test_without_evidence_there_is_no_ranking() -> None:
    assert ranking(["a"], (), 5) is None


def test_turns_are_ranked_as_their_sessions() -> None:
    assert sessions_of_turns(["s_1_3", "s_1_1", "s_2_9", "t_1"], 2) == ["s_1", "s_2"]
