"""Laws: what a search finds depends on the admitted entries alone, never on how the index came to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memquartet.core.memory import EntryId, MemoryEntry, MemoryType, Scope
from memquartet.memory.protocols import NO_FILTERS, Filters, SearchMethod
from memquartet.memory.retrieval import index as index_module
from memquartet.memory.retrieval.index import Index, Scored

DIM = 8
WORDS = ["tea", "milk", "oslo", "lima", "cat", "run", "2023", "茶", "the"]
USERS = ["alice", "bob"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a block, so that short histories freeze and merge."""
    monkeypatch.setattr(index_module, "HEAD_ROWS", 3)
    monkeypatch.setattr(index_module, "SMALL_ROWS", 4)
    monkeypatch.setattr(index_module, "MAX_MERGED_ROWS", 12)


def vector_of(text: str) -> NDArray[np.float32]:
    """A unit vector that depends on the words; zeros without words."""
    rows = [np.random.default_rng(WORDS.index(word)).standard_normal(DIM) for word in text.split()]
    total = np.sum(rows, axis=0) if rows else np.zeros(DIM)
    length = np.linalg.norm(total)
    return (total / length if length else total).astype(np.float32)


entries = st.builds(
    lambda number, words, user, kind, day, topic: MemoryEntry(
        entry_id=EntryId(str(number)),
        memory_type=kind,
        content=" ".join(words),
        scope=Scope(user_id=user),
        meta={"topic": topic},
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        updated_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day),
    ),
    st.integers(0, 11),
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(USERS),
    st.sampled_from(MemoryType),
    st.integers(0, 2),
    st.sampled_from([1, True, "x", None]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), entries),
        st.tuples(st.just("remove"), st.integers(0, 11)),
        st.tuples(st.sampled_from(["fork", "save"]), st.none()),
    ),
    max_size=40,
)
queries = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
filters = st.sampled_from(
    [
        NO_FILTERS,
        Filters(scope=Scope(user_id="alice")),
        Filters(scope=Scope(user_id="bob"), where={"topic": [1, "x"]}),
        Filters(memory_types=frozenset({MemoryType.EPISODIC}), where={"topic": None}),
    ]
)


@dataclass
class Twin:
    """An index and the plain dict that it must agree with."""

    index: Index = field(default_factory=lambda: Index(DIM))
    entries: dict[str, MemoryEntry] = field(default_factory=dict)

    def add(self, entry: MemoryEntry) -> None:
        self.index.add(entry, vector_of(entry.content))
        self.entries[entry.entry_id] = entry

    def remove(self, entry_id: str) -> None:
        assert self.index.remove(entry_id) == (self.entries.pop(entry_id, None) is not None)

    def rebuilt(self) -> Index:
        fresh = Index(DIM)
        for entry in self.entries.values():
            fresh.add(entry, vector_of(entry.content))
        return fresh


def found(index: Index, query: str, method: SearchMethod, chosen: Filters) -> list[Scored]:
    return index.search(query, vector_of(query), top_k=4, method=method, filters=chosen)


def live(history: list[tuple[str, MemoryEntry | int | None]]) -> list[Twin]:
    """All forks after the history; each step goes to the newest fork but one, so that parents go on writing."""
    twins = [Twin()]
    for action, argument in history:
        twin = twins[max(len(twins) - 2, 0)]
        if action == "add" and isinstance(argument, MemoryEntry):
            twin.add(argument)
        elif action == "remove":
            twin.remove(str(argument))
        elif action == "fork":
            twins.append(Twin(twin.index.fork(), dict(twin.entries)))
        else:
            twin.index = Index.from_bytes(twin.index.to_bytes())
    return twins


@settings(deadline=None)
@given(steps, queries, st.sampled_from(SearchMethod), filters)
def test_every_fork_finds_exactly_what_a_freshly_built_index_finds(
    history: list[tuple[str, MemoryEntry | int | None]], query: str, method: SearchMethod, chosen: Filters
) -> None:
    for twin in live(history):
        assert len(twin.index) == len(twin.entries)
        assert all(entry_id in twin.index for entry_id in twin.entries)
        assert found(twin.index, query, method, chosen) == found(twin.rebuilt(), query, method, chosen)


@settings(deadline=None)
@given(st.lists(entries, max_size=30), queries, st.sampled_from(SearchMethod))
def test_a_users_results_do_not_depend_on_other_users(
    written: list[MemoryEntry], query: str, method: SearchMethod
) -> None:
    everyone, alone = Twin(), Twin()
    owner: dict[str, str | None] = {}
    for entry in written:
        if owner.setdefault(entry.entry_id, entry.scope.user_id) != entry.scope.user_id:
            continue
        everyone.add(entry)
        if entry.scope.user_id == "alice":
            alone.add(entry)
    chosen = Filters(scope=Scope(user_id="alice"))
    assert found(everyone.index, query, method, chosen) == found(alone.index, query, method, chosen)


@settings(deadline=None)
@given(st.lists(entries, max_size=30), queries, filters)
def test_hits_pass_the_filters_are_distinct_and_ordered(
    written: list[MemoryEntry], query: str, chosen: Filters
) -> None:
    twin = Twin()
    for entry in written:
        twin.add(entry)
    hits = found(twin.index, query, SearchMethod.HYBRID, chosen)
    assert len({hit.entry_id for hit in hits}) == len(hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(chosen.scope.admits(twin.entries[hit.entry_id].scope) for hit in hits)
    assert all(0 <= hit.score <= 1 for hit in hits)
