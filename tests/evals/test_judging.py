from __future__ import annotations

import pytest

from memquartet.core.samples import Question, Sample
from memquartet.errors import ConfigError, ModelServerError
from memquartet.evals.judging import ModelJudge
from memquartet.evals.scores import Verdict, judged_by
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


def locomo(question_id: str, category: str, *answers: str) -> Question:
    return Question(question_id=question_id, text="Where?", answers=answers, category=category)


async def verdict(question: Question, answer: str, replies: list[str]) -> tuple[Verdict, int]:
    """The verdict on an answer, and how often the judge was asked."""
    sample = Sample(
        sample_id="s", chunks=(), questions=(question,), metric="locomo_f1", extra={"judge": "locomo"}
    )
    model = ScriptedModel(list(replies), name="judge")
    found = await judged_by(ModelJudge(model=model))(sample, question, answer)
    return found, len(model.requests)


async def test_a_judge_is_not_asked_about_locomo_s_adversarial_questions_which_the_official_rule_scores() -> (
    None
):
    asked = locomo("q", "adversarial")
    assert await verdict(asked, "Not mentioned.", []) == (Verdict(score=1.0), 0)
    assert await verdict(asked, "In Bristol.", []) == (Verdict(score=0.0), 0)
    assert (await verdict(locomo("q", "temporal", "Bristol"), "There.", ["yes"]))[0].metric == "judge:locomo"


async def test_a_judge_that_says_neither_yes_nor_no_leaves_the_answer_unscored_and_says_so() -> None:
    found, asked = await verdict(locomo("q", "temporal", "Bristol"), "There.", ["perhaps"] * 3)
    assert found == Verdict(score=None, problem="no verdict: judge decided nothing", metric="judge:locomo")
    assert asked == 3


async def test_a_critic_judges_writingbench_in_the_judge_s_place_and_nothing_else() -> None:
    info = {"criteria": [{"name": "style"}], "golden_answer": "x"}
    questions = [
        Question(question_id=name, text="Write.", answers=(), extra={"dataset": name, "info": info})
        for name in ("WritingBench-Politics&Law", "NFCats")
    ]
    sample = Sample(sample_id="s", chunks=(), questions=tuple(questions), extra={"judge": "memorybench"})
    score = judged_by(
        ModelJudge(model=ScriptedModel(["4"], name="judge")),
        critic=ModelJudge(model=ScriptedModel(['{"score": 9}'], name="critic")),
    )
    assert [(await score(sample, question, "Text.")).score for question in questions] == [9, 4]
