"""What every backend must do: run each of `CHECKS` on it.

A backend is a `memquartet.memory.journal.Journal`. Its test is one line::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_backend_conforms(check, tmp_path):
        check(MyMaker(tmp_path))

A check raises `AssertionError` when the backend fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from memquartet.core.memory import (
    Delete,
    EntryId,
    Insert,
    MemoryEntry,
    MemoryOp,
    MetaValue,
    Noop,
    Provenance,
    ReceiptStatus,
    Scope,
    Update,
)
from memquartet.errors import (
    ConfigError,
    InputError,
    MemquartetError,
    ReadOnlyError,
    UnknownEntryError,
)
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters, SearchMethod
from memquartet.memory.store import Clock

ANN = Scope(user_id="ann")
BOB = Scope(user_id="bob")
MANAGER = Provenance(
    actor="manager",
    source="Ann: I moved to Lyon — 我搬家了.",
    origin="chat#3",
    prompt="You manage…",
    model="scripted",
    seed=7,
    raw_output='{"decision": "ADD"}\ud800',
)


class StoreMaker(Protocol):
    """Makes the memories under test."""

    def new(self, clock: Clock) -> Memory:
        """An empty memory on a fresh journal."""
        ...

    def reopened(self, memory: Memory, clock: Clock) -> Memory:
        """The memory closed and opened again; where nothing outlives the process, a replay of it."""
        ...


class RamMaker:
    """Memories in RAM."""

    def new(self, clock: Clock) -> Memory:
        return Memory(clock=clock)

    def reopened(self, memory: Memory, clock: Clock) -> Memory:
        return Memory.replay(memory, clock=clock)


class SqliteMaker:
    """Memories in files of a folder, named by their number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[int, Path] = {}

    def new(self, clock: Clock) -> Memory:
        path = self._folder / f"memory{len(self._paths)}.db"
        memory = Memory.open(path, clock=clock)
        self._paths[id(memory)] = path
        return memory

    def reopened(self, memory: Memory, clock: Clock) -> Memory:
        path = self._paths[id(memory)]
        memory.close()
        again = Memory.open(path, clock=clock)
        self._paths[id(again)] = path
        return again


