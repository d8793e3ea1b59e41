"""Consolidated associative memory without a model, after CAMELoT (arXiv 2402.13449).

CAMELoT keeps M slots, each with a key, a value, a count and an age. What is like a slot is averaged into it; what
is new takes a slot of its own, and when there is none left the one that was not written for longest gives way.
There the keys are those of an attention layer; here they are embeddings of text, and the value of a slot is the
texts that were averaged into it, the newest first, because the average of sentences is not a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociativeSettings:
    """`slots` is M, `threshold` the cosine from which a text is no novelty, `texts` what a slot keeps of them."""

    slots: int = 128
    threshold: float = 0.75
    texts: int = 3

    def __post_init__(self) -> None:
        if self.slots < 1 or self.texts < 1 or not -1 <= self.threshold <= 1:
            raise ConfigError(f"expected slots ≥ 1, texts ≥ 1 and a threshold in [-1, 1], got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot as it stands: how many texts were averaged into its key, and how many writes ago the last was."""

    texts: tuple[str, ...]
    count: int
    age: int


class AssociativeMemory:
    """Slots that texts are consolidated into. Keys are vectors of length 1 from one embedder."""

    def __init__(self, dim: int, settings: AssociativeSettings) -> None:
        self._settings = settings
        # Sums, not averages: the direction is the same, and no rounding adds up.
        self._sums = np.zeros((settings.slots, dim), np.float64)
        self._keys = np.zeros((settings.slots, dim), np.float32)
        self._counts = np.zeros(settings.slots, np.int64)
        self._written = np.zeros(settings.slots, np.int64)
        self._texts: list[tuple[str, ...]] = []
        self._writes = 0

    def __len__(self) -> int:
        return len(self._texts)

    def write(self, text: str, vector: NDArray[np.float32]) -> int:
        """Consolidate a text into the slot most like it, or give it a slot of its own; returns the slot's number."""
        slot = self._nearest(vector)
        if slot is None:
            slot = self._free_slot()
            self._sums[slot] = 0
            self._counts[slot] = 0
            self._texts[slot] = ()
        self._sums[slot] += vector
        norm = float(np.linalg.norm(self._sums[slot]))
        self._keys[slot] = self._sums[slot] / norm if norm > 0 else 0
        self._counts[slot] += 1
        self._texts[slot] = (text, *self._texts[slot])[: self._settings.texts]
        self._writes += 1
        self._written[slot] = self._writes
        return slot

    def read(self, vector: NDArray[np.float32], top_k: int) -> list[Slot]:
        """The slots most like a vector, best first; ties go to the lower number. Reading changes nothing."""
        similar = self._keys[: len(self)] @ vector
        best = np.argsort(-similar, kind="stable")[:top_k]
        return [self.slot(int(number)) for number in best]

    def newest(self) -> list[Slot]:
        """All slots, the last written first."""
        order = np.argsort(-self._written[: len(self)], kind="stable")
        return [self.slot(int(number)) for number in order]

    def slot(self, number: int) -> Slot:
        """One slot."""
        return Slot(
            texts=self._texts[number],
            count=int(self._counts[number]),
            age=self._writes - int(self._written[number]),
        )

    def _nearest(self, vector: NDArray[np.float32]) -> int | None:
        """The most similar slot, if it is similar enough."""
        if not self._texts:
            return None
        similar = self._keys[: len(self)] @ vector
        best = int(np.argmax(similar))
        return best if similar[best] >= self._settings.threshold else None

    def _free_slot(self) -> int:
        """The next unused slot, or the oldest one."""
        if len(self) < self._settings.slots:
            self._texts.append(())
            return len(self) - 1
        return int(np.argmin(self._written))


def joined(slots: Sequence[Slot]) -> tuple[str, ...]:
    """The texts of slots, slot by slot, each slot's oldest first."""
    return tuple(text for slot in slots for text in reversed(slot.texts))
