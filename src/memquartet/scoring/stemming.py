"""NLTK's Porter stemmer, which LoCoMo's F1 and ROUGE are defined by."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from memquartet.errors import MissingExtraError

if TYPE_CHECKING:
    from nltk.stem.porter import PorterStemmer


@lru_cache(maxsize=65_536)
def porter_stem(word: str) -> str:
    """The stem of a word.

    Raises:
        MissingExtraError: NLTK is not installed.
    """
    return str(_stemmer().stem(word))


@cache
def _stemmer() -> PorterStemmer:
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise MissingExtraError(
            "this metric needs NLTK's Porter stemmer: pip install 'memquartet[score]'"
        ) from error
    return PorterStemmer()
