from __future__ import annotations

import pytest

from memquartet.core.samples import Question
from memquartet.errors import ConfigError, ModelServerError
from memquartet.evals.judging import ModelJudge
from memquartet.testing.models import ScriptedModel

QUESTION = Question(question_id="q", text="Where?", answers=("Bristol",), category="multi-session")


async def test_a_model_judges_by_the_named_protocol() -> None:
    model = ScriptedModel(["Yes"], name="judge")
    judge = ModelJudge(model=model)
    assert (judge.name, await judge.score("longmemeval", QUESTION, "in Bristol")) == ("judge", 1)
    assert model.requests[0].sampling.temperature == 0
    assert "in Bristol" in model.requests[0].messages[-1].content


async def test_a_further_try_uses_another_seed_and_no_verdict_is_no_score() -> None:
    model = ScriptedModel(["Perhaps", "Maybe", "Hard to say"])
    assert await ModelJudge(model=model, seed=5).score("longmemeval", QUESTION, "?") is None
    assert [request.sampling.seed for request in model.requests] == [5, 6, 7]


async def test_a_judge_that_cannot_be_reached_raises() -> None:
    judge = ModelJudge(model=ScriptedModel([ModelServerError("gone")]))
    with pytest.raises(ModelServerError):
        await judge.score("longmemeval", QUESTION, "?")


async def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="no judge protocol 'jury': use one of longmemeval"):
        await ModelJudge(model=ScriptedModel([])).score("jury", QUESTION, "?")
