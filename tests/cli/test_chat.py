from __future__ import annotations

import signal
from pathlib import Path

from tests.cli.support import ANSWER, Gate, kill, model_of, run, start

from memquartet.memory.memory import Memory
from memquartet.testing.server import FakeServer, error_reply


def test_each_exchange_is_answered_and_remembered(team: FakeServer) -> None:
    result = run("chat", "--model", model_of(team), stdin="I moved to Bristol.\n/quit\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == ANSWER + "\n"
    with Memory.open("memory.db") as memory:
        contents = [entry.content for entry in memory.entries()]
        origins = {record.provenance.origin[:5] for record in memory.journal()}
    assert "User: I moved to Bristol." in contents
    assert origins == {"chat:"}


def test_a_message_is_answered_with_what_was_remembered_and_just_said(
    two_entries: Path, team: FakeServer
) -> None:
    run("chat", "--model", model_of(team), stdin="Hello there!\nWhere does Ann live?\n")
    chats = [
        request.body["messages"]
        for request in team.requests
        if "response_format" not in request.body and "memories" in str(request.body)
    ]
    last = str(chats[-1])
    assert "Ann lives in Bristol" in last
    assert "Hello there!" in last


def test_slash_commands_show_memory_and_state(two_entries: Path, team: FakeServer) -> None:
    result = run("chat", "--model", model_of(team), stdin="/memory\n/state\n/dance\n")
    assert result.exit_code == 0
    assert "Ann lives in Bristol" in result.stdout
    assert "(empty)" in result.stdout
    assert "no command '/dance'" in result.stderr
    assert team.requests == []


def test_a_failing_server_does_not_end_the_talk() -> None:
    with FakeServer([error_reply(403)]) as server:
        result = run("chat", "--model", model_of(server), stdin="Hello!\n/state\n")
    assert result.exit_code == 0
    assert "Error: model 'fake'" in result.stderr
    assert "(empty)" in result.stdout


def test_ctrl_c_ends_the_talk_and_keeps_what_was_remembered(tmp_path: Path) -> None:
    gate = Gate("You extract facts", "second")
    with FakeServer(gate) as server:
        (tmp_path / "said.txt").write_text("the first thing\nthe second thing\n", encoding="utf-8")
        with (tmp_path / "said.txt").open("rb") as said:
            child = start("chat", "--model", model_of(server), cwd=tmp_path, stdin=said)
        assert gate.reached.wait(60)
        code, _, err = kill(child, signal.SIGINT)
    assert code == 130
    assert "Every exchange that was remembered is kept" in err
    with Memory.open("memory.db") as memory:
        assert any("the first thing" in entry.content for entry in memory.entries())
