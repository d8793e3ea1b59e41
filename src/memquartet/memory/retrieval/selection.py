"""The best of the scored candidates, with ties broken the same way wherever an entry lies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.retrieval.candidates import Candidates

Positions = NDArray[np.intp]


def best(
    candidates: Sequence[Candidates], scores: NDArray[np.float64], eligible: Positions, top_k: int
) -> list[tuple[int, str]]:
    """Positions in `scores` and entry ids of the `top_k` best, best first.

    Ties go to the entry changed last, then to the smaller id ("m9" before "m10").

    Args:
        candidates: blocks of candidates, in the order in which they were scored.
        scores: a score for each candidate, higher is better.
        eligible: positions that may be returned.
        top_k: at least 1.
    """
    updated = np.concatenate([part.pick(part.block.updated) for part in candidates])
    ends = list(accumulate(len(part) for part in candidates))
    chosen = _top(eligible, scores, top_k)
    if len(chosen) > top_k:
        tied = scores[chosen] == scores[chosen].min()
        sure = chosen[~tied]
        chosen = np.concatenate([sure, _top(chosen[tied], updated, top_k - len(sure))])

    ranked = []
    for at in chosen.tolist():
        number = bisect_right(ends, at)
        part = candidates[number]
        row = at - ends[number] + len(part)
        entry_id = part.block.ids[row if part.rows is None else part.rows[row]]
        ranked.append((-scores[at], -updated[at], len(entry_id), entry_id, at))
    ranked.sort()
    return [(at, entry_id) for *_, entry_id, at in ranked[:top_k]]


def _top(positions: Positions, values: NDArray[np.float64] | NDArray[np.int64], top_k: int) -> Positions:
    """The positions with the `top_k` largest values; more where the last value is shared."""
    if len(positions) <= top_k:
        return positions
    held = values[positions]
    edge = np.partition(held, len(held) - top_k)[len(held) - top_k]
    best_positions: Positions = positions[held >= edge]
    return best_positions
