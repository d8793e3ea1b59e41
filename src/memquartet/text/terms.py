"""Text to words, and words to the stemmed terms that BM25 counts.

Words are found the same way in every language: Unicode letters and digits after NFKC and case folding.
Han runs are segmented by jieba; scripts written without spaces (kana, Thai, Lao, Khmer, Burmese) and
Hangul, whose particles stick to the noun, become overlapping character pairs, so that they can be found
without a dictionary.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache

from memquartet.errors import ConfigError

TERMS_VERSION = 1
"""Raised whenever the same text gives other terms, so that stored indexes are rebuilt."""

MAX_WORD_CHARS = 64
"""Longer words (base64, hashes run together) are cut here: they are never typed as a query."""

STOP_WORDS = frozenset(
    """
    a about am an and any are as at be been being but by can can't could couldn't did didn't do does doesn't
    doing don't for from had hadn't has hasn't have haven't having he he'd he'll he's her hers him his how i i'd
    i'll i'm i've if in into is isn't it it'd it'll it's its just let's me my no nor not of on or our ours she
    she'd she'll she's should shouldn't so some such than that that's the their theirs them then there there's
    these they they'd they'll they're they've this those to too very was wasn't we we'd we'll we're we've were
    weren't what what's when when's where where's which who who's whom whose why will with won't would wouldn't
    you you'd you'll you're you've your yours
    """.split()  # noqa: SIM905  (a block of words reads better than 150 quoted ones)
)
"""English function words. Dropping them lifts evidence recall@10 on LoCoMo turns from .57 to .63."""

_HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PAIRED = (
    "\u3041-\u30ff\u31f0-\u31ff"  # kana
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
)
# Python's \w leaves out combining marks, which would cut Hindi, Tamil, Arabic and Hebrew words apart.
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_LETTER = rf"(?:[^\W_{_HAN}{_PAIRED}]|[{_MARKS}])"
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_WORD = re.compile(
    rf"(?P<han>[{_HAN}]+)|(?P<paired>[{_PAIRED}{_MARKS}]*[{_PAIRED}][{_PAIRED}{_MARKS}]*)|{_LETTER}+(?:'{_LETTER}+)*"
)
_CACHE_WORDS = 200_000


def words(text: str) -> list[str]:
    """The words of a text in reading order, case-folded, punctuation left out; "" gives []."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [word for word, _ in _unicode_words(text)]


def content_words(text: str) -> list[str]:
    """`words` without English function words; all of them when nothing else is left."""
    found = words(text)
    return [word for word in found if word not in STOP_WORDS] or found


def index_terms(text: str, language: str = "english") -> list[str]:
    """The terms under which a text is indexed and searched, in reading order, repeats kept.

    English function words are dropped in English only; in other languages the idf weighs them down.
    A text of function words alone, or of no words, gives [].

    Args:
        text: any text.
        language: a Snowball stemmer's name ("english", "german", …); Han, kana and the like are handled
            alike in all of them.

    Raises:
        ConfigError: there is no stemmer for the language.
    """
    analyzer = _analyzer(language)
    if text.isascii():
        return analyzer.terms_of(_ASCII_WORD.findall(text.lower()))
    terms: list[str] = []
    for word, script in _unicode_words(text):
        if script == "han":
            terms += _segment_han(word)
        elif script == "paired":
            terms += _pairs(word)
        else:
            terms += analyzer.terms_of([word])
    return terms


class _Analyzer:
    """A stemmer with a cache from word to term; "" marks a dropped word."""

    def __init__(self, language: str) -> None:
        import Stemmer

        try:
            self._stemmer = Stemmer.Stemmer(language)
        except KeyError:
            raise ConfigError(
                f"no stemmer for language {language!r}; choose one of: {', '.join(Stemmer.algorithms())}"
            ) from None
        self._stop_words = STOP_WORDS if language == "english" else frozenset()
        self._terms: dict[str, str] = {}
        self._lock = threading.Lock()

    def terms_of(self, found: list[str]) -> list[str]:
        known = self._terms
        try:
            return [term for word in found if (term := known[word])]
        except KeyError:
            return [term for word in found if (term := self._term(word))]

    def _term(self, word: str) -> str:
        term = self._terms.get(word)
        if term is None:
            if word in self._stop_words:
                term = ""
            else:
                # "Melanie's", "l'eau", "o'brien": the longest part carries the meaning.
                stem = max(word.split("'"), key=len)[:MAX_WORD_CHARS]
                with self._lock:  # a Snowball stemmer keeps its work in itself
                    term = "" if stem in self._stop_words else str(self._stemmer.stemWord(stem))
            if len(self._terms) >= _CACHE_WORDS:
                self._terms = {}
            self._terms[word] = term
        return term


@cache
def _analyzer(language: str) -> _Analyzer:
    return _Analyzer(language)


def _unicode_words(text: str) -> list[tuple[str, str]]:
    """Words with their script: "han", "paired" or "" for scripts written with spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return [(match[0], match.lastgroup or "") for match in _WORD.finditer(folded)]


def _segment_han(run: str) -> list[str]:
    import rjieba

    return [str(word) for word in rjieba.cut_for_search(run)]


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(max(len(run) - 1, 1))]
