"""The entries that a search may see, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.protocols import Vectors
from memquartet.memory.retrieval.segments import Postings, Rows

_Value = TypeVar("_Value", bound=np.generic)


class Block(Protocol):
    """What a search asks of a segment and of the head."""

    def __len__(self) -> int: ...

    @property
    def ids(self) -> Sequence[str]:
        """Entry ids by row."""
        ...

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Lengths in terms by row."""
        ...

    @property
    def updated(self) -> NDArray[np.int64]:
        """Last changes in microseconds since 1970 by row."""
        ...

    @property
    def vectors(self) -> Vectors:
        """Vectors of shape (n, dim)."""
        ...

    def postings(self, terms: Sequence[str]) -> Postings:
        """The posting lists of the terms, numbered in the order given."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """The admitted, living rows of one block, numbered from 0; `rows` None stands for all of them."""

    block: Block
    rows: Rows | None = None

    def __len__(self) -> int:
        return len(self.block) if self.rows is None else len(self.rows)

    def pick(self, column: NDArray[_Value]) -> NDArray[_Value]:
        """The candidates' part of a column of the block."""
        return column if self.rows is None else column[self.rows]

    def postings(self, terms: Sequence[str]) -> Postings:
        """The terms' posting lists among the candidates, by candidate number."""
        found = self.block.postings(terms)
        if self.rows is None:
            return found
        number_of = np.full(len(self.block), -1, np.int32)
        number_of[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        numbers = number_of[found.rows]
        kept = numbers >= 0
        return Postings(which=found.which[kept], rows=numbers[kept], counts=found.counts[kept])
