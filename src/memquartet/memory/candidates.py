"""The entries that a search may see, block by block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memquartet.memory.features import Condition
from memquartet.memory.protocols import Vectors
from memquartet.memory.segments import Mask, Postings, Rows


class Block(Protocol):
    """What a search asks of a segment and of the head."""

    def __len__(self) -> int: ...

    @property
    def ids(self) -> tuple[str, ...] | list[str]:
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

    def postings(self, features: Iterable[str]) -> Postings:
        """The posting lists of the features, numbered in the order given."""
        ...

    def select(self, condition: Condition) -> Rows | None:
        """The rows that the condition admits, ascending; None stands for all."""
        ...

    def mask(self, rows: Rows) -> Mask:
        """The rows as a mask over the block."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """The admitted, living rows of one block; `rows` None stands for all of them."""

    block: Block
    rows: Rows | None

    def __len__(self) -> int:
        return len(self.block) if self.rows is None else len(self.rows)

    def pick(self, column: NDArray[np.generic]) -> NDArray[np.generic]:
        """The candidates' part of a column of the block."""
        return column if self.rows is None else column[self.rows]

    def postings(self, terms: Iterable[str]) -> Postings:
        """The terms' posting lists among the candidates; rows are still the block's."""
        found = self.block.postings(terms)
        return found if self.rows is None else found.within(self.block.mask(self.rows))


def select(block: Block, dead: Mask | None, condition: Condition) -> Candidates:
    """The living rows of the block that pass the condition."""
    rows = block.select(condition)
    if dead is not None:
        rows = np.flatnonzero(~dead).astype(np.int32) if rows is None else rows[~dead[rows]]
    return Candidates(block=block, rows=rows)
