from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from memquartet.core.memory import EntryId, MemoryEntry, MemoryType, Meta, Scope
from memquartet.errors import ConfigError, StoreError, StoreVersionError
from memquartet.memory.embedders import StaticEmbedder
from memquartet.memory.protocols import Filters, SearchMethod
from memquartet.memory.retrieval.fusion import Ranking
from memquartet.memory.retrieval.index import Index

START = datetime(2024, 1, 1, tzinfo=UTC)
EMBEDDER = StaticEmbedder()


def entry(
    entry_id: str,
    content: str,
    *,
    user: str | None = "alice",
    memory_type: MemoryType = MemoryType.SEMANTIC,
    day: int = 0,
    meta: Meta | None = None,
) -> MemoryEntry:
    time = START + timedelta(days=day)
    return MemoryEntry(
        entry_id=EntryId(entry_id),
        memory_type=memory_type,
        content=content,
        scope=Scope(user_id=user),
        meta=meta or {},
        created_at=time,
        updated_at=time,
    )


def build(*entries: MemoryEntry, dim: int = 256) -> Index:
    index = Index(dim)
    for one in entries:
        index.add(one, EMBEDDER.embed([one.content])[0] if dim else None)
    return index


def ids(index: Index, query: str, **options: object) -> list[str]:
    vector = EMBEDDER.embed([query])[0] if index.dim else None
    return [hit.entry_id for hit in index.search(query, vector, **options)]  # type: ignore[arg-type]  # test shorthand


def test_a_keyword_or_a_meaning_finds_the_entry() -> None:
    index = build(
        entry("1", "Alice adopted a greyhound called Biscuit"),
        entry("2", "The quarterly report is due on Friday"),
        entry("3", "She plays the cello in an orchestra"),
    )
    assert ids(index, "greyhounds")[0] == "1"
    assert ids(index, "musical instrument", method=SearchMethod.EMBEDDING)[0] == "3"
    assert ids(index, "musical instrument", method=SearchMethod.BM25) == []


def test_bm25_scores_are_lucenes_over_the_admitted_candidates() -> None:
    contents = ["red apple", "red red pear tree", "green pear"]
    index = build(
        *(entry(str(n), text) for n, text in enumerate(contents)), entry("x", "red red", user="bob"), dim=0
    )
    hits = index.search("red pear", method=SearchMethod.BM25, filters=Filters(scope=Scope(user_id="alice")))
    lengths, average = [2, 4, 2], 8 / 3
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {}
    for number, text in enumerate(contents):
        counts = Counter(text.split())
        brake = 1.2 * (1 - 0.75 + 0.75 * lengths[number] / average)
        expected[str(number)] = sum(idf * counts[t] / (counts[t] + brake) for t in ("red", "pear"))
    assert {hit.entry_id: hit.lexical for hit in hits} == pytest.approx(expected)


def test_a_keyword_hit_outside_the_vector_top_list_is_found() -> None:
    noise = [entry(f"n{n:03}", f"The weather in the mountains was lovely on walk {n}") for n in range(200)]
    index = build(*noise, entry("needle", "zxqv-77 unlocks nothing of interest whatsoever in general terms"))
    query = "lovely weather walk in the mountains zxqv"
    assert "needle" not in ids(index, query, method=SearchMethod.EMBEDDING, top_k=50)
    assert "needle" in ids(index, query, top_k=5)


def test_words_that_a_fifth_of_the_admitted_entries_has_are_common() -> None:
    names = ["Ann"] * 11 + ["Bea"] * 10
    lines = [entry(f"e{n}", f"{name}: I like number {n}.") for n, name in enumerate(names)]
    index = build(*lines)
    assert index.without_common("Which pet does Ann's sister like?") == "Which pet does sister"
    assert index.without_common("Which pet does Bea like?") == "Which pet does Bea", "ten are few"
    assert index.without_common("Ann like") == "Ann like", "nothing would be left"
    index.remove(EntryId("e0"))
    assert index.without_common("pet of Ann") == "pet of Ann", "what was removed does not count"
    assert Index(256).without_common("Ann") == "Ann"


