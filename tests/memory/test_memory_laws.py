from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memquartet.core.memory import EVERYWHERE, Delete, EntryId, Insert, MemoryOp, Noop, Scope, Update
from memquartet.errors import ConfigError
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.filtering import admission
from memquartet.memory.journal import StateChange
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters
from memquartet.testing.store_conformance import TickingClock

WORDS = ("heron", "otter", "lyon", "tea", "里昂", "café", "moved")
SCOPES = (EVERYWHERE, Scope(user_id="ann"), Scope(user_id="bob", run_id="r1"))
BACKENDS = ("ram", "file")

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
ids = st.integers(1, 12).map(lambda number: EntryId(f"m{number}"))
metas = st.dictionaries(
    st.sampled_from(("n", "flag", "topic")), st.one_of(st.booleans(), st.integers(0, 2), texts), max_size=2
)
ops: st.SearchStrategy[MemoryOp] = st.one_of(
    st.builds(Insert, content=texts, meta=metas),
    st.builds(Update, entry_id=ids, content=texts, meta=st.none() | metas),
    st.builds(Delete, entry_id=ids),
    st.builds(Noop),
)
steps = st.lists(
    st.tuples(st.sampled_from(SCOPES), st.one_of(st.lists(ops, min_size=1, max_size=4), texts)), max_size=8
)
Step = tuple[Scope, list[MemoryOp] | str]

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def live(memory: Memory, lived: list[Step]) -> None:
    for scope, what in lived:
        if isinstance(what, str):
            memory.set_state(what, scope)
        else:
            memory.apply(what, scope=scope)


def contents(memory: Memory) -> object:
    return memory.entries(), [memory.state(scope) for scope in SCOPES]


def found(memory: Memory) -> object:
    return [
        [(hit.entry, hit.score) for hit in hits]
        for scope in SCOPES
        for hits in memory.search_many(WORDS, 20, filters=Filters(scope=scope))
    ]


@contextmanager
def made(backend: str) -> Iterator[Memory]:
    if backend == "ram":
        yield Memory(embedder=NoEmbedder(), clock=TickingClock())
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(Path(folder) / "m.db", embedder=NoEmbedder(), clock=TickingClock()) as memory,
    ):
        yield memory


@few
@given(lived=steps, backend=st.sampled_from(BACKENDS))
def test_replay_equals_the_original_byte_for_byte(lived: list[Step], backend: str) -> None:
    with made(backend) as memory:
        live(memory, lived)
        again = Memory.replay(memory, embedder=NoEmbedder())
        assert again.canonical_bytes() == memory.canonical_bytes()
        assert found(again) == found(memory)


