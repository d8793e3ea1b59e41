"""What the store relies on: embedders and backends, and the filters and methods of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memquartet.core.memory import EVERYWHERE, MemoryType, MetaValue, Scope

Vectors = NDArray[np.float32]
WhereValue = MetaValue | Sequence[MetaValue]
Where = Mapping[str, WhereValue]


class SearchMethod(StrEnum):
    """How entries are ranked."""

    HYBRID = "hybrid"
    """BM25 and embeddings, normalised to [0, 1] and added."""
    BM25 = "bm25"
    """Keywords alone; an entry that shares no term with the query is never returned."""
    EMBEDDING = "embedding"
    """Cosine alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries a search may see; all parts must hold. Applied before ranking, never after top-k.

    `where` maps a meta key to a value or to a list of admitted values. Times are half-open:
    `created_from` ≤ created_at < `created_until`.
    """

    scope: Scope = EVERYWHERE
    memory_types: frozenset[MemoryType] = frozenset(MemoryType)
    where: Where = field(default_factory=dict)
    created_from: datetime | None = None
    created_until: datetime | None = None


NO_FILTERS = Filters()


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def identity(self) -> str:
        """Name, size and version, e.g. "static:l2-supercat-256@1"; stored in the file and compared on opening."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector; 0 means that there are no vectors and search is BM25 alone."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dim), rows of length 1 (all zeros for a text without tokens).

        Raises:
            WorldError: a remote embedder gave no usable reply within the allowed tries.
        """
        ...
