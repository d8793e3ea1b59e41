from __future__ import annotations

import pytest
from tests.rewards.episodes import World, question, sample

from memquartet.core.trajectory import Episode
from memquartet.errors import ModelServerError
from memquartet.rewards.judge import ModelJudge, judge_steps
from memquartet.testing.models import ScriptedModel

MADE = sample(["Ann lives in Rome.", "Bob cooks.", "Hi."], question(0, "Rome"))


def lived() -> Episode:
    world = World()
    world.step(world.add("Ann lives in Rome"), world.add("Ann is rich"))
    return world.step(world.update("Ann and Bob live in Rome", "m1")).step(world.noop("Hi", "m1")).episode()


async def test_the_judge_sees_the_text_and_the_writes_and_its_verdicts_are_shared_out() -> None:
    model = ScriptedModel({"Bob cooks.": '{"valid": [true]}', "Rome.": '{"valid": [true, false]}'})
    assert await judge_steps(lived(), MADE, ModelJudge(model=model)) == {0: 0.5, 1: 1.0, 2: None}
    shown = "\n".join(message.content for request in model.requests for message in request.messages)
    assert "1. ADD: Ann is rich" in shown
    assert "0. UPDATE: Ann lives in Rome => Ann and Bob live in Rome" in shown


@pytest.mark.parametrize("reply", ["yes", '{"valid": [true]}', '{"valid": [1, 0]}', '{"valid": true}', "[]"])
async def test_a_reply_that_is_no_verdict_leaves_the_step_unjudged(reply: str) -> None:
    model = ScriptedModel(lambda _: reply)
    assert (await judge_steps(lived(), MADE, ModelJudge(model=model)))[0] is None


async def test_a_judge_that_cannot_be_reached_leaves_the_step_unjudged() -> None:
    model = ScriptedModel({"Bob cooks.": '{"valid": [true]}', "Rome.": ModelServerError("down")})
    assert await judge_steps(lived(), MADE, ModelJudge(model=model)) == {0: None, 1: 1.0, 2: None}
