from __future__ import annotations

import asyncio

import pytest

from memquartet.core.messages import Message, Speaker
from memquartet.llm.protocols import ChatRequest
from memquartet.testing.models import Reply, ScriptedModel
from memquartet.training.clock import CallClock, ClockedModel, EpisodeTime, step_split


def episode(worker: str = "a", **more: float) -> EpisodeTime:
    told = {"seconds": 10.0, "environment": 1.0, "cpu_start": 0.0, "cpu_end": 2.0, **more}
    return EpisodeTime(worker=worker, **told)


async def test_calls_at_the_same_time_count_once() -> None:
    clock = CallClock()
    model = ClockedModel(ScriptedModel(lambda _: Reply(text="yes", delay=0.05)), clock)
    request = ChatRequest(messages=(Message(speaker=Speaker.USER, content="?"),))
    replies = await asyncio.gather(*(model.complete(request) for _ in range(20)))
    assert {reply.text for reply in replies} == {"yes"}
    assert 0.05 <= clock.seconds < 20 * 0.05


def test_a_call_that_fails_ends() -> None:
    clock = CallClock()
    with pytest.raises(RuntimeError), clock.call(), clock.call():
        raise RuntimeError
    first = clock.seconds
    with clock.call():
        pass
    assert clock.seconds >= first > 0


def test_the_parts_of_a_step_add_up_to_it() -> None:
    timers = {"step": 20.0, "gen": 8.0, "old_log_prob": 2.0, "ref": 1.0, "adv": 0.5, "update_actor": 5.0}
    timers |= {"update_weights": 0.5, "save_checkpoint": 1.0, "testing": 99.0}
    found = step_split(timers, [episode(), episode(environment=3.0)])
    assert found["timing/environment"] == pytest.approx(8 * 0.2)
    assert found["timing/rollout"] == pytest.approx(8 * 0.8)
    assert found["timing/log_prob"] == 3.0
    assert found["timing/other"] == pytest.approx(2.0)
    assert sum(value for name, value in found.items() if name.startswith("timing/")) == pytest.approx(20)
    assert found["environment/share"] == pytest.approx(1.6 / 20)


def test_the_busiest_workers_thread_tells_the_share_of_cpu() -> None:
    episodes = [episode(cpu_start=1.0), episode(cpu_end=4.0), episode("b", cpu_start=50.0, cpu_end=51.0)]
    assert step_split({"step": 8.0, "gen": 4.0}, episodes)["environment/cpu_share"] == 0.5


def test_a_step_without_episodes_or_timers_is_no_error() -> None:
    assert "environment/share" not in step_split({}, [])
    assert step_split({"step": 2.0, "gen": 1.0}, [])["timing/rollout"] == 1.0
