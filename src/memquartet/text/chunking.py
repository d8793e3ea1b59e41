"""Packs utterances into pieces within a token budget; no character is lost, doubled or moved.

An utterance is kept whole where it fits the budget. One that does not is cut after a sentence, else after
a word, else between characters. Every text is counted a few times at most, so that the work grows linearly
with the input, also on one line of 50 MB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from memquartet.errors import ConfigError
from memquartet.text.tokens import default_counter

CountTokens = Callable[[str], int]
Lead = Callable[[str], str]
"""What of an utterance its further parts begin with again when it is cut; "" is nothing."""

# Longer texts are never counted as a whole: tokenizers need many times a text's size in memory.
_COUNTED_WHOLE = 16_384
_LONGEST_ITEM_NUMBER = 10
# A cut this near to the budget is good enough; a closer search costs more counting than it saves.
_FULL = 0.9
# The look-behind starts a match only at the head of a run of dots: without it a long run is quadratic.
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]]*+\s++ | [。！？]++["”’」』）]*+\s*+ | \n++""",  # noqa: RUF001 (Chinese)
    re.VERBOSE,
)
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSize:
    """How much text is read in one go, and by whose count."""

    tokens: int = 512
    count: CountTokens = field(default_factory=lambda: default_counter().count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The utterance at place `index` of the input, or a part of it; parts follow one another.

    `lead` stands in front of a further part where that part begins a pack.
    """

    index: int
    text: str
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Consecutive pieces that are read in one go."""

    pieces: tuple[Piece, ...]

    def text(self, separator: str = "\n") -> str:
        """The utterances, joined; parts of one utterance follow one another without a separator."""
        texts = [self.pieces[0].lead, self.pieces[0].text]
        for before, piece in pairwise(self.pieces):
            texts += [separator, piece.text] if piece.index != before.index else [piece.text]
        return "".join(texts)


class _Part(NamedTuple):
    """A text that fits the budget, with its count (lead included) and the utterance it belongs to."""

    text: str
    tokens: int
    utterance: int = 0
    lead: str = ""


def pack(
    utterances: Iterable[str],
    *,
    budget: int,
    count: CountTokens,
    separator: str = "\n",
    lead: Lead = lambda _: "",
) -> Iterator[Pack]:
    """Fill packs greedily in order, each within `budget` tokens, separators and leads included.

    A single character that is over the budget stands alone. A lead that would fill half of the budget is left
    out. Utterances are taken one by one, as needed.

    Raises:
        ConfigError: `budget` < 1.
    """
    _check(budget)
    parts = (
        part._replace(utterance=index)
        for index, utterance in enumerate(utterances)
        for part in _split(utterance, budget, count, lead)
    )
    return (
        Pack(pieces=tuple(Piece(index=part.utterance, text=part.text, lead=part.lead) for part in group))
        for group, _ in _groups(parts, budget, count, separator)
    )


def split_text(text: str, *, budget: int, count: CountTokens) -> list[str]:
    """Cut one text into consecutive parts within `budget` tokens; joined they are the text again.

    An empty text is one empty part.

    Raises:
        ConfigError: `budget` < 1.
    """
    _check(budget)
    return [part.text for part in _split(text, budget, count, lambda _: "")]


def _check(budget: int) -> None:
    if budget < 1:
        raise ConfigError(f"a chunk needs a budget of at least 1 token, got {budget}")


def _split(text: str, budget: int, count: CountTokens, lead: Lead) -> Iterator[_Part]:
    if len(text) <= _COUNTED_WHOLE:
        tokens = count(text)
        if tokens <= budget:
            yield _Part(text, tokens)
            return
    again = lead(text)
    # Two tokens to spare: the first word behind the lead may fall into more of them.
    room = count(again) + 2 if again else 0
    if 2 * room > budget:
        again, room = "", 0
    parts = _groups(_sentence_parts(text, budget - room, count), budget - room, count, "")
    for number, (group, tokens) in enumerate(parts):
        part = "".join(one.text for one in group)
        if again and number:
            yield _Part(part, count(again + part), lead=again)
        else:
            yield _Part(part, tokens)


def _groups(
    parts: Iterable[_Part], budget: int, count: CountTokens, separator: str
) -> Iterator[tuple[list[_Part], int]]:
    """Runs of parts within the budget, with the count of each; the sum of the parts' counts guides."""
    between = count(separator) if separator else 0
    held: list[_Part] = []
    used = 0
    for part in parts:
        while held and used + between + part.tokens > budget:
            number, tokens = _fitting(held, budget, count, separator)
            yield held[:number], tokens
            held = held[number:]
            used = sum(one.tokens for one in held) + between * max(len(held) - 1, 0)
        used += part.tokens + (between if held else 0)
        held.append(part)
    while held:
        number, tokens = _fitting(held, budget, count, separator)
        yield held[:number], tokens
        held = held[number:]


def _fitting(held: list[_Part], budget: int, count: CountTokens, separator: str) -> tuple[int, int]:
    """How many of the first parts fit together; a joined text can count a few tokens more than its parts."""
    for number in range(len(held), 1, -1):
        tokens = count(held[0].lead + separator.join(part.text for part in held[:number]))
        if tokens <= budget:
            return number, tokens
    return 1, held[0].tokens


def _sentence_parts(text: str, budget: int, count: CountTokens) -> Iterator[_Part]:
    """Sentences with their counts; one that is over the budget comes as several parts."""
    for sentence in sentences(text):
        tokens = count(sentence) if len(sentence) <= _COUNTED_WHOLE else budget + 1
        if tokens <= budget:
            yield _Part(sentence, tokens)
        else:
            yield from _word_parts(sentence, budget, count)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; joined they are the text again."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        # The number of a list item ("12. Ann lives in Leeds.") stays with the item.
        if match.start() - start < _LONGEST_ITEM_NUMBER and text[start : match.start()].isdigit():
            continue
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _word_parts(text: str, budget: int, count: CountTokens) -> Iterator[_Part]:
    """Cut at the last white space of the longest prefix that fits, else at its end."""
    start, guess = 0, budget
    while start < len(text):
        fits = _longest_prefix(text, start, budget, count, guess)
        part = text[start : start + fits]
        if start + fits < len(text):
            space = _LAST_SPACE.search(part)
            part = part[: space.end()] if space else part
        yield _Part(part, count(part))
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
