"""When texts say the same, judged by their words alone: case, punctuation and spacing do not count."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from memquartet.text.terms import words


@lru_cache(maxsize=8_192)
def wording(text: str) -> str:
    """What two texts with the same words have in common: the words, each with a space on both sides.

    A text without words is its own wording.
    """
    return f" {' '.join(found)} " if (found := words(text)) else text.strip()


def says(text: str, value: str) -> bool:
    """Whether the words of `value` stand next to each other in `text`; a value without words is never said."""
    wanted = wording(value)
    return wanted.startswith(" ") and wanted in wording(text)


def says_any(text: str, values: Iterable[str]) -> bool:
    """Whether `text` says one of the values."""
    return any(says(text, value) for value in values)