def test_filters_apply_before_top_k() -> None:
    index = build(
        *(entry(f"b{n}", "coffee in the morning", user="bob") for n in range(300)),
        entry(
            "a", "coffee sometimes", day=3, memory_type=MemoryType.EPISODIC, meta={"topic": "drinks", "n": 1}
        ),
        entry("c", "coffee never", day=9, meta={"topic": "drinks", "n": True}),
    )
    alice = Filters(scope=Scope(user_id="alice"))
    assert set(ids(index, "coffee", top_k=2, filters=alice)) == {"a", "c"}
    assert ids(index, "coffee", filters=replace(alice, memory_types=frozenset({MemoryType.EPISODIC}))) == [
        "a"
    ]
    assert ids(index, "coffee", filters=Filters(where={"n": 1})) == ["a"]
    assert ids(index, "coffee", filters=Filters(where={"n": True})) == ["c"]
    assert set(ids(index, "coffee", filters=Filters(where={"topic": ["drinks", "food"]}))) == {"a", "c"}
    assert ids(index, "coffee", filters=Filters(where={"topic": []})) == []
    assert ids(index, "coffee", filters=Filters(where={"absent": None})) == []
    assert ids(index, "coffee", filters=Filters(memory_types=frozenset())) == []
    day = timedelta(days=1)
    assert ids(index, "coffee", filters=Filters(created_from=START + 9 * day)) == ["c"]
    window = Filters(created_from=START + 3 * day, created_until=START + 9 * day)
    assert ids(index, "coffee", filters=window) == ["a"]


