"""The best of the scored candidates, with ties broken the same way wherever an entry lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.candidates import Candidates


def best(
    candidates: Sequence[Candidates], scores: NDArray[np.float64], eligible: NDArray[np.intp], top_k: int
) -> list[tuple[int, str]]:
    """Positions in `scores` and entry ids of the `top_k` best, best first.

    Ties go to the entry changed last, then to the smaller id.

    Args:
        candidates: blocks of candidates, in the order in which they were scored.
        scores: a score for each candidate, higher is better.
        eligible: positions that may be returned.
        top_k: at least 1.
    """
    chosen = eligible
    if len(chosen) > top_k:
        edge = np.partition(scores[chosen], len(chosen) - top_k)[len(chosen) - top_k]
        chosen = chosen[scores[chosen] >= edge]
    rows, updated = np.empty(len(chosen), np.int64), np.empty(len(chosen), np.int64)
    blocks = np.searchsorted(np.cumsum([len(part) for part in candidates]), chosen, side="right")
    start = 0
    for number, part in enumerate(candidates):
        here = blocks == number
        rows[here] = _rows(part, chosen[here] - start)
        updated[here] = part.block.updated[rows[here]]
        start += len(part)
    # Ids are compared in Python, so only the entries that can still win take part.
    order = np.lexsort((-updated, -scores[chosen]))
    last = order[min(top_k, len(order)) - 1 :][:1]
    order = order[(scores[chosen[order]] > scores[chosen[last]]) | (updated[order] >= updated[last])]
    ranked = sorted(
        (-scores[chosen[at]], -updated[at], candidates[blocks[at]].block.ids[rows[at]], int(chosen[at]))
        for at in order.tolist()
    )
    return [(position, entry_id) for _, _, entry_id, position in ranked[:top_k]]


def _rows(part: Candidates, positions: NDArray[np.intp]) -> NDArray[np.integer]:
    return positions if part.rows is None else part.rows[positions]
