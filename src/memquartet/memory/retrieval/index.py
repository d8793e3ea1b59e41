"""The search index: exact BM25 and cosine under filters, incremental, with forks that cost nothing.

Log-structured. New entries gather in a short head; a full head is frozen into a segment; segments of similar size
are merged, so that there are few and each entry is copied O(log n) times. Everything is immutable and an `Index`
only points at the current state: a fork copies the pointer, a search in another thread sees the state it started on.
Writers need a lock of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memquartet.core.memory import EntryId, Hit, MemoryEntry
from memquartet.errors import ConfigError
from memquartet.memory.protocols import NO_FILTERS, Filters, SearchMethod
from memquartet.memory.retrieval.candidates import Candidates
from memquartet.memory.retrieval.features import compile_filters, entry_features, micros
from memquartet.memory.retrieval.fusion import DEFAULT_RANKING, Ranking, Scores, fuse, min_max
from memquartet.memory.retrieval.head import Head
from memquartet.memory.retrieval.lexical import bm25
from memquartet.memory.retrieval.segments import Mask, Row, Rows, Segment, freeze, merge
from memquartet.memory.retrieval.selection import best
from memquartet.memory.retrieval.snapshot import Snapshot, pack, unpack
from memquartet.memory.retrieval.vectors import UNIT_TOLERANCE, cosine
from memquartet.text.terms import index_terms

HEAD_ROWS = 32
"""A head of this size is frozen: scanning it still costs less than a segment more."""
SMALL_ROWS = 512
"""A segment up to this size takes in whatever follows it: copying it costs less than searching one more."""
MAX_MERGED_ROWS = 65_536
"""Segments are not merged beyond this size, which bounds the longest pause of an `add`."""

COMMON, FEW = 0.2, 10
"""A word that a larger share of the entries has, and more than a few, does not tell them apart; see `without_common`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A found entry. `score` orders the list; `lexical` and `semantic` are None where they were not computed."""

    entry_id: EntryId
    score: float
    lexical: float | None = None
    semantic: float | None = None

    def hit(self, entry: MemoryEntry) -> Hit:
        """The same with the entry itself."""
        return Hit(entry=entry, score=self.score, lexical=self.lexical, semantic=self.semantic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """A segment with its dead rows marked; `dead` None means that all live."""

    segment: Segment
    dead: Mask | None = None
    living: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    parts: tuple[_Part, ...] = ()
    head: Head

    def __len__(self) -> int:
        return sum(part.living for part in self.parts) + len(self.head)


class Index:
    """Finds entries by keywords, by meaning, or by both.

    Args:
        dim: length of the vectors; 0 for an index without them.
        language: of the stemmer, see `memquartet.text.terms.index_terms`.
        ranking: parameters of scoring; not part of what is saved.
    """

    def __init__(self, dim: int, *, language: str = "english", ranking: Ranking = DEFAULT_RANKING) -> None:
        if dim < 0:
            raise ConfigError(f"dim must be at least 0; got {dim}")
        index_terms("", language)  # an unknown language is refused here, not at the first entry
        self._dim = dim
        self._language = language
        self._ranking = ranking
        self._state = _State(head=Head(dim=dim))

    def __len__(self) -> int:
        return len(self._state)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._state.head or any(_holds(part, entry_id) for part in self._state.parts)

    @property
    def dim(self) -> int:
        """Length of the vectors; 0 when there are none."""
        return self._dim

    @property
    def language(self) -> str:
        """The language of the stemmer."""
        return self._language

    def add(self, entry: MemoryEntry, vector: NDArray[np.float32] | None = None) -> None:
        """Make an entry findable; an older version of it is replaced.

        Args:
            entry: the entry as it now stands.
            vector: of shape (dim,) and length 1; None or zeros for a text without tokens.

        Raises:
            ConfigError: a meta value that cannot be indexed, a time without zone, or a vector that does
                not fit; the index is unchanged.
        """
        features, length = entry_features(entry, self._language)
        row = Row(
            entry_id=entry.entry_id,
            features=features,
            length=length,
            created=micros(entry.created_at, "created_at"),
            updated=micros(entry.updated_at, "updated_at"),
            vector=self._checked(vector),
        )
        state = _without(self._state, entry.entry_id)
        head = state.head.with_row(row)
        if len(head) < HEAD_ROWS:
            self._state = replace(state, head=head)
        else:
            part = _Part(segment=freeze(head.items, self._dim), living=len(head))
            self._state = _State(parts=_merged((*state.parts, part), self._dim), head=Head(dim=self._dim))

    def remove(self, entry_id: str) -> bool:
        """Forget an entry; False when it was not there."""
        state = _without(self._state, entry_id)
        found = state is not self._state
        self._state = state
        return found

    def search(
        self,
        query: str,
        vector: NDArray[np.float32] | None = None,
        *,
        top_k: int = 10,
        method: SearchMethod = SearchMethod.HYBRID,
        filters: Filters = NO_FILTERS,
    ) -> list[Scored]:
        """The best entries among those that the filters admit, best first.

        Ties go to the entry changed last, then to the smaller id. A hybrid search uses the side it has: without
        terms in the query the vectors alone, without a vector the terms alone; with neither it finds nothing.
        A search by keywords never returns an entry that shares no term with the query.

        Args:
            query: the words to look for.
            vector: the query's vector, shape (dim,); None or zeros when there is none.
            top_k: the most entries to return, at least 1.
            method: how to rank.
            filters: which entries may be seen; statistics are taken over these alone.

        Raises:
            ConfigError: top_k below 1, a filter or a vector that cannot be, or EMBEDDING in an index without vectors.
        """
        if top_k < 1:
            raise ConfigError(f"top_k must be at least 1; got {top_k}")
        if method is SearchMethod.EMBEDDING and not self._dim:
            raise ConfigError(
                "this index has no vectors; search by bm25, or open the memory with an embedder"
            )
        terms = (
            Counter(index_terms(query, self._language)) if method is not SearchMethod.EMBEDDING else Counter()
        )
        direction = self._checked(vector) if method is not SearchMethod.BM25 else None
        if direction is not None and not direction.any():
            direction = None
        candidates = _candidates(self._state, filters)
        if not candidates or (not terms and direction is None):
            return []
        lexical = bm25(candidates, terms, self._ranking.k1, self._ranking.b) if terms else None
        semantic = cosine(candidates, direction) if direction is not None else None
        scores = self._scores(lexical, semantic, method)
        eligible = (
            np.arange(len(scores)) if lexical is None or semantic is not None else np.flatnonzero(lexical)
        )
        return [
            Scored(
                entry_id=EntryId(entry_id),
                score=float(scores[at]),
                lexical=None if lexical is None else float(lexical[at]),
                semantic=None if semantic is None else float(semantic[at]),
            )
            for at, entry_id in best(candidates, scores, eligible, top_k)
        ]

    def without_common(self, query: str, filters: Filters = NO_FILTERS) -> str:
        """The query without the words that more than a fifth of the admitted entries have, such as a speaker's name.

        A word that at most ten have stays, and the query is itself where no word with a meaning would be left.
        """
        words = query.split()
        said = {word: index_terms(word, self._language) for word in words}
        terms = list(dict.fromkeys(term for found in said.values() for term in found))
        candidates = _candidates(self._state, filters)
        holders = np.zeros(len(terms), np.int64)
        for part in candidates:
            holders += np.bincount(part.postings(terms).which, minlength=len(terms))
        most = max(FEW, COMMON * sum(map(len, candidates)))
        common = {term for term, count in zip(terms, holders, strict=True) if count > most}
        kept = [word for word in words if not said[word] or not common.issuperset(said[word])]
        return " ".join(kept) if any(said[word] for word in kept) else query

    def fork(self) -> Index:
        """An index with the same entries; from here on each goes its own way. Costs about a microsecond."""
        child = object.__new__(Index)
        child.__dict__.update(self.__dict__)
        return child

    def to_bytes(self) -> bytes:
        """The whole index as bytes that `from_bytes` reads, on any machine; dead rows are left out."""
        parts = [(part.segment, part.dead) for part in self._state.parts]
        if len(self._state.head) or not parts:
            parts.append((freeze(self._state.head.items, self._dim), None))
        segment = parts[0][0] if len(parts) == 1 and parts[0][1] is None else merge(parts, self._dim)
        return pack(Snapshot(dim=self._dim, language=self._language, segment=segment))

    @classmethod
    def from_bytes(cls, data: bytes, *, ranking: Ranking = DEFAULT_RANKING) -> Index:
        """The index that `to_bytes` wrote; it finds what the other one found.

        Raises:
            StoreError: the bytes are damaged.
            StoreVersionError: another version of the format or of the text analysis wrote them; build the
                index again from the entries.
        """
        snapshot = unpack(data)
        index = cls(snapshot.dim, language=snapshot.language, ranking=ranking)
        if len(snapshot.segment):
            part = _Part(segment=snapshot.segment, living=len(snapshot.segment))
            index._state = _State(parts=(part,), head=Head(dim=snapshot.dim))
        return index

    def _checked(self, vector: NDArray[np.float32] | None) -> NDArray[np.float32]:
        if vector is None:
            return np.zeros(self._dim, np.float32)
        if vector.shape != (self._dim,):
            raise ConfigError(f"a vector has shape {vector.shape}; this index takes ({self._dim},)")
        given = np.array(vector, np.float32)
        square = float(np.vecdot(given, given))
        if self._dim and square and not abs(square - 1) < UNIT_TOLERANCE:
            raise ConfigError(
                f"a vector has the squared length {square}; expected 1, or 0 for a text without tokens"
            )
        return given

    def _scores(self, lexical: Scores | None, semantic: Scores | None, method: SearchMethod) -> Scores:
        if lexical is not None and semantic is not None:
            return fuse(lexical, semantic, self._ranking)
        only = lexical if lexical is not None else semantic
        assert only is not None  # the caller returned before when both sides are missing
        return min_max(only) if method is SearchMethod.HYBRID else only


def _holds(part: _Part, entry_id: str) -> bool:
    row = part.segment.row_of.get(entry_id)
    return row is not None and (part.dead is None or not part.dead[row])


def _without(state: _State, entry_id: str) -> _State:
    """The state without the entry; the same object when it was not there."""
    if entry_id in state.head:
        return replace(state, head=state.head.without(entry_id))
    for number, part in enumerate(state.parts):
        if _holds(part, entry_id):
            left = _bury(part, part.segment.row_of[entry_id], state.head.dim)
            return replace(state, parts=(*state.parts[:number], *left, *state.parts[number + 1 :]))
    return state


def _bury(part: _Part, row: int, dim: int) -> tuple[_Part, ...]:
    """The part with one row more dead; rebuilt when half of it is dead, gone when all of it is."""
    living = part.living - 1
    if not living:
        return ()
    dead = np.zeros(len(part.segment), np.bool_) if part.dead is None else part.dead.copy()
    dead[row] = True
    if living * 2 < len(dead):
        return (_Part(segment=merge([(part.segment, dead)], dim), living=living),)
    return (_Part(segment=part.segment, dead=dead, living=living),)


def _merged(parts: tuple[_Part, ...], dim: int) -> tuple[_Part, ...]:
    """The parts, the newest ones merged where they are small or more than half as large as the one before."""
    cut = len(parts) - 1
    living = parts[cut].living
    while cut:
        before = parts[cut - 1].living
        if before > max(2 * living, SMALL_ROWS) or before + living > MAX_MERGED_ROWS:
            break
        cut -= 1
        living += before
    if cut == len(parts) - 1:
        return parts
    segment = merge([(part.segment, part.dead) for part in parts[cut:]], dim)
    return (*parts[:cut], _Part(segment=segment, living=living))


def _candidates(state: _State, filters: Filters) -> list[Candidates]:
    condition = compile_filters(filters)
    found = [_living(part, part.segment.select(condition)) for part in state.parts]
    found.append(Candidates(block=state.head.admitted(condition)))
    return [part for part in found if len(part)]


def _living(part: _Part, rows: Rows | None) -> Candidates:
    if part.dead is not None:
        rows = np.flatnonzero(~part.dead).astype(np.int32) if rows is None else rows[~part.dead[rows]]
    return Candidates(block=part.segment, rows=rows)
