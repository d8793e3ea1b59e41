"""Two score lists over the same candidates into one ranking: min-max normalised and added.

Measured on LoCoMo turns against reciprocal rank fusion, which throws away how much better a hit is
(docs/design/010-fusion-by-normalised-scores.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How candidates are scored.

    `k1` ≥ 0 and `b` in [0, 1] are BM25's; the defaults are Lucene's. The weights say what each side brings to
    a hybrid score; only their ratio matters.
    """

    k1: float = 1.2
    b: float = 0.75
    lexical_weight: float = 1.0
    semantic_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.k1 < float("inf") and 0 <= self.b <= 1):
            raise ConfigError(
                f"BM25 needs k1 of at least 0 and b in [0, 1]; got k1={self.k1!r}, b={self.b!r}"
            )
        weights = (self.lexical_weight, self.semantic_weight)
        if not (min(weights) >= 0 and 0 < sum(weights) < float("inf")):
            raise ConfigError(f"hybrid weights must be at least 0 and not both 0; got {weights}")


DEFAULT_RANKING = Ranking()


def fuse(lexical: Scores, semantic: Scores, ranking: Ranking) -> Scores:
    """Scores in [0, 1]: the weighted mean of both sides, each normalised over all candidates."""
    total = ranking.lexical_weight + ranking.semantic_weight
    return min_max(lexical) * (ranking.lexical_weight / total) + min_max(semantic) * (
        ranking.semantic_weight / total
    )


def min_max(scores: Scores) -> Scores:
    """Scores stretched to [0, 1]; where all are equal, 1 if they are above 0, else 0."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    if high == low:
        return (scores > 0).astype(np.float64)
    stretched: Scores = (scores - low) / (high - low)
    return stretched
