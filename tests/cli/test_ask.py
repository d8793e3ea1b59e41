from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.cli.support import ANSWER, model_of, read_json, run

from memquartet.cli.options import local_time
from memquartet.memory.memory import Memory
from memquartet.testing.server import FakeServer, error_reply


def test_a_question_is_answered_from_the_memory(two_entries: Path, team: FakeServer) -> None:
    result = run("ask", "Where does Ann live?", "--model", model_of(team))
    assert result.stdout == ANSWER + "\n"
    assert "m1" in result.stderr
    (request,) = team.requests
    assert "Ann lives in Bristol" in str(request.body)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_yesterday_is_the_day_before_the_one_on_the_wall(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        told, wall = local_time(), datetime.now(ZoneInfo(zone))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told.tzinfo is None
    assert abs(told - wall.replace(tzinfo=None)) < timedelta(minutes=1)


def test_json_names_the_memories_that_were_shown(two_entries: Path, team: FakeServer) -> None:
    told = read_json(run("ask", "Where does Ann live?", "--top-k", "1", "--model", model_of(team), "--json"))
    assert told["answer"] == ANSWER
    assert [entry["id"] for entry in told["memories"]] == ["m1"]


def test_the_model_may_search_again_when_it_is_allowed_to(two_entries: Path) -> None:
    asked = ["ask", "Who?", "--top-k", "1", "--max-searches", "1", "--model"]
    with FakeServer(["search: Where does Ann live?", ANSWER]) as server:
        told = read_json(run(*asked, model_of(server), "--json"))
        assert (told["answer"], told["searches"]) == (ANSWER, ["Where does Ann live?"])
        assert "Ann lives in Bristol" in str(server.requests[-1].body)
    with FakeServer(["search: Where does Ann live?", ANSWER]) as server:
        assert "searched for: Where does Ann live?" in run(*asked, model_of(server)).stderr


def test_a_question_without_a_word_says_why_the_model_sees_no_memory(
    two_entries: Path, team: FakeServer
) -> None:
    assert "'🐶' holds no word or number" in run("ask", "🐶", "--model", model_of(team)).stderr
    assert "holds no word" not in run("ask", "Where is the 🐶?", "--model", model_of(team)).stderr


def test_asking_writes_nothing(two_entries: Path, team: FakeServer) -> None:
    with Memory.open(two_entries) as memory:
        before = memory.canonical_bytes()
        run("ask", "Where does Ann live?", "--model", model_of(team))
        assert memory.canonical_bytes() == before


def test_another_users_memories_are_not_shown(team: FakeServer) -> None:
    with Memory.open("memory.db") as memory:
        from memquartet.core.memory import Scope

        memory.insert("semantic", "Ann's secret is 1234", scope=Scope(user_id="ann"))
    run("ask", "What is the secret?", "--user", "eve", "--model", model_of(team))
    assert "1234" not in str(team.requests[0].body)


def test_a_failing_server_is_one_clear_line(two_entries: Path) -> None:
    with FakeServer([error_reply(401, "who are you")]) as server:
        result = run("ask", "Where?", "--model", model_of(server))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: model 'fake' at 'http://127.0.0.1")
    assert "OPENAI_API_KEY" in result.stderr


def test_lines_of_what_was_read_are_shown_when_asked_for(team: FakeServer) -> None:
    Path("notes.txt").write_text("Nice weather today.\n", encoding="utf-8")
    read = run("ingest", "notes.txt", "--line-top-k", "3", "--model", model_of(team))
    assert read.exit_code == 0, read.stderr
    for wish, shown in ((), False), (("--line-top-k", "2"), True):
        run("ask", "How is the weather?", *wish, "--model", model_of(team))
        assert ("- Nice weather today." in str(team.requests[-1].body)) is shown
    (line,) = read_json(run("memory", "list", "--type", "verbatim", "--json"))["entries"]
    assert line["content"] == "Nice weather today."
