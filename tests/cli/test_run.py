from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

from tests.cli.support import Gate, kill, model_of, read_json, run, start

from memquartet.benchmarks.dataset import save_samples
from memquartet.benchmarks.demo import load_demo
from memquartet.testing.server import FakeServer, error_reply


def test_systems_are_scored_by_category_with_n_and_interval(team: FakeServer) -> None:
    result = run("run", "demo", "--model", model_of(team), "--out", "out")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["CATEGORY", "N", "QUARTET", "NO_MEMORY", "RAG_BM25"]
    overall = next(line for line in lines if line.startswith("overall"))
    assert overall.split()[:2] == ["overall", "10"]
    assert "[" in overall
    assert any(line.startswith("memory tokens a sample") for line in lines)
    written = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert [result["system"] for result in written["results"]] == ["quartet", "no_memory", "rag_bm25"]
    assert Path("out/quartet.jsonl").exists()


def test_the_demo_shows_each_decision_and_each_answer(team: FakeServer) -> None:
    result = run("demo", "--model", model_of(team))
    assert result.exit_code == 0, result.output
    assert "[Monday 4 March 2024, 18:30]" in result.stdout
    assert "+ ADD" in result.stdout
    assert "short-term memory: They talk about the weather." in result.stdout
    assert "Which city does Mira live in now?  → Bristol" in result.stdout
    assert result.stdout.count("rag_bm25  ") == 10
    assert read_json(run("memory", "list", "--db", "runs/demo/memory.db", "--json"))["total"] > 0
    assert run("demo", "--model", model_of(team)).exit_code == 0


def test_json_tells_settings_and_scores(team: FakeServer) -> None:
    told = read_json(
        run("run", "demo", "--systems", "no_memory", "--seed", "7", "--model", model_of(team), "--json")
    )
    assert told["seed"] == 7
    (result,) = told["results"]
    assert result["scores"]["overall"]["n"] == 10


def test_a_finished_run_is_not_run_again(team: FakeServer) -> None:
    command = ("run", "demo", "--systems", "no_memory", "--model", model_of(team))
    first = run(*command)
    asked = len(team.requests)
    second = run(*command)
    assert second.stdout == first.stdout
    assert len(team.requests) == asked == 10


def test_another_run_in_the_same_folder_is_refused(team: FakeServer) -> None:
    command = ("run", "demo", "--systems", "no_memory", "--model", model_of(team), "--out", "out")
    assert run(*command).exit_code == 0
    refused = run(*command, "--seed", "9")
    assert refused.exit_code == 1
    assert "--out" in refused.stderr


def test_limits_choose_samples_and_questions(team: FakeServer) -> None:
    command = ("run", "demo", "--systems", "no_memory", "--model", model_of(team), "--json")
    told = read_json(run(*command, "--limit", "1", "--questions", "3"))
    assert told["results"][0]["scores"]["overall"]["n"] == 3
    unknown = run(*command, "--sample", "nobody")
    assert unknown.exit_code == 1
    assert "no sample 'nobody'" in unknown.stderr


def test_an_unknown_system_is_refused_with_the_known_ones(team: FakeServer) -> None:
    result = run("run", "demo", "--systems", "quartet,elephant", "--model", model_of(team))
    assert result.exit_code == 1
    assert "no system 'elephant': use quartet, no_memory, rag_bm25" in result.stderr


def test_a_metric_that_cannot_score_is_found_before_a_model_is_asked(team: FakeServer) -> None:
    (sample,) = load_demo()
    save_samples("odd.jsonl", [replace(sample, metric="vibes")])
    result = run("run", "odd.jsonl", "--model", model_of(team))
    assert result.exit_code == 1
    assert "no metric 'vibes'" in result.stderr
    assert team.requests == []


def test_a_data_set_without_questions_is_refused(team: FakeServer) -> None:
    Path("notes.txt").write_text("Ann lives in Bristol.\n", encoding="utf-8")
    result = run("run", "notes.txt", "--model", model_of(team))
    assert result.exit_code == 1
    assert "use `memquartet ingest`" in result.stderr


def test_unanswered_questions_are_unscored_and_the_exit_code_says_so() -> None:
    with FakeServer([error_reply(403)]) as server:
        command = ("run", "demo", "--systems", "no_memory", "--model", model_of(server))
        result = run(*command)
    assert result.exit_code == 1
    assert "10 unscored" in result.stdout
    assert "10 questions have no answer" in result.stderr


def test_ctrl_c_keeps_finished_systems_and_says_how_to_go_on(tmp_path: Path) -> None:
    (sample,) = load_demo()
    gate = Gate("Answer the question", sample.questions[3].text)
    with FakeServer(gate) as server:
        child = start("run", "demo", "--systems", "no_memory", "--model", model_of(server), cwd=tmp_path)
        assert gate.reached.wait(60)
        code, out, err = kill(child, signal.SIGINT)
    assert (code, out) == (130, "")
    assert "run the same command again to go on" in err
