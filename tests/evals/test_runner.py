from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.evals.support import names, samples, system

from memquartet import __version__
from memquartet.core.messages import Message
from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError, ModelServerError, StoreError
from memquartet.evals.provenance import prompts_hash
from memquartet.evals.results import OVERALL, SystemResult, read_questions
from memquartet.evals.runner import Concurrency, evaluate, missing_samples
from memquartet.evals.scores import Verdict
from memquartet.llm.budget import Budget
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.rollout.transcripts import read_episodes
from memquartet.testing.models import Reply, Scripted, ScriptedModel

REPOSITORY = Path(__file__).parents[2]


def know(request: ChatRequest) -> str:
    """The right answer to every question."""
    found = re.search(r"What does Person(\d+)", request.messages[-1].content)
    return f"thing {found[1]}" if found else "?"


# Any: parsed JSON, looked into by the tests.
def results(out: Path) -> Any:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def run(out: Path, model: ScriptedModel, **more: Any) -> SystemResult:
    given = {"samples": samples(), "systems": [system(model)], "config": {"model": "m"}, **more}
    (result,) = asyncio.run(evaluate(given.pop("samples"), given.pop("systems"), out=out, **given))
    return result


def test_every_question_is_answered_scored_and_written_down(tmp_path: Path) -> None:
    result = run(tmp_path, ScriptedModel(know))
    assert result.scores[OVERALL].mean == 1.0
    assert result.scores[OVERALL].n == 6
    assert {name: summary.n for name, summary in result.scores.items()} == {OVERALL: 6, "even": 4, "odd": 2}
    assert names(tmp_path) == ["rag_bm25.jsonl", "rag_bm25.questions.jsonl", "results.json", "run.json"]
    assert len(list(read_episodes(tmp_path / "rag_bm25.jsonl"))) == 2


def test_results_hold_config_counts_costs_and_intervals(tmp_path: Path) -> None:
    run(tmp_path, ScriptedModel(know), seed=7, config={"model": "m", "revision": "abc"})
    told = results(tmp_path)
    assert told["config"] == {
        "seed": 7,
        "prompts_hash": prompts_hash(),
        "model": "m",
        "revision": "abc",
    }
    assert (told["samples"], told["questions"]) == (2, 6)
    (one,) = told["results"]
    assert one["settings"] == {"unit": "auto", "top_k": 10, "context_tokens": 3072, "dates": False}
    assert one["counts"] == {
        "questions": 6, "answered": 6, "scored": 6, "unscored": 0, "problems": {}, "invalid_outputs": 0,
    }  # fmt: skip
    assert one["answering"]["calls"] == 6
    assert one["answering"]["output_tokens"] == 12
    assert one["answering"]["seconds"]["p95"] > 0
    assert one["reading"]["seconds"]["total"] > 0
    assert one["scores"]["overall"]["low"] == 1.0


def test_a_run_tells_versions_prompts_and_each_command_that_went_on_with_it(tmp_path: Path) -> None:
    for command in ("memquartet eval run --seed 7", "memquartet eval run --seed 7", "again"):
        run(tmp_path, ScriptedModel(know), seed=7, command=command)
    told = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert (told["seed"], told["model"]) == (7, "m")
    assert re.fullmatch(r"[0-9a-f]{32}", told["prompts_hash"])
    assert [call["command"] for call in told["calls"]] == ["memquartet eval run --seed 7", "again"]
    assert told["calls"][0]["memquartet"] == __version__
    assert told["calls"][0]["python"] == platform.python_version()
    assert told["calls"][0]["platform"]


def test_a_run_is_not_gone_on_with_under_other_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, ScriptedModel(know))
    monkeypatch.setattr("memquartet.evals.runner.prompts_hash", lambda: "another")
    with pytest.raises(ConfigError, match=r"other settings \(prompts_hash\)"):
        run(tmp_path, ScriptedModel([]))


