"""Unit vectors, and their exact cosine over the candidates of one search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError
from memquartet.memory.protocols import Embedder, Vectors
from memquartet.memory.retrieval.candidates import Candidates

UNIT_TOLERANCE = 1e-3
"""How far the squared length of a unit vector may be from 1: half-precision models round."""

_CHUNK_ROWS = 1024


def checked_vectors(embedder: Embedder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """A vector for each text, in one call; checked before anything is written, because a journal keeps for good.

    Raises:
        ConfigError: the embedder does not give what `Embedder` promises.
        WorldError: a remote embedder failed.
    """
    if not texts:
        return []
    vectors = np.asarray(embedder.embed(texts), np.float32)
    if vectors.shape != (len(texts), embedder.dim):
        raise ConfigError(
            f"the embedder {embedder.identity!r} gave vectors of shape {vectors.shape} for {len(texts)} texts,"
            f" expected {(len(texts), embedder.dim)}: correct its `embed` or its `dim`"
        )
    squares = np.vecdot(vectors, vectors)
    wrong = squares[(squares != 0) & ~(np.abs(squares - 1) < UNIT_TOLERANCE)]
    if len(wrong):
        raise ConfigError(
            f"the embedder {embedder.identity!r} gave a vector of squared length {wrong[0]},"
            " expected 1, or 0 for a text without tokens: divide each vector by its length"
        )
    return list(vectors)


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
