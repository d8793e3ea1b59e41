from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.support import model_of, read_json, run

from memquartet.memory.memory import Memory
from memquartet.testing.server import FakeServer


def test_list_shows_the_newest_last_and_markup_as_it_stands(two_entries: Path) -> None:
    result = run("memory", "list")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "m1", "m2"]
    assert "[bold]fast[/bold]" in lines[2]
    assert "2 of 2 entries" in result.stderr


def test_list_is_limited_to_the_newest(two_entries: Path) -> None:
    listed = read_json(run("memory", "list", "--limit", "1", "--json"))
    assert listed["total"] == 2
    assert [entry["id"] for entry in listed["entries"]] == ["m2"]
    assert len(read_json(run("memory", "list", "--limit", "0", "--json"))["entries"]) == 2


def test_list_shows_one_type(two_entries: Path) -> None:
    entries = read_json(run("memory", "list", "--type", "semantic", "--json"))["entries"]
    assert [entry["content"] for entry in entries] == ["Ann lives in Bristol"]


def test_control_characters_are_spelled_out(tmp_path: Path) -> None:
    with Memory.open("memory.db") as memory:
        memory.insert("semantic", "red \x1b[31malert\u202e")
    shown = run("memory", "list").stdout
    assert "\x1b" not in shown
    assert "red \\x1b[31malert\\u202e" in shown


@pytest.mark.parametrize("method", ["hybrid", "bm25", "embedding"])
def test_search_finds_the_fitting_entry_first(two_entries: Path, method: str) -> None:
    found = read_json(run("memory", "search", "who ran a marathon?", "--method", method, "--json"))
    assert found[0]["id"] == "m2"
    assert "m2" in run("memory", "search", "marathon", "--method", method).stdout


def test_search_without_a_hit_says_so(two_entries: Path) -> None:
    result = run("memory", "search", "zeppelin", "--method", "bm25")
    assert result.exit_code == 0
    assert "nothing found" in result.stderr


def test_show_tells_where_an_entry_came_from(two_entries: Path) -> None:
    shown = run("memory", "show", "m1").stdout
    assert "Ann lives in Bristol" in shown
    assert "by user, journal record 3" in shown
    assert read_json(run("memory", "show", "m1", "--json"))["last_change"]["seq"] == 3


def test_history_shows_every_change_also_of_a_deleted_entry(two_entries: Path) -> None:
    with Memory.open(two_entries) as memory:
        memory.delete("m1")
    changes = [
        line.split("  ")[-1].strip() for line in run("memory", "history", "m1").stdout.splitlines()[1:]
    ]
    assert changes == [
        "new: Ann lives in Leeds",
        "Ann lives in Leeds → Ann lives in Bristol",
        "deleted: Ann lives in Bristol",
    ]


def test_as_of_shows_the_past_by_record_and_by_time(two_entries: Path) -> None:
    entries = read_json(run("memory", "as-of", "1", "--json"))["entries"]
    assert [entry["content"] for entry in entries] == ["Ann lives in Leeds"]
    assert read_json(run("memory", "as-of", "1999-12-31", "--json"))["entries"] == []
    assert len(read_json(run("memory", "as-of", "2999-12-31T12:00:00+02:00", "--json"))["entries"]) == 2


def test_diff_shows_what_was_added_changed_and_removed(two_entries: Path) -> None:
    assert run("memory", "diff", "1").stdout.splitlines() == [
        "+ m2  Bob ran a marathon [bold]fast[/bold]",
        "- m1  Ann lives in Leeds",
        "+ m1  Ann lives in Bristol",
    ]
    found = read_json(run("memory", "diff", "2", "3", "--json"))
    assert (found["added"], found["removed"]) == ([], [])
    assert found["changed"][0]["after"]["content"] == "Ann lives in Bristol"
    assert "no difference" in run("memory", "diff", "3").stderr


def test_undo_takes_a_change_back_and_can_be_undone(two_entries: Path) -> None:
    assert "m1 is: Ann lives in Leeds" in run("memory", "undo", "3").stdout
    assert read_json(run("memory", "undo", "4", "--json"))["entry"]["content"] == "Ann lives in Bristol"
    assert "m2 is gone" in run("memory", "undo", "2").stdout


def test_undo_of_a_record_that_others_built_on_is_refused(two_entries: Path) -> None:
    result = run("memory", "undo", "1")
    assert result.exit_code == 1
    assert "undo record 3 first" in result.stderr


