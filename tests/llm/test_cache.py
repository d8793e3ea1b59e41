from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memquartet.core.messages import Message, Speaker, ToolCall
from memquartet.errors import BudgetError, ConfigError, ModelServerError, StoreError, StoreVersionError
from memquartet.llm.budget import Budget, BudgetedModel
from memquartet.llm.cache import CachedModel, CallCache, call_key, count_saved
from memquartet.llm.protocols import ChatRequest, Sampling
from memquartet.testing.models import Reply, ScriptedModel


def request(text: str, *, seed: int | None = None) -> ChatRequest:
    return ChatRequest(messages=(Message(speaker=Speaker.USER, content=text),), sampling=Sampling(seed=seed))


def test_what_was_asked_once_is_not_asked_again_also_after_reopening(tmp_path: Path) -> None:
    call = ToolCall(call_id="c", name="f", arguments="{}")
    for expected in (1, 0):
        model = ScriptedModel([Reply(text="häl\ud800lo", tool_calls=(call,))])
        with CallCache(tmp_path / "calls.db") as kept:
            cached = CachedModel(model, kept)
            first = asyncio.run(cached.complete(request("hi")))
            assert asyncio.run(cached.complete(request("hi"))) == first
        assert len(model.requests) == expected
        assert first.tool_calls == (call,)
        assert first.logprobs is not None


def test_any_difference_of_model_or_request_is_another_call() -> None:
    keys = {
        call_key("a", request("hi")),
        call_key("b", request("hi")),
        call_key("a", request("hi ")),
        call_key("a", request("hi", seed=1)),
        call_key("a", ChatRequest(messages=request("hi").messages, json_schema={"type": "object"})),
    }
    assert len(keys) == 5


def test_equal_requests_at_the_same_time_are_one_call(tmp_path: Path) -> None:
    async def both(cached: CachedModel) -> list[str]:
        replies = await asyncio.gather(*(cached.complete(request("hi")) for _ in range(5)))
        return [reply.text for reply in replies]

    model = ScriptedModel([Reply(text="once", delay=0.01)])
    with CallCache(tmp_path / "calls.db") as kept:
        assert asyncio.run(both(CachedModel(model, kept))) == ["once"] * 5


def test_a_failed_call_is_not_kept(tmp_path: Path) -> None:
    model = ScriptedModel([ModelServerError("gone"), "back"])
    with CallCache(tmp_path / "calls.db") as kept:
        cached = CachedModel(model, kept)
        with pytest.raises(ModelServerError):
            asyncio.run(cached.complete(request("hi")))
        assert len(kept) == 0
        assert asyncio.run(cached.complete(request("hi"))).text == "back"


def test_saved_calls_and_their_seconds_are_counted_in_the_tasks_of_a_block(tmp_path: Path) -> None:
    async def work(cached: CachedModel) -> tuple[int, float]:
        await cached.complete(request("hi"))
        with count_saved() as saved:
            await asyncio.create_task(cached.complete(request("hi")))
        await cached.complete(request("hi"))
        return saved.calls, saved.seconds

    with CallCache(tmp_path / "calls.db") as kept:
        calls, seconds = asyncio.run(work(CachedModel(ScriptedModel([Reply(text="x", delay=0.02)]), kept)))
    assert calls == 1
    assert seconds >= 0.02


WRITER = """
import sys
from pathlib import Path
from memquartet.llm.cache import CallCache, KeptCall
from memquartet.llm.protocols import Completion
with CallCache(Path(sys.argv[1])) as kept:
    for number in range(200):
        kept.put(f"{sys.argv[2]}{number}", KeptCall(completion=Completion(text="x", model="m"), seconds=1.0))
"""


def test_two_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with CallCache(path) as kept:
        assert len(kept) == 400


def test_another_file_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreVersionError, match="name another file"):
        CallCache(path)
    assert path.read_bytes() == before
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be taken for one" * 10, encoding="utf-8")
    with pytest.raises(StoreError, match="not a database"):
        CallCache(text)


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be kept"):
        CallCache(tmp_path / "file" / "calls.db")


def test_a_budget_of_tokens_stops_the_next_call() -> None:
    budget = Budget(tokens=3)
    model = BudgetedModel(ScriptedModel(lambda _request: "two words"), budget)
    asyncio.run(model.complete(request("hi")))
    assert budget.spent_tokens == 3
    with pytest.raises(BudgetError, match="3 tokens is used up"):
        asyncio.run(model.complete(request("hi")))


def test_calls_out_of_the_cache_cost_no_budget(tmp_path: Path) -> None:
    budget = Budget(tokens=3)
    with CallCache(tmp_path / "calls.db") as kept:
        model = CachedModel(BudgetedModel(ScriptedModel(lambda _request: "two words"), budget), kept)
        for _ in range(3):
            asyncio.run(model.complete(request("hi")))
    assert budget.spent_tokens == 3


def test_budgets_of_seconds_and_questions_stop_what_would_begin() -> None:
    with pytest.raises(BudgetError, match="seconds is used up"):
        Budget(seconds=1.0, started=-10.0).check()
    budget = Budget(questions=1)
    budget.begin_question()
    with pytest.raises(BudgetError, match="1 questions is used up"):
        budget.begin_question()
    with pytest.raises(ConfigError, match="budget of tokens must be above 0"):
        Budget(tokens=0)
