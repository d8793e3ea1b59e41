"""Unit vectors, and their exact cosine over the candidates of one search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.protocols import Vectors
from memquartet.memory.retrieval.candidates import Candidates

_CHUNK_ROWS = 1024


def cosine(candidates: Sequence[Candidates], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine in [-1, 1] of each candidate, in order; 0 for an entry without tokens. Vectors have length 1.

    Row by row (`vecdot`), not by one matrix product: BLAS sums a row differently with its place in the
    matrix, and then two equal texts would not tie.
    """
    scores = np.empty(sum(len(part) for part in candidates), np.float32)
    start = 0
    for part in candidates:
        vectors = part.block.vectors
        if part.rows is None:
            np.vecdot(vectors, query, out=scores[start : start + len(part)])
        else:
            # Gathered in pieces that stay in the cache.
            for first in range(0, len(part.rows), _CHUNK_ROWS):
                rows = part.rows[first : first + _CHUNK_ROWS]
                out = scores[start + first : start + first + len(rows)]
                np.vecdot(vectors.take(rows, axis=0), query, out=out)
        start += len(part)
    return scores.astype(np.float64)


def unit_rows(rows: Vectors) -> Vectors:
    """Rows scaled to length 1 as float32; rows of zeros stay."""
    lengths = np.sqrt(np.vecdot(rows, rows))[:, None]
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