@pytest.mark.parametrize("query", ["🐶", "?!"])
def test_a_search_without_a_word_says_why_it_finds_nothing(two_entries: Path, query: str) -> None:
    result = run("memory", "search", query)
    assert (result.exit_code, "holds no word or number" in result.stderr) == (0, True)
    assert "nothing found" in result.stderr
    as_json = run("memory", "search", query, "--json")
    assert (as_json.stdout, "holds no word or number" in as_json.stderr) == ("[]\n", True)


def test_undo_stays_within_the_scope_that_was_given(two_entries: Path) -> None:
    with Memory.open(two_entries) as memory:
        before = memory.canonical_bytes()
        result = run("memory", "undo", "3", "--user", "eve")
        assert result.exit_code == 1
        assert "outside the scope" in result.stderr
        assert memory.canonical_bytes() == before


def test_undo_takes_a_state_back() -> None:
    with Memory.open("memory.db") as memory:
        memory.set_state("They talk about tea.")
    assert read_json(run("memory", "undo", "1", "--json"))["state"] == ""


def test_import_rebuilds_what_export_wrote(two_entries: Path) -> None:
    assert run("memory", "export", "all.jsonl").exit_code == 0
    assert run("memory", "export", "-").stdout == Path("all.jsonl").read_text(encoding="utf-8")
    told = read_json(run("memory", "import", "all.jsonl", "--db", "copy.db", "--json"))
    assert (told["records"], told["entries"]) == (3, 2)
    with Memory.open(two_entries) as original, Memory.open("copy.db") as copy:
        assert copy.canonical_bytes() == original.canonical_bytes()


def test_import_of_a_missing_file_leaves_no_memory_behind() -> None:
    result = run("memory", "import", "absent.jsonl", "--db", "new.db")
    assert result.exit_code != 0
    assert "absent.jsonl" in result.stderr
    assert not Path("new.db").exists()


def test_import_of_a_damaged_file_leaves_no_memory_behind_and_an_empty_one_as_it_was(
    two_entries: Path, tmp_path: Path
) -> None:
    run("memory", "export", "all.jsonl")
    lines = Path("all.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text("".join([*lines[:-1], lines[-1][:20]]), encoding="utf-8")
    Memory.open("empty.db").close()
    for db in ("new.db", "empty.db"):
        result = run("memory", "import", str(damaged), "--db", db)
        assert result.exit_code == 1
        assert "line 4" in result.stderr
    assert not list(Path().glob("new.db*"))
    assert read_json(run("memory", "list", "--db", "empty.db", "--json"))["total"] == 0


def test_import_into_a_memory_that_is_not_empty_is_refused(two_entries: Path) -> None:
    run("memory", "export", "all.jsonl")
    result = run("memory", "import", "all.jsonl")
    assert result.exit_code == 1
    assert "Error: this memory has 3 journal records" in result.stderr


def test_replay_verifies_the_journal(two_entries: Path) -> None:
    assert read_json(run("memory", "replay", "--json")) == {"same": True, "records": 3, "entries": 2}
    assert "byte for byte" in run("memory", "replay").stdout


def test_rethink_removes_what_stands_twice(team: FakeServer) -> None:
    with Memory.open("memory.db") as memory:
        memory.insert("semantic", "Ann has a beagle")
        memory.insert("semantic", "ann has a  beagle")
    told = read_json(run("memory", "rethink", "--model", model_of(team), "--json"))
    assert (told["changes"], told["entries"]) == (1, 1)


def test_reembed_changes_the_embedder_that_the_file_wants(two_entries: Path) -> None:
    result = run("memory", "reembed", "none")
    assert result.exit_code == 0, result.stderr
    refused = run("memory", "list")
    assert refused.exit_code == 1
    assert "Error:" in refused.stderr
    assert run("memory", "search", "marathon", "--embedder", "none").exit_code == 0


def test_json_is_all_that_stdout_holds(two_entries: Path) -> None:
    for args in (
        ["list"],
        ["search", "marathon"],
        ["show", "m1"],
        ["history", "m1"],
        ["as-of", "2"],
        ["diff", "0"],
        ["replay"],
        ["undo", "3"],
        ["export", "e.jsonl"],
    ):
        result = run("memory", *args, "--json")
        assert result.exit_code == 0, result.output
        json.loads(result.stdout)
        assert result.stderr == ""
