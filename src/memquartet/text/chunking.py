"""Packs utterances into pieces within a token budget; no character is lost, doubled or moved.

An utterance is kept whole where it fits the budget. One that does not is cut after a sentence, else after
a word, else between characters. Text is counted about once when it has sentences and about three times
when it has none, so that the work grows linearly with the input, also on one line of 50 MB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from memquartet.errors import ConfigError

CountTokens = Callable[[str], int]

# Longer texts are never counted as a whole: tokenizers need many times a text's size in memory.
_COUNTED_WHOLE = 16_384
# A cut this near to the budget is good enough; a closer search costs more counting than it saves.
_FULL = 0.9
# The look-behind starts a match only at the head of a run of dots: without it a long run is quadratic.
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]]*+\s++ | [。！？]++["”’」』）]*+\s*+ | \n++""",  # noqa: RUF001 (Chinese)
    re.VERBOSE,
)
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The utterance at place `index` of the input, or a part of it; parts follow one another."""

    index: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Consecutive pieces that are read in one go."""

    pieces: tuple[Piece, ...]

    def text(self, separator: str = "\n") -> str:
        """The pieces, joined."""
        return separator.join(piece.text for piece in self.pieces)


def pack(
    utterances: Iterable[str], *, budget: int, count: CountTokens, separator: str = "\n"
) -> Iterator[Pack]:
    """Fill packs greedily in order, each within `budget` tokens, separators included.

    The parts' counts are added up, so the budget holds for every counter with
    count(a + b) ≤ count(a) + count(b). A single character that is over the budget stands alone.

    Raises:
        ConfigError: `budget` < 1.
    """
    _check(budget)
    return _fill(utterances, budget, count, count(separator) if separator else 0)


def split_text(text: str, *, budget: int, count: CountTokens) -> list[str]:
    """Cut one text into consecutive parts within `budget` tokens; joined they are the text again.

    An empty text is one empty part.

    Raises:
        ConfigError: `budget` < 1.
    """
    _check(budget)
    return [part for part, _ in _split(text, budget, count)]


def _check(budget: int) -> None:
    if budget < 1:
        raise ConfigError(f"a chunk needs a budget of at least 1 token, got {budget}")


def _fill(utterances: Iterable[str], budget: int, count: CountTokens, between: int) -> Iterator[Pack]:
    pieces: list[Piece] = []
    used = 0
    for index, utterance in enumerate(utterances):
        for text, tokens in _split(utterance, budget, count):
            if pieces and used + between + tokens > budget:
                yield Pack(pieces=tuple(pieces))
                pieces, used = [], 0
            used += tokens + (between if pieces else 0)
            pieces.append(Piece(index=index, text=text))
    if pieces:
        yield Pack(pieces=tuple(pieces))


def _split(text: str, budget: int, count: CountTokens) -> Iterator[tuple[str, int]]:
    if len(text) <= _COUNTED_WHOLE:
        tokens = count(text)
        if tokens <= budget:
            yield text, tokens
            return
    held: list[str] = []
    used = 0
    for part, tokens in _sentence_parts(text, budget, count):
        if held and used + tokens > budget:
            yield "".join(held), used
            held, used = [], 0
        held.append(part)
        used += tokens
    yield "".join(held), used


def _sentence_parts(text: str, budget: int, count: CountTokens) -> Iterator[tuple[str, int]]:
    """Sentences with their counts; one that is over the budget comes as several parts."""
    for sentence in _sentences(text):
        tokens = count(sentence) if len(sentence) <= _COUNTED_WHOLE else budget + 1
        if tokens <= budget:
            yield sentence, tokens
        else:
            yield from _word_parts(sentence, budget, count)


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for match in _SENTENCE_END.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _word_parts(text: str, budget: int, count: CountTokens) -> Iterator[tuple[str, int]]:
    """Cut at the last white space of the longest prefix that fits, else at its end."""
    start, guess = 0, budget
    while start < len(text):
        fits = _longest_prefix(text, start, budget, count, guess)
        part = text[start : start + fits]
        if start + fits < len(text):
            space = _LAST_SPACE.search(part)
            part = part[: space.end()] if space else part
        yield part, count(part)
        start, guess = start + len(part), fits


def _longest_prefix(text: str, start: int, budget: int, count: CountTokens, guess: int) -> int:
    """Characters from `start` that fit the budget, within a tenth of the most; at least 1.

    The next length tried is interpolated from the last count and every second time halved, so that a
    counter of any shape ends the search.
    """
    left = len(text) - start
    fits, too_long = 0, left + 1
    size = min(guess, left)
    halve = False
    while True:
        tokens = count(text[start : start + size])
        if tokens <= budget:
            fits = size
            if tokens >= _FULL * budget:
                return fits
        else:
            too_long = size
        if too_long - fits <= 1:
            return max(fits, 1)
        wanted = (fits + too_long) // 2 if halve else int(size * 0.97 * budget / max(tokens, 1))
        if too_long > left:
            wanted = min(wanted, 4 * size)
        size = min(max(wanted, fits + 1), too_long - 1)
        halve = not halve and too_long <= left
