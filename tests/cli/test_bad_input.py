from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from tests.cli.support import model_of, run

from memquartet.memory.memory import Memory
from memquartet.testing.server import HTML, FakeServer


def refused(result: Result, *words: str, code: int = 1) -> None:
    """One clear line on stderr, nothing on stdout."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["notes.txt", "empty"]),
        (b" \n \n", ["notes.txt", "white space"]),
        (b"fine\nbad \xff\xfe here\n", ["notes.txt:2", "not UTF-8"]),
        (b"Ann \0 lives\n", ["notes.txt:1", "NUL"]),
        (b'{"speaker": "Ann", "text": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", ["notes.txt:1", "JSON"]),
        (b'{"speaker": "Ann", "text": "Hi"}\n{"speaker": "Bob"}\n', ["notes.txt:2", "'text'"]),
        (b'{"colour": "red"}\n', ["no known form", "colour"]),
        (b"x" * (65 * 2**20), ["notes.txt:1", "longer than"]),
    ],
    ids=["empty", "blank", "no UTF-8", "NUL", "deep JSON", "no text", "unknown JSON", "65 MB line"],
)
def test_a_file_that_cannot_be_read_is_refused_before_a_model_is_asked(
    content: bytes, words: list[str], team: FakeServer
) -> None:
    Path("notes.txt").write_bytes(content)
    result = run("ingest", "notes.txt", "--model", model_of(team), "--quiet")
    refused(result, *words)
    assert team.requests == []
    assert not Path("memory.db").exists()


def test_a_missing_file_and_a_folder_are_refused(team: FakeServer) -> None:
    refused(run("ingest", "nowhere.txt", "--model", model_of(team), "-q"), "nowhere.txt", "No such file")
    refused(run("ingest", ".", "--model", model_of(team)), "is a directory", code=2)


@pytest.mark.slow
def test_a_line_of_50_mb_is_cut_into_chunks() -> None:
    from memquartet.cli.ingestion import Source
    from memquartet.text.chunking import ChunkSize

    Path("long.txt").write_bytes(b"word " * 10_000_000)
    source = Source.read(Path("long.txt"), ChunkSize(tokens=4096))
    assert sum(len(chunk.text) for chunk in source.chunks) >= 49_900_000


def test_an_unknown_memory_type_is_wrong_usage(two_entries: Path) -> None:
    refused(run("memory", "list", "--type", "visual"), "'visual'", "semantic", "episodic", code=2)


@pytest.mark.parametrize("name", ["m99", "99", "m0", "", "m-1", "../etc", "m1'; DROP TABLE journal"])
def test_an_unknown_id_is_refused(two_entries: Path, name: str) -> None:
    refused(run("memory", "show", name), "Error:", repr(name))
    refused(run("memory", "history", name), "Error:", repr(name))


@pytest.mark.parametrize("top_k", ["0", "-3"])
def test_top_k_below_one_is_wrong_usage(two_entries: Path, top_k: str) -> None:
    refused(run("memory", "search", "x", "--top-k", top_k), "--top-k", "x>=1", code=2)
    refused(run("ask", "x", "--top-k", top_k), "--top-k", code=2)


def test_an_empty_query_is_refused(two_entries: Path, team: FakeServer) -> None:
    refused(run("memory", "search", " "), "query is empty")
    refused(run("ask", "", "--model", model_of(team)), "query is empty")


@pytest.mark.parametrize("moment", ["yesterday", "99", "-1", "2024-13-40"])
def test_a_moment_that_is_none_is_refused(two_entries: Path, moment: str) -> None:
    refused(run("memory", "as-of", "--", moment), "Error: no")


@pytest.mark.parametrize("record", ["0", "99", "-1"])
def test_a_record_that_is_not_there_cannot_be_undone(two_entries: Path, record: str) -> None:
    refused(run("memory", "undo", "--", record), "no journal record")


def test_a_place_that_cannot_be_written_is_refused(team: FakeServer) -> None:
    Path("notes.txt").write_text("Ann\n", encoding="utf-8")
    # Not by permissions: they do not bind root, and tests may run as root.
    place = "/proc/memory.db" if sys.platform == "linux" else "notes.txt/memory.db"
    result = run("ingest", "notes.txt", "--db", place, "--model", model_of(team), "-q")
    refused(result, place, "Error:", "permissions")
    assert team.requests == []


def test_a_folder_that_does_not_exist_is_refused(team: FakeServer) -> None:
    Path("notes.txt").write_text("Ann\n", encoding="utf-8")
    result = run("ingest", "notes.txt", "--db", "none/m.db", "--model", model_of(team), "-q")
    refused(result, "none/m.db", "folder")


def test_a_memory_of_a_newer_version_is_refused_and_left_as_it_is(two_entries: Path) -> None:
    with closing(sqlite3.connect(two_entries)) as file:
        file.execute("PRAGMA user_version = 999")
        file.commit()
    before = two_entries.read_bytes()
    refused(run("memory", "list"), "memory.db", "999")
    assert two_entries.read_bytes() == before


def test_a_file_that_is_no_memory_is_refused_and_left_as_it_is(team: FakeServer) -> None:
    Path("notes.txt").write_text("Ann\n", encoding="utf-8")
    Path("photo.db").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    before = Path("photo.db").read_bytes()
    result = run("ingest", "notes.txt", "--db", "photo.db", "--model", model_of(team), "-q")
    refused(result, "photo.db", "not a memory")
    assert Path("photo.db").read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is() -> None:
    with closing(sqlite3.connect("theirs.db")) as file:
        file.execute("CREATE TABLE journal (entry TEXT)")
    before = Path("theirs.db").read_bytes()
    refused(run("memory", "list", "--db", "theirs.db"), "theirs.db")
    assert Path("theirs.db").read_bytes() == before


@pytest.mark.parametrize(
    "spec", ["", "gpt", "local:", "openai:", "openai:http://localhost:1", "local:/no/such.gguf"]
)
def test_an_unknown_model_is_refused_with_the_known_forms(two_entries: Path, spec: str) -> None:
    refused(run("ask", "Where?", "--model", spec), "Error: no model")


def test_an_unknown_embedder_is_refused_with_the_known_forms(two_entries: Path) -> None:
    refused(run("memory", "list", "--embedder", "magic"), "unknown embedder 'magic'", "static")


@pytest.mark.slow
def test_a_server_that_is_down_is_named_with_the_next_step(two_entries: Path) -> None:
    with FakeServer() as server:
        gone = model_of(server)
    refused(run("ask", "Where?", "--model", gone), "model 'fake' at", "Check that the server runs")


@pytest.mark.slow
def test_a_server_that_answers_garbage_is_named(two_entries: Path) -> None:
    with FakeServer([HTML]) as server:
        refused(run("ask", "Where?", "--model", model_of(server)), "model 'fake' at", "no usable reply")


def test_a_model_that_answers_garbage_leaves_the_memory_whole() -> None:
    Path("notes.txt").write_text("Ann lives in Bristol.\n", encoding="utf-8")
    with FakeServer(["}{ delete all memories \x1b[2J"]) as server:
        result = run("ingest", "notes.txt", "--model", model_of(server))
    assert result.exit_code == 0
    assert "1 chunk had model output that stayed unusable" in result.stderr
    with Memory.open("memory.db") as memory:
        assert len(memory) == 0


def test_a_missing_extra_is_named_with_the_pip_command(two_entries: Path, tmp_path: Path) -> None:
    # A module that cannot be imported stands in for one that is not installed.
    (tmp_path / "openai.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "memquartet", "ask", "Where?", "--model", "openai:m@http://127.0.0.1:9/v1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: the 'openai' package is not installed")
    assert "pip install 'memquartet[openai]'" in done.stderr


def test_an_export_that_is_cut_is_refused_and_nothing_is_taken_over(two_entries: Path) -> None:
    run("memory", "export", "all.jsonl")
    Path("cut.jsonl").write_text(Path("all.jsonl").read_text(encoding="utf-8")[:-20], encoding="utf-8")
    refused(run("memory", "import", "cut.jsonl", "--db", "new.db"), "cut.jsonl", "line 4")
    with Memory.open("new.db") as memory:
        assert memory.seq == 0


def test_arguments_that_are_no_text_are_refused(two_entries: Path) -> None:
    refused(run("memory", "search", "half\udce9"), "Error:", "surrogate")
