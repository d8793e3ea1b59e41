"""Whether a search found the text that holds the answer."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from memquartet.errors import ConfigError


def evidence_recall(retrieved: Sequence[Collection[str]], evidence: Collection[str], k: int) -> float | None:
    """Share of the evidence ids among the source ids of the first `k` hits; None without evidence.

    `retrieved` holds each hit's source ids, best hit first. (LoCoMo's own code counts a question without
    evidence as 1, which lifts its mean.)

    Raises:
        ConfigError: `k` < 1.
    """
    if k < 1:
        raise ConfigError(f"recall needs at least one hit: k must be 1 or more, got {k}")
    wanted = set(evidence)
    if not wanted:
        return None
    found = {source_id for hit in retrieved[:k] for source_id in hit}
    return len(wanted & found) / len(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How a search ranked what holds the answer, each in [0, 1]: LongMemEval's retrieval metrics at one cut-off."""

    recall_any: float
    recall_all: float
    ndcg: float


def ranking(ranked: Sequence[str], evidence: Collection[str], k: int) -> Ranking | None:
    """Metrics of the first `k` of `ranked` ids, best first; None without evidence (abstentions are left out).

    The discounted gain is the official one: the first two places count in full, place p from the second on is divided
    by log2(p), and the ideal puts all evidence first. For sessions, turn ids are cut to session ids by the caller.

    Raises:
        ConfigError: `k` < 1.
    """
    if k < 1:
        raise ConfigError(f"a ranking needs at least one hit: k must be 1 or more, got {k}")
    wanted = set(evidence)
    if not wanted:
        return None
    first = ranked[:k]
    ideal = _gain([True] * min(len(wanted), k))
    return Ranking(
        recall_any=float(not wanted.isdisjoint(first)),
        recall_all=float(wanted <= set(first)),
        ndcg=_gain([one in wanted for one in dict.fromkeys(first)]) / ideal,
    )


def sessions_of_turns(ranked: Sequence[str], k: int) -> list[str]:
    """The first `k` different sessions of a ranking of turns, whose ids are a session's id, "_" and a number.

    Their recall is the official one of turns taken for sessions; the official NDCG counts a session once for each of
    its turns.
    """
    return list(dict.fromkeys(turn.rpartition("_")[0] for turn in ranked))[:k]


def _gain(relevant: Sequence[bool]) -> float:
    return math.fsum(hit / math.log2(max(place, 2)) for place, hit in enumerate(relevant, start=1))
