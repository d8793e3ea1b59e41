"""Recall of recommended movies: titles in a reply, matched to a catalogue by edit distance (MemoryAgentBench).

The official code breaks ties between equally near titles at random (it enumerates a set of texts); here the title
with the lowest id wins, so that a score can be repeated.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from pydantic_core import from_json

from memquartet.errors import ConfigError, InputError, MissingExtraError

_PARENTHESES = re.compile(r"\([^()]*\)")
_NUMBER = re.compile(r"^(?:\d+[.)、]?\s*[-—–]?\s*)?")
_SEPARATORS = str.maketrans("_->", "   ")
_FARTHEST = 10
"""The deepest cut-off of the metrics: later titles of a reply are not matched."""
_LONGEST_TITLE = 500


def recommendation_recall(
    prediction: str, movies: Sequence[str], catalogue: Mapping[int, str], k: int
) -> float:
    """The share of the wanted movies among the first `k` titles of a reply, in [0, 1].

    The list begins at the first "1."; a reply without one is split at commas and line ends. `movies` are ids as texts;
    two ids of one title count as one another. An empty line is a title too, as officially: it takes a place.

    Raises:
        ConfigError: an id is not in the catalogue, or there is none, or `k` is not within 1 to 10.
        MissingExtraError: rapidfuzz is not installed.
    """
    if not 1 <= k <= _FARTHEST:
        raise ConfigError(f"the cut-off of the recall must be within 1 and {_FARTHEST}, got {k}")
    try:
        wanted = [catalogue[int(movie)] for movie in movies]
    except (KeyError, ValueError):
        raise ConfigError(f"the answers {list(movies)!r} are not all ids of the catalogue") from None
    if not wanted:
        raise ConfigError("a recommendation needs at least one wanted movie")
    titles = tuple(dict.fromkeys(catalogue.values()))
    found = {_nearest(title, titles) for title in _titles(prediction)[:k]}
    return sum(title in found for title in wanted) / len(wanted)


@lru_cache(maxsize=2)
def load_catalogue(path: Path) -> Mapping[int, str]:
    """Titles by id, in the order of ids, out of entity2id.json, plain or gzip: DBpedia addresses with their ids.

    Raises:
        InputError: the file cannot be read or does not map texts to integers.
    """
    try:
        raw = path.read_bytes()
        entries = from_json(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: expected JSON that maps movies to ids: {error}") from error
    if not isinstance(entries, dict) or not all(isinstance(one, int) for one in entries.values()):
        raise InputError(f"{path}: expected a JSON object that maps movies to integer ids")
    return {number: _title(name) for name, number in sorted(entries.items(), key=lambda entry: entry[1])}


def _title(name: str) -> str:
    """The title in an address like <http://dbpedia.org/resource/The_Matrix_(film)>."""
    last = name.rsplit("/", 1)[-1].translate(_SEPARATORS)
    return " ".join(_PARENTHESES.sub("", last).split())


def _titles(prediction: str) -> list[str]:
    _, numbered, listed = prediction.partition("1.")
    lines = (listed if numbered else prediction.replace(",", "\n")).split("\n")
    return [
        " ".join(_NUMBER.sub("", _PARENTHESES.sub("", line.strip())).split())[:_LONGEST_TITLE]
        for line in lines
    ]


@lru_cache(maxsize=4096)
def _nearest(title: str, titles: tuple[str, ...]) -> str:
    try:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import extractOne
    except ImportError as error:
        raise MissingExtraError(
            "titles are matched by edit distance: pip install 'memquartet[eval]'"
        ) from error
    nearest = extractOne(title.lower(), titles, scorer=Levenshtein.distance, processor=str.lower)
    assert nearest is not None  # there are titles, and no score limit
    return str(nearest[0])
