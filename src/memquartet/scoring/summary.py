"""Many scores to one line: mean, how many, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A mean over `n` scores with its 95 % bootstrap interval; `unscored` more had none.

    `mean` is None when n is 0; `low` and `high` are None when n is below 2.
    """

    mean: float | None
    n: int
    unscored: int
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | int | None]:
        """The fields under their names."""
        return asdict(self)


def summarize(scores: Sequence[float | None], *, seed: int = 0) -> Summary:
    """Mean and percentile bootstrap interval (1,000 resamples, reproducible by `seed`).

    The interval tells how much the mean would move with other questions of the same kind, not with other
    draws of the model.
    """
    values = np.array([value for value in scores if value is not None], dtype=np.float64)
    low = high = None
    if len(values) > 1:
        rng = np.random.default_rng(seed)
        means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
        low, high = (float(bound) for bound in np.percentile(means, [2.5, 97.5]))
    return Summary(
        mean=float(values.mean()) if len(values) else None,
        n=len(values),
        unscored=len(scores) - len(values),
        low=low,
        high=high,
    )
