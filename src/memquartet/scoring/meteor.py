"""METEOR as NLTK computes it, over NLTK's words (WritingPrompts in MemoryBench)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memquartet.errors import MissingExtraError

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader


def meteor(prediction: str, answer: str, *, wordnet: WordNetCorpusReader | None = None) -> float:
    """METEOR with NLTK's parameters (0.9, 3, 0.5), Porter stems and WordNet synonyms, in [0, 1].

    `wordnet` None is NLTK's installed one.

    Raises:
        MissingExtraError: the `eval` extra or NLTK's WordNet data are not installed.
    """
    try:
        from nltk.corpus import wordnet as installed
        from nltk.translate.meteor_score import meteor_score

        return float(meteor_score([_words(answer)], _words(prediction), wordnet=wordnet or installed))
    except ImportError as error:
        raise MissingExtraError("METEOR needs NLTK: pip install 'memquartet[eval]'") from error
    except LookupError as error:
        raise MissingExtraError(
            "METEOR needs the synonyms of WordNet: run `python -m nltk.downloader wordnet`"
        ) from error


def _words(text: str) -> list[str]:
    """As `nltk.word_tokenize`, whose sentence model comes here with its package in place of a download."""
    import punkt
    from nltk.tokenize import NLTKWordTokenizer

    words = NLTKWordTokenizer()
    return [word for sentence in punkt.sent_tokenize(text) for word in words.tokenize(sentence)]