def test_a_question_s_row_tells_what_was_shown_and_what_it_cost(tmp_path: Path) -> None:
    run(tmp_path, ScriptedModel(know))
    row = read_questions(tmp_path / "rag_bm25.questions.jsonl")[1]
    assert (row.sample_id, row.question_id, row.category, row.gold) == ("s0", "q1", "odd", ("thing 1",))
    assert row.evidence == ("D1",)
    assert "Person1 owns thing 1." in row.shown
    assert row.usage.calls == 1
    assert row.seconds is not None


def test_a_finished_run_asks_nothing_and_tells_the_same(tmp_path: Path) -> None:
    run(tmp_path, ScriptedModel(know))
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    run(tmp_path, ScriptedModel([]))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_server_that_dies_half_way_leaves_questions_unscored_and_the_next_run_asks_only_them(
    tmp_path: Path,
) -> None:
    answers: Iterable[Scripted] = [*["thing 0"] * 4, *[ModelServerError("gone")] * 2]
    first = run(tmp_path, ScriptedModel(list(answers)))
    assert (first.scores[OVERALL].n, first.scores[OVERALL].unscored) == (4, 2)
    assert results(tmp_path)["results"][0]["counts"]["problems"] == {"ModelServerError": 2}
    assert [row.score for row in first.questions].count(None) == 2
    again = ScriptedModel(know)
    second = run(tmp_path, again)
    assert len(again.requests) == 2
    assert second.scores[OVERALL].unscored == 0


