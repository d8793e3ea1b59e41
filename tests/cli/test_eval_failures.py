"""What `eval run` does with damaged data and a failing world, for every benchmark, at the command itself."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cli.support import ANSWER, model_of, read_json, run

from memquartet.testing.server import FakeServer, Received, Served, error_reply

# Any: records as they stand in a file, with faults put in.
Row = dict[str, Any]
FACTS: Row = {
    "context": "Here is a list of facts:\n0. Ann lives in Leeds.\n1. Ann lives in Bristol.",
    "questions": ["Where does Ann live?"],
    "answers": [["Bristol"]],
    "metadata": {"source": "factconsolidation_sh_6k", "qa_pair_ids": ["p1"]},
}
LOCOMO: Row = {
    "sample_id": "c1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bob",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "I live in Bristol."}],
    },
    "qa": [
        {"question": "Where does Ann live?", "answer": "Bristol", "evidence": ["D1:1"], "category": 4},
        {"question": "Where does Bob live?", "adversarial_answer": "Bristol", "category": 5},
    ],
}
CHATS: Row = {
    "question_id": "q1",
    "question_type": "single-session-user",
    "question": "Where do I live?",
    "answer": "Bristol",
    "question_date": "2023/06/18 (Sun) 14:57",
    "haystack_dates": ["2023/06/17 (Sat) 00:29"],
    "haystack_session_ids": ["s1"],
    "haystack_sessions": [[{"role": "user", "content": "I live in Bristol."}]],
}
TASK: Row = {
    "test_idx": 0,
    "input_prompt": "Where?",
    "dataset_name": "Locomo-0",
    "lang": "en",
    "info": "{'golden_answer': 'Bristol', 'category': 4}",
    "dialog_bm25": "[{'role': 'user', 'content': 'Hi'}]",
}
NAMES = {
    "memoryagentbench:factconsolidation_sh_6k": FACTS,
    "locomo": LOCOMO,
    "longmemeval:oracle": CHATS,
    "memorybench:Locomo-0": TASK,
}


def put(
    benchmark: str, rows: list[Row], corpus: str = json.dumps({"conversation": LOCOMO["conversation"]})
) -> Path:
    """The rows as the files of a benchmark; MemoryBench gets a sound training part and a corpus."""
    text = "\n".join(json.dumps(row) for row in rows)
    if not benchmark.startswith("memorybench"):
        Path("data.jsonl").write_text(text, encoding="utf-8")
        return Path("data.jsonl")
    folder = Path("bench/Locomo-0")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.jsonl").write_text(text, encoding="utf-8")
    (folder / "train.jsonl").write_text(json.dumps({**TASK, "test_idx": 7}), encoding="utf-8")
    (folder.parent / "corpus").mkdir(exist_ok=True)
    (folder.parent / "corpus" / "Locomo-0.jsonl").write_text(json.dumps({"text": corpus}), encoding="utf-8")
    return folder.parent


def command(benchmark: str, data: Path, team: FakeServer, *more: str) -> tuple[str | Path, ...]:
    return (
        "eval", "run", "--benchmark", benchmark, "--data", data, "--system", "rag_bm25",
        "--model", model_of(team), "--out", "out", *more,
    )  # fmt: skip


def changed(row: Row, key: str, value: object) -> Row:
    """The row with one field, named by its path, set to a value or (None) left out."""
    copy = json.loads(json.dumps(row))
    *path, last = key.split(".")
    place = copy
    for name in path:
        place = place[int(name) if isinstance(place, list) else name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(copy)


@pytest.mark.parametrize("benchmark", NAMES)
def test_sound_records_are_read_asked_and_scored(benchmark: str, team: FakeServer) -> None:
    told = read_json(run(*command(benchmark, put(benchmark, [NAMES[benchmark]]), team, "--json")))
    assert told["results"][0]["counts"]["unscored"] == 0


FAULTS: Mapping[str, tuple[str, Callable[[Row], list[Row]], str]] = {
    "MAB, no column": ("memoryagentbench:factconsolidation_sh_6k", lambda row: [changed(row, "answers", None)], "answers"),
    "MAB, wrong type": ("memoryagentbench:factconsolidation_sh_6k", lambda row: [changed(row, "questions", "Where?")], "questions"),
    "MAB, one id twice": (
        "memoryagentbench:factconsolidation_sh_6k",
        lambda row: [
            {**row, "questions": ["a?", "b?"], "answers": [["a"], ["b"]],
             "metadata": {**row["metadata"], "qa_pair_ids": ["p1", "p1"]}}
        ],
        "names more than one question",
    ),
    "MAB, empty context": ("memoryagentbench:factconsolidation_sh_6k", lambda row: [{**row, "context": "  "}], "context"),
    "LoCoMo, no column": ("locomo", lambda row: [changed(row, "qa.0.question", None)], "qa[0].question"),
    "LoCoMo, wrong type": ("locomo", lambda row: [changed(row, "qa.0.category", "four")], "qa[0].category"),
    "LoCoMo, one id twice": ("locomo", lambda row: [row, row], "c1"),
    "LoCoMo, empty context": ("locomo", lambda row: [changed(row, "conversation.session_1", [])], "no session has a turn"),
    "LongMemEval, no column": ("longmemeval:oracle", lambda row: [changed(row, "question_date", None)], "question_date"),
    "LongMemEval, wrong type": ("longmemeval:oracle", lambda row: [changed(row, "haystack_dates", 7)], "haystack_dates"),
    "LongMemEval, one id twice": ("longmemeval:oracle", lambda row: [row, row], "q1"),
    "LongMemEval, empty context": ("longmemeval:oracle", lambda row: [{**row, "haystack_sessions": [[]]}], "no session has a turn"),
    "MemoryBench, no column": ("memorybench:Locomo-0", lambda row: [changed(row, "lang", None)], "lang"),
    "MemoryBench, wrong type": ("memorybench:Locomo-0", lambda row: [changed(row, "test_idx", "0")], "test_idx"),
    "MemoryBench, one id twice": ("memorybench:Locomo-0", lambda row: [row, row], "comes twice"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_records_are_refused_with_their_place_before_anything_is_asked(
    fault: str, team: FakeServer
) -> None:
    benchmark, damage, named = FAULTS[fault]
    result = run(*command(benchmark, put(benchmark, damage(NAMES[benchmark])), team))
    assert result.exit_code == 1, result.output
    assert named in result.stderr
    assert "Traceback" not in result.stderr
    assert team.requests == []
    assert not Path("out").exists()


def test_an_empty_corpus_is_refused(team: FakeServer) -> None:
    result = run(*command("memorybench:Locomo-0", put("memorybench", [TASK], corpus=" "), team))
    assert result.exit_code == 1
    assert 'expected one row with a "text" that is not empty' in result.stderr


def test_a_judge_that_says_neither_yes_nor_no_leaves_its_questions_unscored_and_not_those_with_an_official_rule(
    team: FakeServer,
) -> None:
    data = put("locomo", [LOCOMO])
    with FakeServer(["It depends."] * 3) as judge:
        more = ("--judge", f"openai:judge@{judge.base_url}", "--json")
        result = run(*command("locomo", data, team, *more))
    assert result.exit_code == 1
    assert "1 answers have no verdict of the judge" in result.stderr
    scores = json.loads(result.stdout)["results"][0]["scores"]
    assert (scores["single-hop"]["mean"], scores["single-hop"]["unscored"]) == (None, 1)
    assert (scores["adversarial"]["mean"], scores["adversarial"]["unscored"]) == (0.0, 0)


def many(questions: int) -> Row:
    asked = [f"Where does Person{number} live?" for number in range(questions)]
    return {**FACTS, "questions": asked, "answers": [["Bristol"]] * questions, "metadata": {"source": "factconsolidation_sh_6k"}}  # fmt: skip


def test_a_server_that_dies_half_way_leaves_the_rest_unscored_and_the_same_command_goes_on() -> None:
    data = put("memoryagentbench", [many(8)])
    answered = 0
    alive = False

    def reply(_: Received) -> Served | str:
        nonlocal answered
        if answered == 3 and not alive:
            return error_reply(403)
        answered += 1
        return ANSWER

    with FakeServer(reply) as server:
        asked = command("memoryagentbench:factconsolidation_sh_6k", data, server, "--questions-at-once", "1")
        first = run(*asked)
        assert first.exit_code == 1
        assert "5 questions have no answer (ModelServerError" in first.stderr
        results = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["results"]
        assert (results[0]["counts"]["scored"], results[0]["scores"]["overall"]["mean"]) == (3, 1.0)
        alive = True
        told = read_json(run(*asked, "--json"))
    assert told["results"][0]["counts"]["scored"] == 8
    assert answered == 8


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("size", [0, 4_000, 60_000, 200_000])
def test_on_a_full_disk_the_run_ends_with_what_to_do_and_goes_on_when_there_is_room(
    size: int, team: FakeServer
) -> None:
    data = put("memoryagentbench", [many(60)])
    asked = command("memoryagentbench:factconsolidation_sh_6k", data, team)
    with full_disk(size):
        broken = run(*asked)
    assert broken.exit_code == 1, broken.output
    assert "Traceback" not in broken.output
    assert "make room" in broken.stderr
    told = read_json(run(*asked, "--json"))
    assert told["results"][0]["counts"]["scored"] == 60
    assert told["results"][0]["scores"]["overall"]["mean"] == 1.0
