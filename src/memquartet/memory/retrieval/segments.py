"""Frozen blocks of the index: posting lists over rows, beside the rows' columns.

A posting list is a slice of `rows` and `counts`; rows ascend within it. Segments are never changed, so any
number of forks can share them; what is deleted is said outside, in a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.protocols import Vectors
from memquartet.memory.retrieval.features import Condition, Feature, FilterKey

Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]

NO_ROWS: Rows = np.zeros(0, np.int32)
NO_ROWS.flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One indexed entry: features with counts, length in terms, times in microseconds, unit vector."""

    entry_id: str
    features: dict[Feature, int]
    length: int
    created: int
    updated: int
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postings:
    """The posting lists of several features end to end: `which` feature, in which row, how often."""

    which: NDArray[np.intp] | Rows
    rows: Rows
    counts: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """Columns over n rows. `vocabulary` numbers the features; feature i has the postings starts[i]:starts[i + 1]."""

    ids: tuple[str, ...]
    row_of: dict[str, int]
    vocabulary: dict[Feature, int]
    starts: NDArray[np.int64]
    rows: Rows
    counts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    created: NDArray[np.int64]
    updated: NDArray[np.int64]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    def postings(self, terms: Sequence[str]) -> Postings:
        """The posting lists of the terms, numbered in the order given."""
        found = [
            (which, at) for which, term in enumerate(terms) if (at := self.vocabulary.get(term)) is not None
        ]
        if not found:
            return Postings(which=NO_ROWS, rows=NO_ROWS, counts=NO_ROWS)
        spans = [slice(self.starts[at], self.starts[at + 1]) for _, at in found]
        return Postings(
            which=np.repeat([which for which, _ in found], [span.stop - span.start for span in spans]),
            rows=np.concatenate([self.rows[span] for span in spans]),
            counts=np.concatenate([self.counts[span] for span in spans]),
        )

    def select(self, condition: Condition) -> Rows | None:
        """The rows that the condition admits, ascending; None stands for all."""
        lists = [self._any_of(group) for group in (*zip(condition.required), *condition.groups)]
        # A list as long as the segment admits everything.
        lists = sorted((rows for rows in lists if len(rows) < len(self)), key=len)
        chosen = reduce(self._both, lists) if lists else None
        for limit, keep in ((condition.created_from, np.greater_equal), (condition.created_until, np.less)):
            if limit is not None:
                chosen = np.arange(len(self), dtype=np.int32) if chosen is None else chosen
                chosen = chosen[keep(self.created[chosen], limit)]
        return chosen

    def _any_of(self, group: Sequence[FilterKey]) -> Rows:
        """Rows under one of the keys. A row has one value a key, so the lists share no row."""
        found = [self.vocabulary[key] for key in group if key in self.vocabulary]
        lists = [self.rows[self.starts[at] : self.starts[at + 1]] for at in found]
        if len(lists) == 1:
            return lists[0]
        return np.sort(np.concatenate(lists)) if lists else NO_ROWS

    def _both(self, few: Rows, many: Rows) -> Rows:
        admitted = np.zeros(len(self), np.bool_)
        admitted[many] = True
        return few[admitted[few]]


def freeze(rows: Sequence[Row], dim: int) -> Segment:
    """A segment of the given rows, in their order. Their ids are distinct."""
    lists: dict[Feature, list[tuple[int, int]]] = {}
    for number, row in enumerate(rows):
        for feature, count in row.features.items():
            lists.setdefault(feature, []).append((number, count))
    flat = np.array([pair for pairs in lists.values() for pair in pairs], np.int32).reshape(-1, 2)
    ids = tuple(row.entry_id for row in rows)
    return Segment(
        ids=ids,
        row_of={entry_id: number for number, entry_id in enumerate(ids)},
        vocabulary={feature: number for number, feature in enumerate(lists)},
        starts=_starts(np.array([len(pairs) for pairs in lists.values()], np.int64)),
        rows=np.ascontiguousarray(flat[:, 0]),
        counts=np.ascontiguousarray(flat[:, 1]),
        lengths=np.array([row.length for row in rows], np.int32),
        created=np.array([row.created for row in rows], np.int64),
        updated=np.array([row.updated for row in rows], np.int64),
        vectors=np.concatenate([row.vector for row in rows] or [np.zeros(0, np.float32)]).reshape(
            len(rows), dim
        ),
    )


def merge(parts: Sequence[tuple[Segment, Mask | None]], dim: int) -> Segment:
    """One segment of the living rows of several, in their order; a mask marks the dead, None means all live.

    Linear in the number of postings: each list is copied to its place, nothing is sorted.
    """
    living = [_living(segment, dead) for segment, dead in parts]
    vocabulary: dict[Feature, int] = {}
    numbers = [
        np.array([vocabulary.setdefault(feature, len(vocabulary)) for feature in lists.features], np.int64)
        for lists in living
    ]
    sizes = np.zeros(len(vocabulary), np.int64)
    for lists, number in zip(living, numbers, strict=True):
        sizes[number] += lists.sizes
    starts = _starts(sizes)
    rows = np.empty(starts[-1], np.int32)
    counts = np.empty(starts[-1], np.int32)
    cursor = starts[:-1].copy()
    base = 0
    for lists, number in zip(living, numbers, strict=True):
        shift = cursor[number] - _starts(lists.sizes)[:-1]
        place = np.repeat(shift, lists.sizes) + np.arange(len(lists.rows))
        rows[place] = lists.rows + base
        counts[place] = lists.counts
        cursor[number] += lists.sizes
        base += len(lists.keep)
    picks = [(segment, lists.keep) for (segment, _), lists in zip(parts, living, strict=True)]
    ids = tuple(segment.ids[row] for segment, keep in picks for row in keep.tolist())
    return Segment(
        ids=ids,
        row_of={entry_id: number for number, entry_id in enumerate(ids)},
        vocabulary=vocabulary,
        starts=starts,
        rows=rows,
        counts=counts,
        lengths=np.concatenate([segment.lengths[keep] for segment, keep in picks]),
        created=np.concatenate([segment.created[keep] for segment, keep in picks]),
        updated=np.concatenate([segment.updated[keep] for segment, keep in picks]),
        vectors=np.concatenate([segment.vectors[keep] for segment, keep in picks]).reshape(base, dim),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """The non-empty posting lists of a segment's living rows, which are renumbered from 0."""

    keep: NDArray[np.intp]
    features: list[Feature]
    sizes: NDArray[np.int64]
    rows: Rows
    counts: NDArray[np.int32]


def _living(segment: Segment, dead: Mask | None) -> _Lists:
    if dead is None:
        keep = np.arange(len(segment))
        sizes = np.diff(segment.starts)
        return _Lists(
            keep=keep,
            features=list(segment.vocabulary),
            sizes=sizes,
            rows=segment.rows,
            counts=segment.counts,
        )
    alive = ~dead
    kept = alive[segment.rows]
    sizes = np.diff(_starts(kept)[segment.starts])
    renumbered = np.cumsum(alive, dtype=np.int32) - 1
    features = [feature for feature, size in zip(segment.vocabulary, sizes.tolist(), strict=True) if size]
    return _Lists(
        keep=np.flatnonzero(alive),
        features=features,
        sizes=sizes[sizes > 0],
        rows=renumbered[segment.rows[kept]],
        counts=segment.counts[kept],
    )


def _starts(sizes: NDArray[np.int64] | Mask) -> NDArray[np.int64]:
    """Where lists of these sizes begin, and where the last one ends."""
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return starts
