"""BM25 over the candidates of one search.

Lucene's form: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), gain = idf * tf / (tf + k1 * (1 - b + b * length / average)).
N, df and the average length are counted over the candidates alone, exactly. So neither other users' entries nor
deleted ones, nor how the index lies in memory, change a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.retrieval.candidates import Candidates


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
    names = list(terms)
    lists = [part.postings(names) for part in candidates]
    starts = accumulate((len(part) for part in candidates[:-1]), initial=0)
    lengths = np.concatenate([part.pick(part.block.lengths) for part in candidates])
    which = np.concatenate([postings.which for postings in lists])
    counts = np.concatenate([postings.counts for postings in lists])
    rows = np.concatenate([postings.rows + start for postings, start in zip(lists, starts, strict=True)])

    frequency = np.bincount(which, minlength=len(terms))
    idf = np.log1p((len(lengths) - frequency + 0.5) / (frequency + 0.5)) * np.fromiter(
        terms.values(), np.float64
    )
    average = lengths.sum(dtype=np.int64) / len(lengths) or 1.0
    brake = k1 * (1 - b) + (k1 * b / average) * lengths[rows]
    gains = idf[which] * counts / (counts + brake)
    # bincount adds in the order given; the blocks share no row, so a row's terms add up in the query's order.
    scores: NDArray[np.float64] = np.bincount(rows, gains, minlength=len(lengths)).astype(np.float64)
    return scores
