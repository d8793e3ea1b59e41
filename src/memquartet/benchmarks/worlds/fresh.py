"""Fresh words: names and things that no list holds.

A world's lists are short, and a model that lives through thousands of its samples learns them by heart: then it picks
from the list where it should copy what it reads. So a share of the names and values of a sample can be exchanged for
others, drawn anew for each sample: words out of the bundled tokenizer's vocabulary, and names put together from its
pieces. A word belongs to one split by its digest, and none is used that the other split's files know; only a
name put together from pieces may happen to be one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from memquartet.benchmarks.worlds.cards import Cards, Topic
from memquartet.benchmarks.worlds.dialogue_words import DialogueWords
from memquartet.benchmarks.worlds.documents import DocumentWords, Names
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, files_of, split_of_name
from memquartet.text.dates import MONTHS
from memquartet.text.tokens import bundled_tokenizer

_NAME = re.compile(r"(the )?[A-Z][A-Za-z']*( (of |the |and )?[A-Z][A-Za-z']*)*")
_WITH_ARTICLE = re.compile(r"(an?|the) [a-z]+( [a-z]+)?")
_WORD = re.compile(r"[a-z]{4,}")
_SPACE = "▁"
"""How the tokenizer marks the beginning of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """What fresh words are made of: whole capitalised and small words, beginnings and endings of names."""

    names: tuple[str, ...]
    things: tuple[str, ...]
    beginnings: tuple[str, ...]
    endings: tuple[str, ...]


class FreshWords:
    """Draws words for one sample; equal arguments give equal words.

    Args:
        split: whose words.
        share: the probability, from 0 to 1, that a name or value is exchanged.
        random: draws them.
    """

    def __init__(self, split: WorldSplit, share: float, random: Random) -> None:
        self._pieces, self._share, self._random = _pieces(split), share, random

    def cards(self, words: Cards) -> Cards:
        """Cards with a share of their people, values and varieties exchanged."""
        return replace(
            words,
            people=self._exchanged(words.people),
            topics=tuple(self._topic(topic) for topic in words.topics),
        )

    def dialogue(self, words: DialogueWords) -> DialogueWords:
        """Words of a dialogue with a share of their people and values exchanged."""
        return replace(
            words,
            people=self._exchanged(words.people),
            traits=tuple(replace(trait, values=self._exchanged(trait.values)) for trait in words.traits),
        )

    def documents(self, words: DocumentWords) -> DocumentWords:
        """Words of documents with a share of the parts of names and values exchanged; dates and numbers stay."""
        return replace(
            words,
            values={name: self._names(names) for name, names in words.values.items()},
            kinds=tuple(replace(kind, names=self._names(kind.names)) for kind in words.kinds),
        )

    def _topic(self, topic: Topic) -> Topic:
        return replace(
            topic,
            x=self._exchanged(topic.x),
            values=self._exchanged(topic.values),
            parts=tuple(self._topic(part) for part in topic.parts),
        )

    def _names(self, names: Names) -> Names:
        """What has digits or months in it counts something and stays."""
        parts = {part for group in names.parts for part in group}
        if parts & set(MONTHS) or any(any(map(str.isdigit, part)) for part in parts):
            return names
        return replace(names, parts=tuple(self._exchanged(part) for part in names.parts))

    def _exchanged(self, values: Sequence[str]) -> tuple[str, ...]:
        """The values in their order, some of them exchanged, no two alike."""
        found: dict[str, str] = {}
        for value in values:
            other = self._instead_of(value) if self._random.random() < self._share else value
            found.setdefault(other.casefold(), other)
        return tuple(found.values())

    def _instead_of(self, value: str) -> str:
        """Something of the same form: a name for a name, words with an article for such; a time or a phrase stays."""
        if _NAME.fullmatch(value):
            return " ".join(self._name() for _ in value.removeprefix("the ").split()[:2])
        if _WITH_ARTICLE.fullmatch(value):
            article = "the" if value.startswith("the ") else "a"
            return " ".join([article, *(self._thing() for _ in value.split()[1:])])
        return self._thing() if _WORD.fullmatch(value) else value

    def _name(self) -> str:
        random, pieces = self._random, self._pieces
        if random.random() < 0.5:
            return random.choice(pieces.names)
        return random.choice(pieces.beginnings) + random.choice(pieces.endings)

    def _thing(self) -> str:
        return self._random.choice(self._pieces.things)


@cache
def _pieces(split: WorldSplit) -> _Pieces:
    tokens = sorted(bundled_tokenizer().get_vocab())
    whole = {token.removeprefix(_SPACE) for token in tokens if token.startswith(_SPACE)}
    strange = _words_of(next(other for other in WorldSplit if other is not split))
    own = sorted(word for word in whole if split_of_name(word) is split and word.casefold() not in strange)
    return _Pieces(
        # "Where" and "Give" are no names, and their small forms stand in the vocabulary too.
        names=tuple(w for w in own if re.fullmatch(r"[A-Z][a-z]{3,11}", w) and w.lower() not in whole),
        # Without a vowel's sound in front, "a" is the right article.
        things=tuple(w for w in own if re.fullmatch(r"(?!hon|hour|heir)[b-df-hj-np-tv-z][a-z]{3,11}", w)),
        beginnings=tuple(w for w in own if re.fullmatch(r"[A-Z][a-z]{1,4}", w)),
        endings=tuple(t for t in tokens if re.fullmatch(r"[a-z]{2,5}", t) and split_of_name(t) is split),
    )


def _words_of(split: WorldSplit) -> frozenset[str]:
    """Every word in the files of a split, in small letters."""
    texts = (file.read_text(encoding="utf-8") for file in files_of(split))
    return frozenset(word.casefold() for text in texts for word in re.findall(r"[^\W\d_]+", text))
