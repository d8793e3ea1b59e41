from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.cli.support import Gate, kill, model_of, read_json, run, start

from memquartet.benchmarks.demo import load_demo
from memquartet.testing.server import FakeServer, error_reply


def evaluated(team: FakeServer, *more: str, out: str = "out", system: str = "rag_bm25") -> tuple[str, ...]:
    return (
        "eval", "run", "--benchmark", "demo", "--system", system, "--model", model_of(team), "--out", out, *more,
    )  # fmt: skip


def test_a_run_prints_scores_and_leaves_results(team: FakeServer) -> None:
    result = run(*evaluated(team, "--system", "no_memory"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].split() == ["CATEGORY", "N", "RAG_BM25", "NO_MEMORY"]
    assert sorted(path.name for path in Path("out").glob("*.questions.jsonl")) == [
        "no_memory.questions.jsonl",
        "rag_bm25.questions.jsonl",
    ]


def test_json_tells_scores_counts_and_costs(team: FakeServer) -> None:
    told = read_json(run(*evaluated(team, "--questions", "4", "--json")))
    (one,) = told["results"]
    assert one["counts"]["questions"] == 4
    assert one["answering"]["calls"] == 4
    assert told["config"]["benchmark"] == "demo"


def test_settings_reach_the_system_and_wrong_ones_are_refused(team: FakeServer) -> None:
    told = read_json(run(*evaluated(team, "--set", "rag_bm25.top_k=3", "--json")))
    assert told["results"][0]["settings"]["top_k"] == 3
    assert "no setting 'k': use unit, top_k" in run(*evaluated(team, "--set", "rag_bm25.k=3", out="b")).stderr
    assert "expected SYSTEM.KEY=VALUE" in run(*evaluated(team, "--set", "top_k=3", out="b")).stderr
    assert "no system 'elephant': use quartet" in run(*evaluated(team, out="b", system="elephant")).stderr


def test_one_context_holds_for_all_systems_that_have_one(team: FakeServer) -> None:
    more = ("--context-tokens", "200", "--set", "full_context.context_tokens=100")
    told = read_json(
        run(*evaluated(team, "--system", "no_memory", "--system", "full_context", *more, "--json"))
    )
    shown = {one["system"]: one["settings"].get("context_tokens") for one in told["results"]}
    assert shown == {"rag_bm25": 200, "no_memory": None, "full_context": 100}


def test_a_second_run_asks_a_model_nothing(team: FakeServer) -> None:
    first = run(*evaluated(team))
    asked = len(team.requests)
    assert asked == 10
    assert run(*evaluated(team)).stdout == first.stdout
    assert len(team.requests) == asked


def test_a_budget_of_questions_leaves_the_rest_for_the_next_call(team: FakeServer) -> None:
    for asked, code in ((4, 1), (8, 1), (10, 0)):
        result = run(*evaluated(team, "--max-questions", "4"))
        assert result.exit_code == code, result.output
        assert ("budget of 4 questions is used up" in result.stderr) == bool(code)
        assert len(team.requests) == asked


def test_a_budget_of_tokens_ends_with_what_to_do(team: FakeServer) -> None:
    result = run(*evaluated(team, "--max-tokens", "1", "--questions-at-once", "1"))
    assert result.exit_code == 1
    assert "9 questions have no answer (BudgetError: the budget of 1 tokens is used up" in result.stderr
    assert len(team.requests) == 1


def test_calls_in_flight_are_bounded(team: FakeServer) -> None:
    result = run(*evaluated(team, "--calls-at-once", "2"))
    assert result.exit_code == 0, result.stderr
    assert team.most_at_once <= 2


def test_a_server_that_fails_is_told_and_nothing_is_scored() -> None:
    with FakeServer([error_reply(403)]) as server:
        result = run(*evaluated(server))
    assert result.exit_code == 1
    assert "10 unscored" in result.stdout
    assert "10 questions have no answer (ModelServerError" in result.stderr


def memorybench(name: str = "NFCats") -> Path:
    """A copy of a data set of MemoryBench with four training tasks and a test task."""
    row = {
        "input_prompt": "Why is the sky blue?",
        "dataset_name": name,
        "lang": "en",
        "info": "{}",
        "dialog": str([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Light."}]),
    }
    folder = Path("bench") / "dataset" / name
    folder.mkdir(parents=True)
    for part, numbers in (("train", range(1, 5)), ("test", range(1))):
        rows = (json.dumps({**row, "test_idx": number}) for number in numbers)
        (folder / f"{part}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return Path("bench")


def bench(team: FakeServer, *more: str) -> tuple[str, ...]:
    return (
        "eval", "run", "--benchmark", "memorybench:NFCats", "--data", "bench", "--system", "rag_bm25",
        "--model", model_of(team), "--answer-tokens", "50", *more,
    )  # fmt: skip


def test_memorybench_runs_stepwise_and_on_policy_with_a_simulated_user(team: FakeServer) -> None:
    memorybench()
    content = {"implicit_action": "like", "behavior": "end_conversation", "response": None}
    with FakeServer(lambda _: json.dumps(content)) as user, FakeServer(lambda _: "4") as judge:
        judged = ("--judge", f"openai:judge@{judge.base_url}", "--json")
        played = ("--simulator", f"openai:user@{user.base_url}")
        told = read_json(run(*bench(team, "--protocol", "stepwise", "--batch", "2", "--out", "a", *judged)))
        assert told["results"][0]["counts"]["scored"] == 3
        assert (told["config"]["protocol"], told["config"]["batch"]) == ("stepwise", 2)
        command = bench(
            team, "--protocol", "on-policy", "--limit", "2", "--batch", "2", "--out", "b", *judged, *played
        )
        told = read_json(run(*command))
        assert told["results"][0]["scores"]["overall"]["mean"] == 4
        assert told["results"][0]["counts"]["scored"] == 2
        asked = len(team.requests), len(user.requests), len(judge.requests)
        assert asked[1] == 4
        assert read_json(run(*command)) == told
        assert (len(team.requests), len(user.requests), len(judge.requests)) == asked
        dialogues = Path("b/rag_bm25.dialogues.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(dialogues) == 4
        told = read_json(run(*bench(team, "--protocol", "train-performance", "--out", "c", *judged)))
        assert told["results"][0]["counts"]["scored"] == 4


def test_protocols_that_cannot_work_are_refused_before_anything_is_asked(team: FakeServer) -> None:
    memorybench()
    for more, said in (
        (("--protocol", "on-policy"), "a model plays the user of NFCats: name one by --simulator"),
        (("--protocol", "on-policy", "--sample", "x"), "use --limit, not --sample"),
    ):
        assert said in run(*bench(team, *more)).stderr
    assert "go with memorybench:NAME" in run(*evaluated(team, "--protocol", "stepwise")).stderr
    assert team.requests == []


def test_a_run_s_file_says_what_was_run_with_what(team: FakeServer) -> None:
    memorybench()
    run(*bench(team, "--out", "a"))
    told = json.loads(Path("a/run.json").read_text(encoding="utf-8"))
    assert (told["model"], told["seed"], told["revision"]) == (model_of(team), 0, None)
    assert told["calls"][0]["command"].split()[0] == "memquartet"
    assert {"memquartet", "python", "platform", "command"} == told["calls"][0].keys()


def test_after_sigkill_the_same_command_asks_only_what_is_missing(tmp_path: Path) -> None:
    (sample,) = load_demo()
    gate = Gate("Answer the question", sample.questions[6].text)
    with FakeServer(gate) as server:
        child = start(*evaluated(server, "--questions-at-once", "1"), cwd=tmp_path)
        assert gate.reached.wait(60)
        kill(child, signal.SIGKILL)
        assert len(server.requests) == 7
        gate.open = True
        again = start(*evaluated(server, "--questions-at-once", "1", "--json"), cwd=tmp_path)
        out, err = again.communicate(timeout=100)
        assert again.returncode == 0, err
        # The question that was under way is asked again, the six before it are not.
        assert len(server.requests) == 7 + 4
    assert json.loads(out)["results"][0]["counts"]["answered"] == 10


def test_compare_tells_differences_with_an_interval_and_p(team: FakeServer) -> None:
    run(*evaluated(team, "--system", "no_memory"))
    told = read_json(run("eval", "compare", "out:no_memory", "out:rag_bm25", "--json"))
    assert (told["a"], told["b"]) == ("no_memory", "rag_bm25")
    assert told["categories"][0]["n"] == 10
    assert told["categories"][0]["p"] == 1.0
    shown = run("eval", "compare", "out:no_memory", "out:rag_bm25")
    assert shown.stdout.splitlines()[0].split() == [
        "CATEGORY",
        "N",
        "no_memory",
        "rag_bm25",
        "DIFFERENCE",
        "p",
    ]
    assert "sign-flip permutation test" in shown.stderr


def test_compare_may_look_at_some_samples_only(team: FakeServer) -> None:
    run(*evaluated(team, "--system", "no_memory"))
    told = read_json(run("eval", "compare", "out:no_memory", "out:rag_bm25", "--sample", "demo", "--json"))
    assert told["categories"][0]["n"] == 10
    refused = run("eval", "compare", "out:no_memory", "out:rag_bm25", "--sample", "other")
    assert "no sample 'other' in these runs: they have demo" in refused.stderr


def test_compare_names_the_systems_that_there_are(team: FakeServer) -> None:
    run(*evaluated(team, "--system", "no_memory"))
    result = run("eval", "compare", "out", "out:rag_bm25")
    assert result.exit_code == 1
    assert "out:no_memory, out:rag_bm25" in result.stderr


def test_report_writes_one_page(team: FakeServer) -> None:
    run(*evaluated(team, "--system", "no_memory"))
    told = read_json(run("eval", "report", "out", "--out", "page.html", "--json"))
    assert told == {"report": "page.html"}
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "no results in" in run("eval", "report", ".").stderr


def test_a_judge_scores_what_its_benchmark_wants_judged(team: FakeServer) -> None:
    sample = {
        "format": "memquartet.sample/1",
        "sample_id": "s",
        "chunks": [{"text": "Ann lives in Bristol.", "index": 0}],
        "questions": [
            {
                "question_id": "q",
                "text": "Where does Ann live?",
                "answers": ["Bristol"],
                "category": "single-session-user",
            }
        ],
        "extra": {"judge": "longmemeval"},
    }
    Path("judged.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    command = (
        "eval",
        "run",
        "--benchmark",
        "judged.jsonl",
        "--system",
        "rag_bm25",
        "--model",
        model_of(team),
    )
    errors = []
    for verdict, score, code in (("Yes.", 1.0, 0), ("maybe", None, 1)):
        with FakeServer([verdict] * 3) as judge:
            result = run(*command, "--out", verdict, "--judge", f"openai:judge@{judge.base_url}", "--json")
        assert result.exit_code == code, result.output
        assert json.loads(result.stdout)["results"][0]["scores"]["overall"]["mean"] == score
        errors.append(result.stderr)
    assert "1 answers have no verdict" in errors[1]
    assert "compare only with --judge SPEC" in run(*command, "--out", "without").stderr
