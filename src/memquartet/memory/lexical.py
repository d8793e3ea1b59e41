"""BM25 over the candidates of one search.

Lucene's form: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), gain = idf * tf / (tf + k1 * (1 - b + b * length / average)).
N, df and the average length are counted over the candidates alone, exactly. So neither other users' entries nor
deleted ones, nor how the index lies in memory, change a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.candidates import Candidates


def bm25(
    candidates: Sequence[Candidates], terms: Mapping[str, int], k1: float, b: float
) -> NDArray[np.float64]:
    """A score ≥ 0 for each candidate, in order; 0 means that it shares no term with the query.

    Args:
        candidates: all blocks that hold candidates.
        terms: the query's terms, each with the number of times it occurs there.
        k1: how slowly repeats of a term saturate, ≥ 0.
        b: how strongly long entries are held back, in [0, 1].
    """
    lists = [part.postings(terms) for part in candidates]
    entries = sum(len(part) for part in candidates)
    length = sum(int(part.pick(part.block.lengths).sum(dtype=np.int64)) for part in candidates)
    found = np.zeros(len(terms), np.int64)
    for postings in lists:
        found += np.bincount(postings.which, minlength=len(terms))
    idf = np.log1p((entries - found + 0.5) / (found + 0.5)) * np.fromiter(terms.values(), np.float64)
    shortness = k1 * b * entries / max(length, 1)
    scores = []
    for part, postings in zip(candidates, lists, strict=True):
        brake = k1 * (1 - b) + shortness * part.block.lengths[postings.rows]
        gains = idf[postings.which] * postings.counts / (postings.counts + brake)
        # bincount adds in the order of the terms, hence the same sum in every layout.
        dense = np.bincount(postings.rows, gains, minlength=len(part.block))
        scores.append(part.pick(dense))
    return np.concatenate(scores)