class TickingClock:
    """A clock that is a second later each time it is asked, from 1 January 2024 on."""

    def __init__(self) -> None:
        self._now = datetime(2024, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def entries_come_back_as_written(maker: StoreMaker) -> None:
    """Insert, update, get, list and delete."""
    with _memory(maker) as memory:
        said = datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
        meta = {"chunk": 3, "sure": True, "weight": 0.5, "none": None, "topic": "家"}
        entry = memory.insert("episodic", "  Ann moved\r\nto Lyon. ", meta, said_at=said, scope=ANN)
        assert entry.entry_id == "m1"
        assert entry.content == "Ann moved\nto Lyon."
        assert entry.meta == {**meta, "said_at": "2023-05-08T13:56:00+00:00"}
        assert entry.created_at == entry.updated_at
        later = memory.update("m1", "Ann moved to Nice.")
        assert (later.meta, later.created_at, later.scope) == (entry.meta, entry.created_at, ANN)
        assert later.updated_at > entry.updated_at
        assert memory.get("m1") == later
        assert memory.entries() == [later]
        assert memory.delete("m1") == later
        assert len(memory) == 0
        assert memory.insert("semantic", "Ann has a cat.").entry_id == "m2"


def bad_arguments_raise_and_change_nothing(maker: StoreMaker) -> None:
    """Every refusal is a caller's error that leaves the bytes as they were."""
    with _memory(maker) as memory:
        memory.insert("semantic", "Ann has a cat.", scope=ANN)
        before = memory.canonical_bytes()
        for call in (
            lambda: memory.insert("procedural", "x"),
            lambda: memory.insert("semantic", " \n "),
            lambda: memory.insert("semantic", "a\0b"),
            lambda: memory.insert("semantic", "half \ud83d"),
            lambda: memory.insert("semantic", "x" * 100_001),
            lambda: memory.insert("semantic", "x", {"nan": float("nan")}),
            lambda: memory.insert("semantic", "x", {"said_at": "yesterday"}),
            lambda: memory.insert("semantic", "x", scope=Scope(user_id="")),
            lambda: memory.search("cat", 0),
            lambda: memory.search("cat", -1),
            lambda: memory.search("  "),
            lambda: memory.search("cat", method="magic"),
            lambda: memory.search("cat", memory_type="procedural"),
            lambda: memory.undo(0),
            lambda: memory.undo(2),
            lambda: memory.as_of(2),
            lambda: memory.as_of(datetime(2024, 1, 1)),  # noqa: DTZ001  # without a zone, on purpose
            lambda: memory.render_system_prompt("dream"),
        ):
            _expect(ConfigError, call)
        for unknown in ("m2", "m01", "1", "", "m1 ", "m99999999999999999999"):
            _expect(UnknownEntryError, memory.get, unknown)
            _expect(UnknownEntryError, memory.update, unknown, "x")
            _expect(UnknownEntryError, memory.delete, unknown)
        _expect(UnknownEntryError, lambda: memory.delete("m1", scope=BOB))
        assert memory.canonical_bytes() == before


def a_models_mistakes_become_receipts(maker: StoreMaker) -> None:
    """Bad operations fail alone and say why; good ones in the same batch count."""
    with _memory(maker) as memory:
        memory.insert("semantic", "Bob has a dog.", scope=BOB)
        ops: list[MemoryOp] = [
            Insert(content="Ann has a cat."),
            Update(entry_id=EntryId("m9"), content="x"),
            Delete(entry_id=EntryId("m1")),
            Insert(content=" "),
            Update(entry_id=EntryId("m2"), content="Ann has two cats."),
            Noop(entry_id=EntryId("m2")),
            Insert(content="x", entry_id=EntryId("m7")),
        ]
        receipts = memory.apply(ops, scope=ANN, provenance=MANAGER)
        assert [receipt.applied for receipt in receipts] == [True, False, False, False, True, True, False]
        assert [receipt.seq for receipt in receipts if receipt.applied] == [2, 3, 4]
        for op, receipt in zip(ops, receipts, strict=True):
            assert receipt.op == op
            if receipt.status is ReceiptStatus.FAILED:
                assert receipt.error
        assert [entry.content for entry in memory.entries()] == ["Bob has a dog.", "Ann has two cats."]
        _expect(ConfigError, lambda: memory.apply([Insert(content="x")], scope=Scope(user_id="\0")))


def search_finds_within_filters(maker: StoreMaker) -> None:
    """Each method, with filters that apply before the ranking."""
    with _memory(maker) as memory:
        for number in range(100):
            owner = ANN if number % 50 == 7 else BOB
            memory.insert("semantic", f"Invoice {number} about green tea.", {"n": number}, scope=owner)
        memory.insert("episodic", "Ann drank tea in Kyoto.", {"n": 100}, scope=ANN)
        for method in SearchMethod:
            hits = memory.search("green tea", 10, user_id="ann", method=method)
            assert {hit.entry.entry_id for hit in hits} == {"m8", "m58", "m101"}
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert [hit.entry.entry_id for hit in memory.search("tea", memory_type="episodic")] == ["m101"]
        assert {hit.entry.meta["n"] for hit in memory.search("tea", where={"n": [3, 5]})} == {3, 5}
        assert memory.search_many([]) == []
        assert len(memory.search("invoice", 1000)) == 101
        for filters in (Filters(scope=ANN), Filters(where={"n": 5})):
            found = {hit.entry.entry_id for hit in memory.search("tea", 1000, filters=filters)}
            assert found == {entry.entry_id for entry in memory.entries(filters)}


def what_was_changed_is_found_as_it_is_now(maker: StoreMaker) -> None:
    """The index follows updates, deletes and undos."""
    with _memory(maker) as memory:
        memory.insert("semantic", "Ann plays the violin.")
        memory.update("m1", "Ann plays the trumpet.")
        assert memory.search("violin", method="bm25") == []
        assert [hit.entry.entry_id for hit in memory.search("trumpet", method="bm25")] == ["m1"]
        memory.delete("m1")
        assert memory.search("trumpet") == []
        memory.undo(3)
        assert [hit.entry.content for hit in memory.search("trumpet")] == ["Ann plays the trumpet."]


def everything_survives_reopening(maker: StoreMaker) -> None:
    """Entries, states, journal, ids and search are the same afterwards."""
    clock = TickingClock()
    memory = maker.new(clock)
    _live(memory)
    before, hits = memory.canonical_bytes(), _searches(memory)
    memory = maker.reopened(memory, clock)
    try:
        assert memory.canonical_bytes() == before
        assert _searches(memory) == hits
        assert memory.insert("semantic", "One more.").entry_id == "m5"
        memory = maker.reopened(memory, clock)
        assert memory.get("m5").content == "One more."
    finally:
        memory.close()


def the_journal_tells_everything(maker: StoreMaker) -> None:
    """Records are gapless and hold provenance, operation and both sides."""
    with _memory(maker) as memory:
        _live(memory)
        records = list(memory.journal())
        assert [record.seq for record in records] == list(range(1, memory.seq + 1))
        times = [record.time for record in records]
        assert times == sorted(times)
        assert list(memory.journal(since=3)) == records[3:]
        written = next(record for record in records if record.provenance.actor == "manager")
        assert (written.provenance.seed, written.provenance.origin) == (7, "chat#3")
        assert written.provenance.raw_output.endswith("\\ud800")
        history = memory.history("m1")
        assert [record.op.kind for record in history] == ["insert", "update"]
        assert history[1].before == history[0].after
        _expect(UnknownEntryError, lambda: memory.history("m9"))


def history_cannot_be_changed_in_place(maker: StoreMaker) -> None:
    """Neither the meta that was given nor the meta that comes back is a way into the journal."""
    with _memory(maker) as memory:
        given: dict[str, MetaValue] = {"topic": "home"}
        entry = memory.insert("semantic", "Ann has a cat.", given)
        before = memory.canonical_bytes()
        given["topic"] = "work"
        (record,) = memory.journal()
        assert isinstance(record.op, Insert)
        for meta in (entry.meta, memory.get("m1").meta, record.op.meta):
            assert meta == {"topic": "home"}
            try:
                meta["topic"] = "work"  # type: ignore[index]  # what a caller without a type checker may write
            except TypeError:
                continue
            raise AssertionError("meta could be changed")
        assert memory.canonical_bytes() == before


def the_past_can_be_read_and_not_written(maker: StoreMaker) -> None:
    """`as_of` by record and by time, `diff`, and a fork of the past."""
    with _memory(maker) as memory:
        seen: list[tuple[list[MemoryEntry], datetime]] = []
        for step in range(6):
            memory.insert("semantic", f"Fact {step}.")
            if step % 2:
                memory.update(f"m{step}", f"Fact {step} changed.")
            seen.append((memory.entries(), list(memory.journal())[-1].time))
        for entries, time in seen:
            view = memory.as_of(time)
            assert view.entries() == entries
            assert memory.as_of(view.seq).canonical_bytes() == view.canonical_bytes()
            assert {hit.entry.entry_id for hit in view.search("fact", 99)} == {e.entry_id for e in entries}
            _expect(ReadOnlyError, view.insert, "semantic", "x")
        assert memory.as_of(0).entries() == []
        branch = memory.as_of(1).fork()
        assert branch.insert("semantic", "Another future.").entry_id == "m2"
        assert memory.get("m2").content == "Fact 1."
        diff = memory.diff(2, memory.seq)
        assert [entry.entry_id for entry in diff.added] == ["m3", "m4", "m5", "m6"]
        assert [change.after.entry_id for change in diff.changed] == ["m1"]
        _expect(ConfigError, lambda: memory.diff(3, 2))


def a_record_can_be_undone(maker: StoreMaker) -> None:
    """Undo restores, undoing the undo brings back, and a later change stands in the way."""
    with _memory(maker) as memory:
        _live(memory)
        for record in list(memory.journal()):
            if record.op.kind == "noop":
                _expect(ConfigError, memory.undo, record.seq)
        before = memory.entries()
        memory.delete("m1")
        deleted = memory.seq
        memory.undo(deleted)
        assert memory.entries() == before
        message = _expect(ConfigError, lambda: memory.undo(deleted))
        assert f"already undone by record {memory.seq}" in message
        memory.undo(memory.seq)
        assert "m1" not in memory
        message = _expect(ConfigError, lambda: memory.undo(1))
        assert f"record {memory.seq}" in message
        memory.set_state("new", ANN)
        memory.undo(memory.seq)
        assert memory.state(ANN).text == "Ann talks about her move."


def forks_go_their_own_ways(maker: StoreMaker) -> None:
    """Neither side sees what the other writes after the fork."""
    with _memory(maker) as memory:
        _live(memory)
        before = memory.canonical_bytes()
        fork, twin = memory.fork(), memory.fork()
        assert fork.canonical_bytes() == before
        fork.delete("m1")
        fork.set_state("elsewhere", ANN)
        fork.fork().insert("semantic", "A fork of the fork.")
        memory.insert("semantic", "A heron.")
        twin.insert("semantic", "An otter.")
        assert memory.get("m5").content == "A heron."
        assert twin.get("m5").content == "An otter."
        assert "m5" not in fork
        assert memory.state(ANN).text == "Ann talks about her move."
        assert twin.as_of(memory.seq - 1).canonical_bytes() == before
        assert [hit.entry.content for hit in twin.search("otter", 1, method="bm25")] == ["An otter."]


def a_replay_is_equal_byte_for_byte(maker: StoreMaker) -> None:
    """From the records, and from an export; a journal that contradicts itself is refused."""
    with _memory(maker) as memory, _memory(maker) as empty:
        _live(memory)
        assert Memory.replay(memory).canonical_bytes() == memory.canonical_bytes()
        records = list(memory.journal())
        for broken in (records[1:], records[:2] + records[3:], records[:1] * 2):
            _expect(InputError, Memory.replay, broken)
        lines = list(memory.export_lines())
        for bad in ([], lines[1:], [lines[0], "{"], [*lines[:4], *lines[5:]], [lines[0], "[" * 100_000]):
            _expect(InputError, empty.import_, bad)
            assert empty.seq == 0
        assert empty.import_(lines) == memory.seq
        assert empty.canonical_bytes() == memory.canonical_bytes()
        assert _searches(empty) == _searches(memory)
        _expect(ConfigError, lambda: empty.import_(lines))


def transactions_are_all_or_nothing(maker: StoreMaker) -> None:
    """Writes inside are one, are read inside, and vanish when the block raises."""
    with _memory(maker) as memory:
        memory.insert("semantic", "Before.")
        before = memory.canonical_bytes()

        def fails() -> None:
            with memory.transaction():
                memory.insert("semantic", "Inside.")
                memory.set_state("inside")
                memory.apply([Delete(entry_id=EntryId("m1"))])
                assert [entry.content for entry in memory.entries()] == ["Inside."]
                assert [hit.entry.content for hit in memory.search("inside")] == ["Inside."]
                _expect(UnknownEntryError, lambda: memory.delete("m1"))
                raise InputError("stop")

        _expect(InputError, fails)
        assert memory.canonical_bytes() == before
        with memory.transaction():
            memory.insert("semantic", "Inside.")
            memory.undo(memory.seq)
            _expect(ConfigError, memory.fork)
        assert [entry.content for entry in memory.entries()] == ["Before."]
        assert memory.seq == 3


def the_state_keeps_its_budget(maker: StoreMaker) -> None:
    """Text is cut, notes are not, and both belong to one scope."""
    with _memory(maker) as memory:
        receipt = memory.set_state("word " * 2_000, ANN)
        assert receipt.cut_tokens > 0
        assert memory.state(ANN) == receipt.after
        memory.add_note("Speak French.", ANN)
        state = memory.state(ANN)
        assert state.notes == ("Speak French.",)
        assert len(state.text) < len(receipt.after.text)
        _expect(ConfigError, lambda: memory.add_note("note " * 2_000, ANN))
        _expect(ConfigError, lambda: memory.add_note("Speak French.", ANN))
        _expect(ConfigError, lambda: memory.remove_note("Speak Latin.", ANN))
        memory.remove_note("Speak French.", ANN)
        assert memory.set_state("", ANN).after.text == ""
        assert memory.state(BOB).text == memory.state().text == ""


CHECKS: tuple[Callable[[StoreMaker], None], ...] = (
    entries_come_back_as_written,
    bad_arguments_raise_and_change_nothing,
    a_models_mistakes_become_receipts,
    search_finds_within_filters,
    what_was_changed_is_found_as_it_is_now,
    everything_survives_reopening,
    the_journal_tells_everything,
    history_cannot_be_changed_in_place,
    the_past_can_be_read_and_not_written,
    a_record_can_be_undone,
    forks_go_their_own_ways,
    a_replay_is_equal_byte_for_byte,
    transactions_are_all_or_nothing,
    the_state_keeps_its_budget,
)


def _live(memory: Memory) -> None:
    """A little of everything; ends with m1, m3 and m4."""
    memory.insert("episodic", "Ann moved to Lyon in May.", {"chunk": 1}, scope=ANN)
    memory.insert("semantic", "Bob keeps bees.", scope=BOB)
    memory.apply(
        [
            Insert(content="Ann 住在里昂。", meta={"sure": True, "weight": 1.0}),
            Update(entry_id=EntryId("m1"), content="Ann moved to Lyon in June."),
            Noop(),
        ],
        scope=ANN,
        provenance=MANAGER,
    )
    memory.set_state("Ann talks about her move.", ANN, MANAGER)
    memory.add_note("Answer in French.", ANN)
    memory.delete("m2")
    memory.insert("semantic", "Café au lait, naïve coöperation.")


def _searches(memory: Memory) -> list[object]:
    return [
        [(hit.entry.entry_id, hit.score, hit.lexical, hit.semantic) for hit in hits]
        for method in SearchMethod
        for hits in memory.search_many(["Where does Ann live?", "里昂", "coffee"], 5, method=method)
    ]


@contextmanager
def _memory(maker: StoreMaker) -> Iterator[Memory]:
    with maker.new(TickingClock()) as memory:
        yield memory


def _expect(kind: type[MemquartetError], call: Callable[..., object], *values: object) -> str:
    """The message of the error that the call must raise."""
    try:
        call(*values)
    except kind as error:
        return str(error)
    raise AssertionError(f"expected {kind.__name__}, but nothing was raised")
