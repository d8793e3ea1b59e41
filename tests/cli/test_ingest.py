from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.cli.support import Gate, facts, kill, model_of, play_team, read_json, run, start

from memquartet.memory.memory import Memory
from memquartet.testing.server import FakeServer, Received, Served, error_reply

SMALL = ("--chunk-tokens", "24")


def contents(path: Path | str = "memory.db") -> list[str]:
    with Memory.open(path) as memory:
        return [entry.content for entry in memory.entries()]


def text_file(count: int, name: str = "notes.txt") -> Path:
    path = Path(name)
    path.write_text("\n".join(facts(count)) + "\n", encoding="utf-8")
    return path


def test_a_text_is_remembered_fact_by_fact(team: FakeServer) -> None:
    result = run("ingest", text_file(5), *SMALL, "--model", model_of(team))
    assert result.exit_code == 0, result.stderr
    assert contents() == list(facts(5))
    assert "5/5" in result.stdout


def test_a_chat_is_remembered_with_the_day_it_was_said(team: FakeServer) -> None:
    message = {"speaker": "Ann", "text": "I moved to Bristol.", "time": "2024-05-08T09:30:00+00:00"}
    Path("chat.jsonl").write_text(json.dumps(message) + "\n", encoding="utf-8")
    assert run("ingest", "chat.jsonl", "--model", model_of(team)).exit_code == 0
    (entry,) = read_json(run("memory", "list", "--json"))["entries"]
    assert entry["content"] == "Ann: I moved to Bristol."
    assert entry["meta"]["said_at"] == "2024-05-08T09:30:00+00:00"


def test_a_locomo_file_is_remembered(team: FakeServer) -> None:
    conversation = {
        "speaker_a": "Ann",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "I moved to Bristol."}],
    }
    sample = {"sample_id": "c", "conversation": conversation, "qa": []}
    Path("locomo.json").write_text(json.dumps([sample]), encoding="utf-8")
    assert run("ingest", "locomo.json", "--model", model_of(team)).exit_code == 0
    assert contents() == ["Ann: I moved to Bristol."]


def test_small_talk_goes_to_the_short_term_memory(team: FakeServer) -> None:
    Path("notes.txt").write_text("Nice weather today.\n", encoding="utf-8")
    assert run("ingest", "notes.txt", "--model", model_of(team)).exit_code == 0
    listed = read_json(run("memory", "list", "--json"))
    assert listed["entries"] == []
    assert listed["state"]["text"] == "They talk about the weather."


def test_entries_belong_to_the_scope_they_were_read_for(team: FakeServer) -> None:
    notes = text_file(1)
    for user in ("ann", "bob"):
        assert run("ingest", notes, "--user", user, "--model", model_of(team)).exit_code == 0
    assert len(contents()) == 2
    (entry,) = read_json(run("memory", "list", "--user", "bob", "--json"))["entries"]
    assert entry["scope"] == {"user_id": "bob", "agent_id": None, "run_id": None}


def test_the_next_step_names_the_memory_that_was_written(team: FakeServer) -> None:
    options = ("--db", "my notes.db", "--user", "ann")
    told = run("ingest", text_file(1), *options, "--model", model_of(team)).stderr
    assert "Next: memquartet ask QUESTION --db 'my notes.db' --user ann\n" in told


def test_json_tells_what_came_of_each_file(team: FakeServer) -> None:
    result = run("ingest", text_file(3), *SMALL, "--model", model_of(team), "--json")
    told = read_json(result)
    assert result.stderr == ""
    assert told["entries"] == 3
    (file,) = told["files"]
    assert file["finished"]
    assert (file["chunks"], file["chunks_before"], file["chunks_now"], file["facts"]) == (3, 0, 3, 3)
    assert file["decisions"] == {"ADD": 3, "UPDATE": 0, "DELETE": 0, "NOOP": 0}


def test_a_finished_file_is_not_read_again_under_any_name(team: FakeServer) -> None:
    notes = text_file(3)
    run("ingest", notes, *SMALL, "--model", model_of(team))
    asked = len(team.requests)
    result = run("ingest", notes.rename("renamed.txt"), *SMALL, "--model", model_of(team))
    assert result.exit_code == 0
    assert "already finished" in result.stderr
    assert len(team.requests) == asked
    assert contents() == list(facts(3))


