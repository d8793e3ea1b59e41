"""Two systems on the same questions: how much better one is, and whether that could be chance.

Scores are paired by question. The interval is a percentile bootstrap over the paired differences; p is from a
two-sided sign-flip permutation test of their mean: were the two systems alike, each difference could as well have had
the other sign. Questions count as independent, which those of one conversation are not quite; p of single categories
is not corrected for there being several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError
from memquartet.evals.results import OVERALL, QUESTIONS_SUFFIX, QuestionResult, read_questions

RESAMPLES = 10_000
_BLOCK = 2_000_000
METHOD = f"paired by question; 95 % percentile bootstrap and two-sided sign-flip permutation test, {RESAMPLES:,} draws each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One category: means of A and B over the `n` questions that both answered; `difference` is B - A.

    `low` and `high` are None for fewer than two questions, `p` and the means for none.
    """

    category: str
    n: int
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    better_a: int
    better_b: int

    def as_json(self) -> dict[str, float | int | str | None]:
        """The fields under their names."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A against B. Questions that only one of them has, or that one of them has no score for, are counted apart."""

    name_a: str
    name_b: str
    categories: tuple[Paired, ...]
    unpaired: int
    unscored: int
    pairs: tuple[tuple[QuestionResult, QuestionResult], ...]

    def as_json(self) -> dict[str, object]:
        """Everything but the single questions."""
        return {
            "a": self.name_a,
            "b": self.name_b,
            "method": METHOD,
            "categories": [one.as_json() for one in self.categories],
            "unpaired": self.unpaired,
            "unscored": self.unscored,
        }


def compare(
    a: Sequence[QuestionResult],
    b: Sequence[QuestionResult],
    *,
    name_a: str,
    name_b: str,
    seed: int = 0,
) -> Comparison:
    """Compare two systems over the questions that both have a score for; overall first, then by category.

    Raises:
        ConfigError: they share no question, or one question has different texts, answers or metrics.
    """
    by_id = {(row.sample_id, row.question_id): row for row in b}
    shared = [
        (row, by_id[row.sample_id, row.question_id]) for row in a if (row.sample_id, row.question_id) in by_id
    ]
    if not shared:
        raise ConfigError(
            f"{name_a} and {name_b} have no question in common: compare runs of the same data set"
        )
    for one, other in shared:
        if (one.question, one.gold, one.metric) != (other.question, other.gold, other.metric):
            raise ConfigError(
                f"question {one.question_id!r} of sample {one.sample_id!r} is not the same in {name_a} and {name_b}:"
                " compare runs of the same data set, scored by the same metric"
            )
    pairs = tuple((one, other) for one, other in shared if one.score is not None and other.score is not None)
    names = [OVERALL, *dict.fromkeys(one.category for one, _ in pairs)]
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        categories=tuple(
            _paired(name, [p for p in pairs if name in (OVERALL, p[0].category)], seed) for name in names
        ),
        unpaired=len(a) + len(b) - 2 * len(shared),
        unscored=len(shared) - len(pairs),
        pairs=pairs,
    )


def find_questions(spec: str) -> tuple[str, list[QuestionResult]]:
    """Name and questions of a system, given as `DIR` (of a run with one system) or `DIR:SYSTEM`.

    Raises:
        ConfigError: no such run, or the run has several systems and none is named.
        InputError: the file is not readable.
    """
    folder, system = Path(spec), ""
    if not folder.is_dir():
        head, _, system = spec.rpartition(":")
        folder = Path(head)
    found = systems_in(folder)
    if not system and len(found) == 1:
        system = found[0]
    if system not in found:
        known = (
            ", ".join(f"{folder}:{name}" for name in found) or "none there; run `memquartet eval run` first"
        )
        raise ConfigError(f"no results {spec!r}: {known}")
    return system, read_questions(folder / f"{system}{QUESTIONS_SUFFIX}")


def systems_in(folder: Path) -> list[str]:
    """The systems that a run's folder has results of, in order of their names."""
    return sorted(path.name.removesuffix(QUESTIONS_SUFFIX) for path in folder.glob(f"*{QUESTIONS_SUFFIX}"))


def _paired(category: str, pairs: Sequence[tuple[QuestionResult, QuestionResult]], seed: int) -> Paired:
    a = np.array([one.score for one, _ in pairs], dtype=np.float64)
    b = np.array([other.score for _, other in pairs], dtype=np.float64)
    differences = b - a
    low, high = _interval(differences, seed) if len(pairs) > 1 else (None, None)
    return Paired(
        category=category,
        n=len(pairs),
        mean_a=float(a.mean()) if len(pairs) else None,
        mean_b=float(b.mean()) if len(pairs) else None,
        difference=float(differences.mean()) if len(pairs) else None,
        low=low,
        high=high,
        p=permutation_p(differences, seed=seed) if len(pairs) else None,
        better_a=int((differences < 0).sum()),
        better_b=int((differences > 0).sum()),
    )


def permutation_p(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """The share of sign flips whose mean is at least as far from 0, in (0, 1]; 1 where nothing differs.

    The observed signs count as one of the draws, so that p is never 0.
    """
    changed = np.abs(differences[differences != 0])
    if not len(changed):
        return 1.0
    # Sums of floats in another order differ in their last bits; what is equal must count as equal.
    observed = abs(differences.sum()) * (1 - 1e-12)
    rng = np.random.default_rng(seed)
    as_far = sum(
        int((np.abs(signs @ changed) >= observed).sum())
        for signs in (rng.choice((-1.0, 1.0), size=(n, len(changed))) for n in _blocks(len(changed)))
    )
    return (1 + as_far) / (1 + RESAMPLES)


def _interval(differences: NDArray[np.float64], seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    n = len(differences)
    means = np.concatenate([differences[rng.integers(0, n, (size, n))].mean(axis=1) for size in _blocks(n)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _blocks(width: int) -> Iterator[int]:
    """Numbers of draws that add up to all of them, few enough at a time to stay small in memory."""
    size = max(1, _BLOCK // max(width, 1))
    for start in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - start)
