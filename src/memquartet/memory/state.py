"""The short-term memory of a scope: a running text and pinned notes within one token budget.

Notes come first and are never cut; the text gets what they leave and loses its end when it is longer, which
the receipt says. A note that does not fit is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memquartet.core.memory import MemoryState
from memquartet.errors import ConfigError
from memquartet.memory.limits import clean_text
from memquartet.text.tokens import TokenCounter

StateEdit = Callable[[MemoryState], tuple[str, Sequence[str]]]
"""From the state as it is to the text and notes that it should have."""


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


def with_note(note: str) -> StateEdit:
    """Pin one more note.

    Raises:
        ConfigError: the note cannot be stored; the edit itself raises when it is there already.
    """
    note = clean_text(note, "the note")

    def edit(state: MemoryState) -> tuple[str, Sequence[str]]:
        if note in state.notes:
            raise ConfigError(f"the note {note!r} is there already")
        return state.text, (*state.notes, note)

    return edit


def without_note(note: str) -> StateEdit:
    """Take a note away.

    Raises:
        ConfigError: no text; the edit itself raises when there is no such note.
    """
    note = clean_text(note, "the note")

    def edit(state: MemoryState) -> tuple[str, Sequence[str]]:
        if note not in state.notes:
            raise ConfigError(f"there is no note {note!r}: the notes are {list(state.notes)!r}")
        return state.text, tuple(kept for kept in state.notes if kept != note)

    return edit
