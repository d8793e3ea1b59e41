from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from memquartet.core.memory import Insert
from memquartet.errors import (
    ConfigError,
    EmbedderMismatchError,
    MemquartetError,
    StoreError,
    StoreVersionError,
)
from memquartet.memory.embedders import NoEmbedder, StaticEmbedder
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder, Vectors
from memquartet.memory.sqlite.migrations import APPLICATION_ID, FORMAT_VERSION
from memquartet.memory.sqlite.reembedding import reembed_file
from memquartet.memory.store import Batch

WRITER = Path(__file__).with_name("writer.py")


def opened(path: Path, embedder: Embedder | None = None, busy_timeout: float = 30.0) -> Memory:
    return Memory.open(path, embedder=embedder or NoEmbedder(), busy_timeout=busy_timeout)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


class LetterEmbedder:
    """Vectors of letter counts; counts how many texts it was given, and fails after `fail_after` of them."""

    identity = "letters@1"
    dim = 26

    def __init__(self, fail_after: int | None = None) -> None:
        self.embedded = 0
        self.fail_after = fail_after

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows: Vectors = np.array(
            [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32
        )
        self.embedded += len(texts)
        if self.fail_after is not None and self.embedded > self.fail_after:
            raise StoreError("the embedder failed, on purpose")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.where(lengths, lengths, 1)
        return rows


def test_two_processes_writing_one_new_file_lose_nothing_and_share_ids(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    writers = [writer(path, name, 60) for name in ("left", "right")]
    ids = [set(process.communicate(timeout=60)[0].split()) for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert ids[0].isdisjoint(ids[1])
    with opened(path) as memory:
        assert {entry.entry_id for entry in memory.entries()} == ids[0] | ids[1]
        assert [record.seq for record in memory.journal()] == list(range(1, 121))
        assert Memory.replay(memory, embedder=NoEmbedder()).canonical_bytes() == memory.canonical_bytes()


def test_two_memories_on_one_file_see_each_others_writes(tmp_path: Path) -> None:
    with opened(tmp_path / "m.db") as one, opened(tmp_path / "m.db") as two:
        one.insert("semantic", "A heron stands in the pond.")
        assert [hit.entry.entry_id for hit in two.search("heron")] == ["m1"]
        two.update("m1", "An otter swims in the pond.")
        assert one.get("m1").content.startswith("An otter")
        assert one.search("heron") == []
        assert one.insert("semantic", "Third.").entry_id == "m2"
        two.set_state("now")
        assert one.state().text == "now"
        assert one.canonical_bytes() == two.canonical_bytes()


def test_threads_sharing_a_memory_lose_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "m.db") as memory:

        def write(name: str) -> None:
            for number in range(25):
                memory.insert("semantic", f"{name} {number}")
                memory.search(name)

        threads = [threading.Thread(target=write, args=(name,)) for name in ("left", "right", "middle")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(memory) == 75
        assert len(memory.search("left", 100, method="bm25")) == 25


@pytest.mark.parametrize("acknowledged", [1, 17, 60])
def test_a_killed_process_loses_no_acknowledged_write(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "memory.db"
    process = writer(path, "fact", 100_000)
    assert process.stdout is not None
    ids = [process.stdout.readline().strip() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with opened(path) as memory:
        assert all(entry_id in memory for entry_id in ids)
        assert Memory.replay(memory, embedder=NoEmbedder()).canonical_bytes() == memory.canonical_bytes()
        assert memory.insert("semantic", "after").content == "after"


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: to SQLite the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_on_a_full_disk_nothing_is_half_written_and_memory_equals_file(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.insert("semantic", "before")
        before = memory.canonical_bytes()
        with file_size_limit(300_000), pytest.raises(StoreError, match=r"m\.db"):
            memory.apply([Insert(content=f"{number} " + "x" * 5_000) for number in range(100)])
        assert memory.canonical_bytes() == before
        assert memory.search("before")[0].entry.entry_id == "m1"
        memory.insert("semantic", "after")
        after = memory.canonical_bytes()
    with opened(path) as memory:
        assert memory.canonical_bytes() == after
        assert len(memory) == 2


def test_a_full_database_names_the_next_step(tmp_path: Path) -> None:
    with opened(tmp_path / "m.db") as memory:
        memory.insert("semantic", "before")
        file = memory._store._journal._file  # type: ignore[attr-defined]  # the limit belongs to the connection
        file.rows("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="free some space"):
            memory.apply([Insert(content="x" * 5_000) for _ in range(100)])
        assert len(memory) == 1


def test_after_a_failed_write_nothing_of_the_transaction_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.insert("semantic", "before")
        before = memory.canonical_bytes()
        file = memory._store._journal._file  # type: ignore[attr-defined]  # the limit belongs to the connection

        def go_on_after_a_failure() -> None:
            with memory.transaction():
                memory.insert("semantic", "small")
                file.rows("PRAGMA max_page_count = 20")
                with pytest.raises(StoreError, match="free some space"):
                    memory.apply([Insert(content="x" * 5_000) for _ in range(100)])
                file.rows("PRAGMA max_page_count = 100000")
                with pytest.raises(StoreError, match="begin a new one"):
                    memory.insert("semantic", "after")

        with pytest.raises(StoreError, match="begin a new one"):
            go_on_after_a_failure()
        assert memory.canonical_bytes() == before
    with opened(path) as memory:
        assert memory.canonical_bytes() == before


def test_a_file_locked_by_another_program_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path, busy_timeout=0.05) as memory:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="busy_timeout"):
                memory.insert("semantic", "waits in vain")
            assert memory.search("nothing") == []
            other.execute("ROLLBACK")
        assert memory.insert("semantic", "now").entry_id == "m1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without the right to write")
def test_a_read_only_folder_is_a_clear_error(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    script = (
        "import os, sys\n"
        "from memquartet.errors import StoreError\n"
        "from memquartet.memory.memory import Memory\n"
        "os.seteuid(65534)\n"
        "try: Memory.open(sys.argv[1])\n"
        "except StoreError as error: print(error)"
    )
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o755)
    path = folder / "m.db"
    reply = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert "permissions" in reply.stdout
    assert not path.exists()


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the folder is missing"):
        opened(tmp_path / "no" / "m.db")
    with pytest.raises(StoreError, match="is a folder"):
        opened(tmp_path)


def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    opened(path).close()
    edit(path, f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreVersionError, match="pip install --upgrade"):
        opened(path)
    assert path.read_bytes() == before


def test_files_of_other_programs_are_refused_untouched(tmp_path: Path) -> None:
    text, database = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("dear diary, this is no database", encoding="utf-8")
    edit(database, "CREATE TABLE mail (body TEXT)")
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(StoreVersionError, match="not a memory"):
            opened(path)
        assert path.read_bytes() == before


def test_an_empty_file_becomes_a_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    path.touch()
    with opened(path) as memory:
        memory.insert("semantic", "x")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_damaged_pages_are_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.apply([Insert(content=f"{number} " + "x" * 1_000) for number in range(50)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StoreError, match="damaged"):
        opened(path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.insert("semantic", "one")
        memory.insert("semantic", "two")
    edit(
        path, "DROP TRIGGER journal_never_changes", "UPDATE journal SET record = '{\"seq\": 2}' WHERE seq = 2"
    )
    with pytest.raises(StoreError, match="journal record 2 cannot be read"):
        opened(path)


def test_the_journal_in_the_file_cannot_be_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.insert("semantic", "one")
    for statement in ("UPDATE journal SET record = ''", "DELETE FROM journal"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            edit(path, statement)


def test_a_closed_memory_says_so_and_closes_twice(tmp_path: Path) -> None:
    memory = opened(tmp_path / "m.db")
    memory.insert("semantic", "x")
    fork = memory.fork()
    memory.close()
    memory.close()
    with pytest.raises(ConfigError, match="is closed"):
        memory.search("x")
    assert [record.seq for record in fork.journal()] == [1]
    fork.insert("semantic", "y")
    assert [record.seq for record in fork.journal()] == [1, 2]


def test_reopening_embeds_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path, LetterEmbedder()) as memory:
        memory.insert("semantic", "alpha")
        memory.update("m1", "beta")
    again = LetterEmbedder()
    with opened(path, again) as memory:
        assert memory.search("beta", method="embedding")[0].semantic == pytest.approx(1)
    assert again.embedded == 1


@pytest.mark.parametrize("count", [400, 700])
def test_a_checkpoint_changes_nothing(tmp_path: Path, count: int) -> None:
    path = tmp_path / "m.db"
    with opened(path, LetterEmbedder()) as memory:
        memory.apply([Insert(content=f"number {number} word{number % 7}") for number in range(count)])
        memory.set_state("state")
        before = memory.canonical_bytes()
        hits = memory.search("word3 number", 20)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert (connection.execute("SELECT count(*) FROM checkpoint").fetchone()[0] > 0) == (count > 500)
    with opened(path, LetterEmbedder()) as memory:
        assert memory.canonical_bytes() == before
        assert memory.search("word3 number", 20) == hits
    for damage in ("zeroblob(3)", "zeroblob(20)", "CAST('{}' || substr(data, 3) AS BLOB)"):
        edit(path, f"UPDATE checkpoint SET data = {damage}")
        with opened(path, LetterEmbedder()) as memory:
            assert memory.canonical_bytes() == before
            assert memory.search("word3 number", 20) == hits


def test_another_embedder_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path, LetterEmbedder()) as memory:
        memory.insert("semantic", "alpha")
    with pytest.raises(EmbedderMismatchError, match="memory reembed --db") as caught:
        opened(path, StaticEmbedder())
    assert "letters@1" in str(caught.value)
    assert StaticEmbedder.identity in str(caught.value)


def test_a_fork_finds_the_file_from_another_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Path(":memory:")) as memory:
        entry = memory.insert("semantic", "Mira lives in Leeds")
        fork = memory.fork()
    monkeypatch.chdir("/")
    assert [record.seq for record in fork.history(entry.entry_id)] == [1]


class WrongEmbedder:
    """Breaks the promise of `Embedder` by giving the same rows for every text."""

    identity = "wrong@1"
    dim = 2

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows = rows

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.array(self.rows, np.float32)


@pytest.mark.parametrize("rows", [[[3.0, 4.0]], [[np.nan, 0.0]], [[1.0]], [[1.0, 0.0]] * 2, []])
def test_a_wrong_embedder_writes_nothing(tmp_path: Path, rows: Sequence[Sequence[float]]) -> None:
    path = tmp_path / "memory.db"
    with opened(path, WrongEmbedder(rows)) as memory:
        with pytest.raises(ConfigError, match="wrong@1"):
            memory.insert("semantic", "Mira lives in Leeds")
        assert memory.entries() == []
    with opened(path, WrongEmbedder([[0.6, 0.8]])) as memory:
        memory.insert("semantic", "Mira lives in Leeds")
        with pytest.raises(ConfigError, match="wrong@1"):
            memory.reembed(WrongEmbedder(rows))
        assert len(memory.search("Leeds")) == 1


def test_reembedding_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as memory:
        memory.apply([Insert(content=f"number {number} abc") for number in range(600)])
        memory.delete("m1")
        failing, late = LetterEmbedder(fail_after=300), LetterEmbedder()
        with pytest.raises(StoreError, match="on purpose"):
            memory.reembed(failing)
        assert memory.search("abc", 1)
        memory.insert("semantic", "written in between")
    progress: list[tuple[int, int]] = []
    reembed_file(path, late, on_progress=lambda done, total: progress.append((done, total)))
    assert late.embedded == 600 - 256
    assert progress[0] == (256, 600)
    assert progress[-1] == (600, 600)
    with opened(path, LetterEmbedder()) as memory:
        assert memory.search("written in between", 1, method="embedding")[0].semantic == pytest.approx(1)
        assert len(memory) == 600


def test_a_process_with_the_old_embedder_stops_writing(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with opened(path) as old, opened(path) as moving:
        old.insert("semantic", "alpha")
        moving.reembed(LetterEmbedder())
        assert moving.search("alpha", method="embedding")
        with pytest.raises(EmbedderMismatchError):
            old.insert("semantic", "beta")
        assert len(moving) == 1


class Interrupted(MemquartetError):
    pass


def test_an_interrupted_write_is_caught_up_with(tmp_path: Path) -> None:
    with opened(tmp_path / "m.db") as memory:
        store = memory._store

        def interrupted(batch: Batch) -> None:
            raise Interrupted

        absorb = store._absorb
        store._absorb = interrupted  # type: ignore[method-assign]  # between the commit and the RAM
        with pytest.raises(Interrupted):
            memory.insert("semantic", "durable")
        store._absorb = absorb  # type: ignore[method-assign]
        assert [hit.entry.content for hit in memory.search("durable")] == ["durable"]
        assert memory.insert("semantic", "next").entry_id == "m2"