def test_a_setting_that_fails_at_the_first_question_is_one_error_and_not_a_group(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no API key"):
        run(tmp_path, ScriptedModel([ConfigError("no API key")] * 6))


def test_a_budget_of_questions_is_kept_and_later_runs_go_on_from_there(tmp_path: Path) -> None:
    for answered in (2, 4, 6):
        model = ScriptedModel(know)
        result = run(tmp_path, model, budget=Budget(questions=2))
        assert len(model.requests) == 2
        assert (result.scores[OVERALL].n, result.scores[OVERALL].unscored) == (answered, 6 - answered)


def test_without_a_budget_left_no_sample_is_begun(tmp_path: Path) -> None:
    result = run(tmp_path, ScriptedModel([]), budget=Budget(seconds=1, started=-10.0))
    assert result.scores[OVERALL].unscored == 6
    assert {row.problem for row in result.questions} == {"not asked"}
    assert not (tmp_path / "rag_bm25.jsonl").exists()


def test_another_run_in_the_same_folder_is_refused_and_named(tmp_path: Path) -> None:
    run(tmp_path, ScriptedModel(know))
    with pytest.raises(ConfigError, match=r"other settings \(model\)"):
        run(tmp_path, ScriptedModel([]), config={"model": "other"})
    with pytest.raises(ConfigError, match="fingerprint"):
        run(tmp_path, ScriptedModel([]), samples=samples(2, 4))
    with pytest.raises(ConfigError, match="settings of rag_bm25"):
        run(tmp_path, ScriptedModel([]), systems=[system(ScriptedModel([]), top_k=3)])


def test_a_system_may_join_a_folder_later(tmp_path: Path) -> None:
    run(tmp_path, ScriptedModel(know))
    run(tmp_path, ScriptedModel(know), systems=[system(ScriptedModel(know), "no_memory")])
    assert [one["system"] for one in results(tmp_path)["results"]] == ["rag_bm25", "no_memory"]


def test_ids_that_repeat_are_refused(tmp_path: Path) -> None:
    (one, _) = samples()
    with pytest.raises(ConfigError, match="sample ids must differ; these repeat: s0"):
        run(tmp_path, ScriptedModel([]), samples=[one, one])
    twice = Sample(sample_id="s", chunks=(), questions=one.questions[:1] * 2)
    with pytest.raises(ConfigError, match="question ids of sample 's' must differ; these repeat: q0"):
        run(tmp_path, ScriptedModel([]), samples=[twice])


def test_samples_and_questions_run_at_the_same_time_within_bounds(tmp_path: Path) -> None:
    under_way = most = 0

    class Counting:
        name = "counting"
        prompts = None

        def fits(self, messages: Sequence[Message]) -> bool:
            return True

        async def complete(self, request: ChatRequest) -> Completion:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            under_way -= 1
            return Completion(text="x", model=self.name)

    asyncio.run(
        evaluate(
            samples(4, 6),
            [system(Counting())],
            out=tmp_path,
            config={},
            concurrency=Concurrency(samples=2, questions=5),
        )
    )
    assert most == 5


def test_an_answer_without_a_verdict_is_unscored_with_the_reason(tmp_path: Path) -> None:
    async def judge(sample: Sample, question: Question, answer: str) -> Verdict:
        if question.question_id == "q0":
            return Verdict(score=None, problem="no verdict: maybe")
        if question.question_id == "q1":
            raise ModelServerError("the judge is gone")
        return Verdict(score=1.0)

    result = run(tmp_path, ScriptedModel(know), score_answer=judge)
    assert (result.scores[OVERALL].n, result.scores[OVERALL].unscored) == (2, 4)
    assert results(tmp_path)["results"][0]["counts"]["problems"] == {"no verdict": 2, "ModelServerError": 2}
    model = ScriptedModel([])
    assert run(tmp_path, model).scores[OVERALL].unscored == 0


@pytest.mark.parametrize(
    ("metric", "score"), [("mab_exact_match", 0.0), ("mab_substring_exact_match", 1.0), ("exact_match", 1.0)]
)
def test_official_scorers_read_the_reply_as_it_came_and_others_our_reading_of_it(
    tmp_path: Path, metric: str, score: float
) -> None:
    # The official parser takes the first "Answer:" and we take the last one.
    model = ScriptedModel(["Answer: a thing. No, answer: thing 0"])
    given = [replace(one, metric=metric) for one in samples(1, 1)]
    (row,) = run(tmp_path, model, samples=given, systems=[system(model)]).questions
    assert row.score == score
    assert row.answer == ("thing 0" if metric == "exact_match" else "Answer: a thing. No, answer: thing 0")


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("memquartet.rollout.transcripts.os.fsync", refuse)
        with pytest.raises(StoreError, match=r"No space left on device.*run the same command again"):
            run(tmp_path, ScriptedModel(know))
    assert run(tmp_path, ScriptedModel(know)).scores[OVERALL].mean == 1.0


def test_seconds_of_cached_calls_are_those_of_the_real_ones(tmp_path: Path) -> None:
    def slowly(request: ChatRequest) -> Reply:
        return Reply(text=know(request), delay=0.05)

    for out in ("first", "second"):
        with CallCache(tmp_path / "calls.db") as kept:
            model = CachedModel(ScriptedModel(slowly), kept)
            asyncio.run(evaluate(samples(), [system(model)], out=tmp_path / out, config={}))
        rows = read_questions(tmp_path / out / "rag_bm25.questions.jsonl")
        assert all(row.seconds is not None and row.seconds >= 0.05 for row in rows)


@pytest.mark.parametrize("after", [1, 23, 45])
def test_a_run_that_was_killed_loses_no_question_and_pays_for_none_twice(tmp_path: Path, after: int) -> None:
    out, calls = tmp_path / "out", tmp_path / "calls.txt"
    command = [sys.executable, str(Path(__file__).with_name("run_slowly.py")), str(out), str(calls)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    child = subprocess.Popen(command, env=env)
    while not calls.exists() or len(calls.read_text(encoding="utf-8").splitlines()) < after:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    paid = len(calls.read_text(encoding="utf-8").splitlines())
    subprocess.run(command, env=env, check=True, timeout=60)
    made = calls.read_text(encoding="utf-8").splitlines()
    assert len(set(made)) == 60
    # At most the two calls that were under way had not reached the disk.
    assert paid < 60
    assert len(made) - 60 <= 2
    rows = read_questions(out / "rag_bm25.questions.jsonl")
    assert len(rows) == 60
    assert all(row.score is not None for row in rows)
    assert missing_samples([], "rag_bm25", out) == []