def test_a_file_whose_last_chunks_leave_nothing_is_finished_too() -> None:
    with FakeServer(['{"semantic": [], "episodic": [], "unimportant": []}']) as server:
        notes = text_file(2)
        run("ingest", notes, *SMALL, "--model", model_of(server))
        asked = len(server.requests)
        assert "already finished" in run("ingest", notes, *SMALL, "--model", model_of(server)).stderr
        assert len(server.requests) == asked


@pytest.mark.parametrize("agent", ["You extract facts", "You keep a long-term memory"])
def test_after_sigkill_nothing_is_lost_nothing_doubled_and_the_same_command_goes_on(
    agent: str, tmp_path: Path
) -> None:
    gate = Gate(agent, "Drawer number 5 ")
    notes = text_file(9)
    with FakeServer(gate) as server:
        command = ("ingest", notes, *SMALL, "--model", model_of(server))
        child = start(*command, cwd=tmp_path)
        assert gate.reached.wait(60)
        acknowledged = contents()
        assert acknowledged == list(facts(5))
        code, _, _ = kill(child, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert contents() == acknowledged

        gate.open = True
        before = len(server.requests)
        result = run(*command)
        assert result.exit_code == 0
        assert "went on behind chunk 5 of 9" in result.stderr
        read_again = [
            request for request in server.requests[before:] if _mentions(request, "Drawer number 4 ")
        ]
        assert not [request for request in read_again if "You extract facts" in str(request.body)]
    assert contents() == list(facts(9))
    with Memory.open("memory.db") as memory:
        assert Memory.replay(memory).canonical_bytes() == memory.canonical_bytes()


def test_ctrl_c_says_what_was_kept_and_how_to_go_on(tmp_path: Path) -> None:
    gate = Gate("You extract facts", "Drawer number 2 ")
    notes = text_file(4)
    with FakeServer(gate) as server:
        child = start("ingest", notes, *SMALL, "--model", model_of(server), cwd=tmp_path)
        assert gate.reached.wait(60)
        code, out, err = kill(child, signal.SIGINT)
    assert code == 130
    assert out == ""
    assert "Interrupted. Kept: 2 of 4 chunks of notes.txt. Run the same command again" in err
    assert "Traceback" not in err
    assert contents() == list(facts(2))


def test_a_server_that_fails_in_the_middle_loses_nothing() -> None:
    broken = True

    def respond(received: Received) -> Served | str:
        if broken and _mentions(received, "Drawer number 3 "):
            return error_reply(403, "no more credit")
        return play_team(received)

    notes = text_file(6)
    with FakeServer(respond) as server:
        command = ("ingest", notes, *SMALL, "--model", model_of(server))
        failed = run(*command)
        assert failed.exit_code == 1
        assert failed.stderr.splitlines()[-2].startswith("Error: model 'fake' at")
        assert "Kept: 3 of 6 chunks of notes.txt. Run the same command again" in failed.stderr
        assert contents() == list(facts(3))
        told = json.loads(run(*command, "--json").stdout)
        assert told["files"][0]["failure"]["kind"] == "ModelServerError"
        broken = False
        assert run(*command).exit_code == 0
    assert contents() == list(facts(6))


def test_two_processes_may_read_into_one_file(tmp_path: Path) -> None:
    with FakeServer(play_team) as server:
        first, second = text_file(6), Path("other.txt")
        second.write_text(
            "\n".join(f"The {n}th bird on roof {n} is a blue one." for n in range(6)), encoding="utf-8"
        )
        children = [
            start("ingest", path, *SMALL, "--model", model_of(server), cwd=tmp_path)
            for path in (first, second)
        ]
        for child in children:
            _, err = child.communicate(timeout=100)
            assert child.returncode == 0, err
    expected = [*facts(6), *(f"The {n}th bird on roof {n} is a blue one." for n in range(6))]
    assert Counter(contents()) == Counter(expected)


def _mentions(received: Received, text: str) -> bool:
    messages = received.body["messages"]
    assert isinstance(messages, list)
    return text in messages[-1]["content"]