def test_ties_go_to_the_entry_changed_last_then_to_the_smaller_id() -> None:
    same = [entry(f"{n:03}", "tea with milk", day=n // 100) for n in range(300)]
    index = build(*same)
    expected = [f"{n:03}" for n in range(200, 300)] + [f"{n:03}" for n in range(100, 150)]
    for method in SearchMethod:
        assert ids(index, "tea milk", top_k=150, method=method) == expected


def test_adding_an_entry_again_replaces_it() -> None:
    index = build(entry("1", "lives in Oslo"), entry("2", "likes Rome"))
    new = entry("1", "lives in Lima", day=1)
    index.add(new, EMBEDDER.embed([new.content])[0])
    assert len(index) == 2
    assert ids(index, "Oslo", method=SearchMethod.BM25) == []
    assert ids(index, "Lima", method=SearchMethod.BM25) == ["1"]


def test_remove_says_whether_the_entry_was_there() -> None:
    index = build(*(entry(str(n), f"note {n}") for n in range(100)))
    assert index.remove("7")
    assert not index.remove("7")
    assert "7" not in index
    assert "8" in index
    assert len(index) == 99


def test_a_search_uses_the_side_it_has() -> None:
    index = build(entry("1", "Alice knits scarves"), entry("2", "Bob drives trams"))
    vector = EMBEDDER.embed(["who are you"])[0]
    only_vectors = index.search("who are you", vector)
    assert len(only_vectors) == 2
    assert all(hit.lexical is None and hit.semantic is not None for hit in only_vectors)
    only_terms = index.search("scarves", np.zeros(256, np.float32))
    assert [(hit.entry_id, hit.semantic) for hit in only_terms] == [("1", None)]
    assert index.search("who are you") == []
    assert index.search("scarves", vector, method=SearchMethod.BM25)[0].semantic is None


def test_every_entry_that_shares_a_term_is_returned_when_there_are_no_vectors() -> None:
    index = build(entry("1", "tea"), entry("2", "tea and cake and more cake"), dim=0)
    assert ids(index, "tea") == ["1", "2"]


def test_an_empty_index_finds_nothing() -> None:
    assert Index(256).search("anything", EMBEDDER.embed(["anything"])[0]) == []
    assert Index.from_bytes(Index(4).to_bytes()).search("anything") == []


@pytest.mark.parametrize(
    "bad", [{"a": [1]}, {"a": {"b": 1}}, {"a": math.nan}, {"a": math.inf}, {"a": object()}]
)
def test_a_meta_value_that_cannot_be_indexed_names_its_key(bad: dict[str, object]) -> None:
    index = Index(0)
    with pytest.raises(ConfigError, match="meta key 'a'"):
        index.add(entry("1", "text", meta=bad))  # type: ignore[arg-type]  # what a careless caller passes
    assert len(index) == 0


def test_a_bad_search_is_refused() -> None:
    index = build(entry("1", "text"))
    with pytest.raises(ConfigError, match="top_k"):
        index.search("text", top_k=0)
    with pytest.raises(ConfigError, match="meta key 'topic'"):
        index.search("text", filters=Filters(where={"topic": [{"a": 1}]}))  # type: ignore[list-item]  # careless caller
    with pytest.raises(ConfigError, match="time zone"):
        index.search("text", filters=Filters(created_from=datetime(2024, 1, 1)))  # noqa: DTZ001  (what is refused)
    with pytest.raises(ConfigError, match="shape"):
        index.search("text", np.zeros(3, np.float32))
    with pytest.raises(ConfigError, match="no vectors"):
        Index(0).search("text", method=SearchMethod.EMBEDDING)


def test_a_bad_vector_is_refused_and_the_index_unchanged() -> None:
    index = build(entry("1", "text"))
    for bad in (np.full(256, np.nan, np.float32), np.ones(256, np.float32), np.zeros(8, np.float32)):
        with pytest.raises(ConfigError):
            index.add(entry("1", "other"), bad)
    assert ids(index, "text", method=SearchMethod.BM25) == ["1"]


def test_ranking_parameters_are_checked() -> None:
    for bad in ({"k1": -1.0}, {"b": 1.5}, {"lexical_weight": 0.0, "semantic_weight": 0.0}, {"k1": math.nan}):
        with pytest.raises(ConfigError):
            Ranking(**bad)
    with pytest.raises(ConfigError):
        Index(-1)
    with pytest.raises(ConfigError, match="klingon"):
        Index(0, language="klingon")


def test_weights_shift_a_hybrid_ranking() -> None:
    contents = ["zebra", "striped animal of the savannah", "tax form"]
    query = EMBEDDER.embed(["striped horse zebra"])[0]
    for ranking in (Ranking(semantic_weight=0.0), Ranking(lexical_weight=0.0)):
        index = Index(256, ranking=ranking)
        for number, text in enumerate(contents):
            index.add(entry(str(number), text), EMBEDDER.embed([text])[0])
        hits = index.search("striped horse zebra", query, top_k=3)
        side = [hit.lexical if ranking.semantic_weight == 0 else hit.semantic for hit in hits]
        assert side == sorted(side, key=lambda value: -(value or 0.0))


def test_an_added_vector_is_copied() -> None:
    vector = EMBEDDER.embed(["kite"])[0]
    index = Index(256)
    index.add(entry("1", "kite"), vector)
    vector[:] = 0
    assert index.search("", EMBEDDER.embed(["kite"])[0])[0].semantic == pytest.approx(1.0)


def test_every_damaged_byte_is_noticed() -> None:
    data = build(*(entry(str(n), f"note {n} on {n % 7}") for n in range(70)), dim=0).to_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(40), *rng.integers(40, len(data), 200).tolist()]:
        broken = bytearray(data)
        broken[at] ^= 1 << int(rng.integers(8))
        with pytest.raises((StoreError, StoreVersionError)):
            Index.from_bytes(bytes(broken))
    for length in (0, 7, 15, 30, len(data) // 2, len(data) - 1):
        with pytest.raises(StoreError):
            Index.from_bytes(data[:length])


def test_a_newer_format_asks_for_a_rebuild() -> None:
    data = bytearray(Index(0).to_bytes())
    data[8] = 99
    with pytest.raises(StoreVersionError, match="build the index again"):
        Index.from_bytes(bytes(data))


def test_scores_do_not_depend_on_where_an_entry_lies() -> None:
    notes = [entry(f"{n:03}", f"note {n % 150} about gardening and travel {n % 7}") for n in range(300)]
    forward, backward = build(*notes), build(*reversed(notes))
    for index in (forward, backward):
        index.remove("005")
    reopened = Index.from_bytes(forward.to_bytes())
    query = "travel notes about the garden 77"
    vector = EMBEDDER.embed([query])[0]
    for filters in (Filters(), Filters(scope=Scope(user_id="alice")), Filters(created_from=START)):
        expected = forward.search(query, vector, top_k=300, filters=filters)
        assert len(expected) == 299
        assert backward.search(query, vector, top_k=300, filters=filters) == expected
        assert reopened.search(query, vector, top_k=300, filters=filters) == expected
