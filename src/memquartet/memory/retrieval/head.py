"""The newest entries of the index: a short list that is scanned, until it is frozen into a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.protocols import Vectors
from memquartet.memory.retrieval.features import Condition
from memquartet.memory.retrieval.segments import Postings, Row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Answers the same questions as a `Segment`, from rows as they came in. A changed head is a new one."""

    items: tuple[Row, ...] = ()
    dim: int

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, entry_id: str) -> bool:
        return any(row.entry_id == entry_id for row in self.items)

    def with_row(self, row: Row) -> Head:
        """A head that ends in the row."""
        return Head(items=(*self.items, row), dim=self.dim)

    def without(self, entry_id: str) -> Head:
        """A head that lacks the entry."""
        return Head(items=tuple(row for row in self.items if row.entry_id != entry_id), dim=self.dim)

    def admitted(self, condition: Condition) -> Head:
        """A head of the rows that the condition admits."""
        if condition.admits_all:
            return self
        admitted = tuple(row for row in self.items if condition.admits(row.features, row.created))
        return Head(items=admitted, dim=self.dim)

    @property
    def ids(self) -> list[str]:
        """Entry ids by row."""
        return [row.entry_id for row in self.items]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Lengths in terms by row."""
        return np.array([row.length for row in self.items], np.int32)

    @property
    def updated(self) -> NDArray[np.int64]:
        """Last changes in microseconds since 1970 by row."""
        return np.array([row.updated for row in self.items], np.int64)

    @property
    def vectors(self) -> Vectors:
        """Vectors of shape (n, dim)."""
        return np.concatenate([row.vector for row in self.items]).reshape(len(self.items), self.dim)

    def postings(self, terms: Sequence[str]) -> Postings:
        """The posting lists of the terms, numbered in the order given."""
        found = [
            (which, number, count)
            for which, term in enumerate(terms)
            for number, row in enumerate(self.items)
            if (count := row.features.get(term))
        ]
        flat = np.array(found, np.int32).reshape(-1, 3)
        return Postings(which=flat[:, 0], rows=flat[:, 1], counts=flat[:, 2])