@few
@given(lived=steps, more=steps)
def test_search_after_reopening_equals_search_before(lived: list[Step], more: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, clock, embedder = Path(folder) / "m.db", TickingClock(), NoEmbedder()
        with Memory.open(path, embedder=embedder, clock=clock) as memory:
            live(memory, lived)
            before, hits = memory.canonical_bytes(), found(memory)
        with Memory.open(path, embedder=embedder, clock=clock) as memory:
            assert (memory.canonical_bytes(), found(memory)) == (before, hits)
            live(memory, more)
            before, hits = memory.canonical_bytes(), found(memory)
        with Memory.open(path, embedder=embedder, clock=clock) as memory:
            assert (memory.canonical_bytes(), found(memory)) == (before, hits)


@few
@given(lived=steps, here=steps, there=steps, backend=st.sampled_from(BACKENDS))
def test_forks_do_not_see_each_other(
    lived: list[Step], here: list[Step], there: list[Step], backend: str
) -> None:
    with made(backend) as memory:
        live(memory, lived)
        fork = memory.fork()
        before, hits = fork.canonical_bytes(), found(fork)
        assert (before, hits) == (memory.canonical_bytes(), found(memory))
        live(memory, here)
        assert (fork.canonical_bytes(), found(fork)) == (before, hits)
        after = memory.canonical_bytes(), found(memory)
        live(fork, there)
        assert (memory.canonical_bytes(), found(memory)) == after
        assert Memory.replay(fork, embedder=NoEmbedder()).canonical_bytes() == fork.canonical_bytes()


@few
@given(lived=steps, backend=st.sampled_from(BACKENDS))
def test_as_of_is_what_the_memory_was_then(lived: list[Step], backend: str) -> None:
    with made(backend) as memory:
        seen = [(0, contents(memory), found(memory))]
        for step in lived:
            live(memory, [step])
            seen.append((memory.seq, contents(memory), found(memory)))
        for seq, then, hits in seen:
            view = memory.as_of(seq)
            assert (contents(view), found(view)) == (then, hits)
        last = list(memory.journal())[-1:]
        assert all(memory.as_of(record.time).seq == memory.seq for record in last)


@few
@given(lived=steps, op=ops, backend=st.sampled_from(BACKENDS))
def test_undoing_what_was_applied_changes_nothing(lived: list[Step], op: MemoryOp, backend: str) -> None:
    with made(backend) as memory:
        live(memory, lived)
        before, hits = contents(memory), found(memory)
        (receipt,) = memory.apply([op])
        if receipt.seq is None or isinstance(op, Noop):
            return
        after = contents(memory)
        memory.undo(receipt.seq)
        assert (contents(memory), found(memory)) == (before, hits)
        memory.undo(memory.seq)
        assert contents(memory) == after


@few
@given(lived=steps)
def test_undoing_everything_backwards_empties_the_memory(lived: list[Step]) -> None:
    with made("ram") as memory:
        live(memory, lived)
        for record in reversed(list(memory.journal())):
            if not isinstance(record.op, Noop):
                memory.undo(record.seq)
        assert memory.entries() == []
        assert all(not memory.state(scope).text for scope in SCOPES)


@few
@given(lived=steps, cut=st.integers(0, 100))
def test_diff_leads_from_one_moment_to_the_other(lived: list[Step], cut: int) -> None:
    with made("ram") as memory:
        live(memory, lived)
        since = min(cut, memory.seq)
        diff = memory.diff(since, memory.seq)
        entries = {entry.entry_id: entry for entry in memory.as_of(since).entries()}
        for entry in diff.removed:
            assert entries.pop(entry.entry_id) == entry
        for change in diff.changed:
            assert entries[change.before.entry_id] == change.before
            entries[change.after.entry_id] = change.after
        entries |= {entry.entry_id: entry for entry in diff.added}
        assert entries == {entry.entry_id: entry for entry in memory.entries()}
        changed = {difference.scope: difference.after for difference in diff.states}
        assert all(memory.state(scope) == state for scope, state in changed.items())


@few
@given(
    lived=steps,
    scope=st.sampled_from(SCOPES),
    where=st.dictionaries(
        st.sampled_from(("n", "flag")),
        st.one_of(st.booleans(), st.integers(0, 2), st.just([1, True])),
        max_size=2,
    ),
)
def test_listing_and_searching_admit_the_same_entries(
    lived: list[Step], scope: Scope, where: dict[str, object]
) -> None:
    with made("ram") as memory:
        live(memory, lived)
        filters = Filters(scope=scope, where=where)  # type: ignore[arg-type]  # drawn from admitted values
        hits = [hit.entry for hits in memory.search_many(WORDS, 99, filters=filters) for hit in hits]
        assert {entry.entry_id for entry in hits} == {entry.entry_id for entry in memory.entries(filters)}
        assert all(map(admission(filters), hits))


@few
@given(lived=st.lists(st.tuples(st.booleans(), st.lists(ops, min_size=1, max_size=3)), max_size=8))
def test_interleaved_writers_of_one_file_agree(lived: list[tuple[bool, list[MemoryOp]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, embedder = Path(folder) / "m.db", NoEmbedder()
        with Memory.open(path, embedder=embedder) as one, Memory.open(path, embedder=embedder) as two:
            for first, what in lived:
                (one if first else two).apply(what)
            assert one.canonical_bytes() == two.canonical_bytes()
            assert found(one) == found(two)
            assert [record.seq for record in one.journal()] == list(range(1, one.seq + 1))


@few
@given(
    text=st.text(max_size=40), meta=st.dictionaries(st.text(max_size=5), st.floats() | st.text(max_size=5))
)
def test_any_text_is_stored_exactly_or_refused(text: str, meta: dict[str, float | str]) -> None:
    with made("file") as memory:
        try:
            entry = memory.insert("semantic", text, meta)
            receipt = memory.set_state(text)
        except ConfigError:
            assert memory.entries() == []
            return
        again = Memory.replay(memory, embedder=NoEmbedder())
        assert again.get(entry.entry_id) == entry
        assert again.state() == receipt.after
        assert [*Memory.replay(again.journal(), embedder=NoEmbedder()).journal()] == [*memory.journal()]


def test_a_state_record_cannot_be_forged() -> None:
    with made("ram") as memory:
        memory.set_state("true")
        (record,) = memory.journal()
        assert isinstance(record.op, StateChange)
        with pytest.raises(ValueError, match="record 2"):
            Memory.replay(
                [
                    record,
                    type(record)(
                        seq=2,
                        time=record.time,
                        scope=record.scope,
                        provenance=record.provenance,
                        op=record.op,
                    ),
                ]
            )
