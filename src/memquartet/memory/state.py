"""The short-term memory of a scope: a running text and pinned notes within one token budget.

Notes come first and are never cut; the text gets what they leave and loses its end when it is longer, which
the receipt says. A note that does not fit is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memquartet.core.memory import MemoryState
from memquartet.errors import ConfigError
from memquartet.text.tokens import TokenCounter


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReceipt:
    """The answer to a change of the short-term memory; `cut_tokens` of the given text did not fit."""

    seq: int
    before: MemoryState
    after: MemoryState
    cut_tokens: int = 0


def fit_state(
    text: str, notes: Sequence[str], *, budget: int, counter: TokenCounter
) -> tuple[MemoryState, int]:
    """The state within `budget` tokens, and how many tokens of the text were cut.

    Raises:
        ConfigError: the notes alone are over the budget.
    """
    pinned = sum(counter.count(note) for note in notes)
    if pinned > budget:
        raise ConfigError(
            f"the notes need {pinned} tokens, the short-term memory holds {budget}: shorten or remove a note"
        )
    kept = counter.truncate(text, budget - pinned).rstrip()
    cut = 0 if kept == text else max(1, counter.count(text) - counter.count(kept))
    return MemoryState(text=kept, notes=tuple(notes), budget=budget), cut
