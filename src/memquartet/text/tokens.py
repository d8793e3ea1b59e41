"""Token counting and cutting behind one protocol, with the bundled 32k BPE tokenizer as the default."""

from __future__ import annotations

import gzip
import re
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

TOKENIZER_FILE = "l2-supercat-tokenizer.json.gz"
# The longest entry of the vocabulary; no token covers more characters.
_MAX_TOKEN_CHARS = 16
# Half of a UTF-16 pair, as broken JSON escapes leave it; the tokenizer refuses such text.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Keep(StrEnum):
    """Which end of a text survives a cut."""

    FIRST = "first"
    """The beginning."""
    LAST = "last"
    """The end."""


class TokenCounter(Protocol):
    """Measures texts in tokens."""

    def count(self, text: str) -> int:
        """Number of tokens, without special tokens; 0 for ""."""
        ...

    def truncate(self, text: str, budget: int, keep: Keep = Keep.FIRST) -> str:
        """The longest piece at one end of the text that `count` puts at `budget` tokens or fewer."""
        ...


class BpeTokenCounter:
    """Counts with the bundled Llama-2 style tokenizer of 32,000 entries.

    It is loaded on first use, once per process, and may be used from several threads.
    """

    def count(self, text: str) -> int:
        """Number of tokens, without special tokens; 0 for ""."""
        return len(_encode(text)) if text else 0

    def truncate(self, text: str, budget: int, keep: Keep = Keep.FIRST) -> str:
        """The text itself when it fits, else a piece of it at one end; a budget of 0 or less gives "".

        A cut can change how the word at the edge splits, so tokens are given up until the piece fits.
        """
        if budget <= 0 or not text:
            return ""
        # Only so many characters can matter; a 50 MB line is not tokenized whole.
        reach = (budget + 1) * _MAX_TOKEN_CHARS
        near = text[:reach] if keep is Keep.FIRST else text[-reach:]
        offsets = _encode(near).offsets
        if len(offsets) <= budget and len(near) == len(text):
            return text
        for kept in range(min(budget, len(offsets)), 0, -1):
            piece = near[: offsets[kept - 1][1]] if keep is Keep.FIRST else near[offsets[-kept][0] :]
            if self.count(piece) <= budget:
                return piece
        return ""


@cache
def default_counter() -> BpeTokenCounter:
    """The process's shared counter."""
    return BpeTokenCounter()


@cache
def bundled_tokenizer() -> Tokenizer:
    """The bundled tokenizer, loaded once (about 50 ms). It has no special tokens: "</s>" is plain text."""
    from tokenizers import Tokenizer

    packed = files("memquartet.text").joinpath("data", TOKENIZER_FILE).read_bytes()
    tokenizer: Tokenizer = Tokenizer.from_str(gzip.decompress(packed).decode("utf-8"))
    return tokenizer


def _encode(text: str) -> Encoding:
    readable = text if text.isascii() else _SURROGATE.sub("\ufffd", text)
    return bundled_tokenizer().encode(readable, add_special_tokens=False)
