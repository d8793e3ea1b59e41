"""When texts say the same, judged by their words alone: case, punctuation and spacing do not count."""

from __future__ import annotations

from collections.abc import Iterable

from memquartet.text.terms import words

Wording = tuple[str, ...]


def wording(text: str) -> Wording:
    """What two texts with the same words have in common; the stripped text itself when it has no words."""
    return tuple(words(text)) or (text.strip(),)


def says(text: str, value: str) -> bool:
    """Whether the words of `value` stand next to each other in `text`; a value without words is never said."""
    wanted = words(value)
    found = words(text)
    return bool(wanted) and any(
        found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1)
    )


def says_any(text: str, values: Iterable[str]) -> bool:
    """Whether `text` says one of the values."""
    return any(says(text, value) for value in values)
