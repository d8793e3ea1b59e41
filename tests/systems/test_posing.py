from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.systems.support import run, sample, scripted, tasks, who

from memquartet.core.samples import Sample
from memquartet.llm.protocols import ChatRequest
from memquartet.systems.posing import handed_over, limited
from memquartet.systems.quartet import QUERY_TOKENS
from memquartet.systems.registry import OURS
from memquartet.testing.models import ScriptedModel
from memquartet.text.tokens import default_counter

FACTS = ("0. Ann lives in Oslo.", "1. Ann lives in Bergen.")
SILENT = '{"semantic": [], "episodic": [], "unimportant": []}'
EVERYTHING = {
    "extractor": SILENT,
    "answerer": "Oslo",
    "posed": "Answer: Oslo\nbecause of fact 0",
    "r1_extract": '{"facts": []}',
    "r1_answer": "Ann moved.\n**Answer:** " + "Oslo " * 40,
    "mem0_extract": '{"facts": []}',
    "mem0_summary": "Ann.",
    "mem_alpha": "[]",
    "memagent": "Ann lives in Oslo.",
    "rewrite": "Where does Ann live?",
    "select": "Document0",
}


def facts(**extra: object) -> Sample:
    plain = sample(*FACTS, source="memoryagentbench/factconsolidation_sh_6k")
    return replace(plain, extra={"family": "factconsolidation", **extra})


def answering(model: ScriptedModel) -> list[int]:
    """The room of every call that answers."""
    answerers = ("answerer", "posed", "r1_answer")
    return [request.sampling.max_tokens for request in model.requests if who(request) in answerers]


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"oracle"}))
def test_no_system_s_answer_is_longer_than_the_benchmark_allows(name: str) -> None:
    model = scripted(EVERYTHING)
    episode = run(name, model, facts(answer_tokens=10))
    text = episode.answers[0].text or ""
    assert default_counter().count(text) <= 10
    # Memory-R1 prints memories first; the bound is for what it says after them.
    assert answering(model) == [522 if name == "memory_r1" else 10]


def test_a_query_of_the_answerer_has_its_room_beside_a_bound_of_ten_tokens() -> None:
    def reply(task: str) -> str:
        return "Oslo " * 40 if "Searched: " in task else "search: where does Ann live these days?"

    model = scripted({**EVERYTHING, "posed": reply})
    (answer,) = run("quartet", model, facts(answer_tokens=10), max_searches=1).answers
    assert [search.query for search in answer.searches] == ["where does Ann live these days?"]
    assert answering(model) == [64, 64]
    assert default_counter().count(answer.text or "") <= 10
    assert default_counter().count(answer.raw or "") <= 10


def test_a_question_s_own_bound_comes_before_that_of_its_sample() -> None:
    given = sample("x", questions=("a?", "b?"), answer_tokens=20)
    questions = (given.questions[0], replace(given.questions[1], extra={"answer_tokens": 5}))
    model = scripted({"answerer": "Oslo"})
    run("no_memory", model, replace(given, questions=questions))
    assert sorted(answering(model)) == [5, 20]


def test_our_own_short_prompt_never_gets_more_room_than_it_wants() -> None:
    model = scripted({"answerer": "Oslo"})
    run("no_memory", model, sample("x", answer_tokens=500))
    assert answering(model) == [64]


def test_a_question_with_its_own_instructions_is_not_told_to_be_brief_and_gets_its_room() -> None:
    given = sample("x")
    question = replace(
        given.questions[0], extra={"instructed": True, "answer_tokens": 2048, "system": "You are a clerk."}
    )
    model = scripted({"posed": "A judgment."})
    run("no_memory", model, replace(given, questions=(question,)))
    assert answering(model) == [2048]
    assert tasks(model, "posed")[0].endswith("You are a clerk.\n\nWhere does Ann live?")


def test_a_bound_of_one_s_own_holds_for_every_question_and_never_widens_the_official_one() -> None:
    bounded = limited(replace(facts(answer_tokens=10), questions=sample("x").questions * 1), 30)
    assert [question.extra["answer_tokens"] for question in bounded.questions] == [10]
    assert [q.extra["answer_tokens"] for q in limited(sample("x"), 30).questions] == [30]


def test_questions_of_dated_benchmarks_are_asked_with_their_date() -> None:
    given = sample("x", dated=True)
    when = datetime(2023, 6, 18, 14, 57, tzinfo=UTC)
    given = replace(given, questions=(replace(given.questions[0], time=when),))
    model = scripted({"answerer": "Oslo"})
    run("no_memory", model, given)
    assert "Today is 2023-06-18 14:57.\n\nWhere does Ann live?" in tasks(model, "answerer")[0]


def test_chunks_are_handed_over_in_the_benchmark_s_words_with_their_own_date_where_that_is_asked_for() -> (
    None
):
    assert handed_over(facts()) == facts()
    wrapped = handed_over(facts(memorize=True)).chunks[0].text
    assert FACTS[0] in wrapped
    assert "Please memorize" in wrapped
    assert "on 2023-05-08 00:00" in wrapped


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("full_context", "posed"),
        ("rag_bm25", "posed"),
        ("mem0", "mem0_extract"),
        ("mem_alpha", "mem_alpha"),
        ("memagent", "memagent"),
        ("memory_r1", "r1_extract"),
    ],
)
def test_every_baseline_reads_the_handed_over_text_once_wrapped(name: str, reads: str) -> None:
    model = scripted(EVERYTHING)
    run(name, model, facts(memorize=True))
    read = tasks(model, reads)[0]
    assert read.count("Please memorize") == sum(read.count(fact) for fact in FACTS) > 0


def test_the_raw_reply_is_kept_beside_the_answer_as_we_read_it() -> None:
    (answer,) = run("rag_bm25", scripted(EVERYTHING), facts()).answers
    assert answer.raw == EVERYTHING["posed"]
    assert answer.text == "Oslo\nbecause of fact 0"


def test_full_context_has_the_benchmark_s_room_within_the_model_s_window() -> None:
    texts = [f"{n}. Person{n} lives in town {n}." for n in range(900)]
    given = facts(context_tokens=6000)
    given = replace(
        given, chunks=tuple(replace(given.chunks[0], text=t, index=n) for n, t in enumerate(texts))
    )
    shown = {}
    for window in (None, 8000):
        model = ScriptedModel(["Oslo"], window=window)
        shown[window] = run("full_context", model, given).answers[0].memories[0]
        assert shown[window].endswith(texts[-1])
        assert model.fits(model.requests[0].messages)
    count = default_counter().count
    assert 5900 <= count(shown[None]) <= 6000
    assert 6000 <= len(shown[8000]) <= 8000
    given_less = (
        run("full_context", ScriptedModel(["Oslo"]), given, context_tokens=100).answers[0].memories[0]
    )
    assert count(given_less) <= 100


@pytest.mark.parametrize("name", ["no_memory", "rag_bm25", "quartet"])
def test_a_taught_model_is_asked_in_the_words_that_it_was_taught_whatever_the_benchmark_prescribes(
    name: str,
) -> None:
    def reply(request: ChatRequest) -> str:
        return SILENT if "JSON" in request.messages[0].content else "Oslo"

    model = ScriptedModel(reply, prompts="short")
    run(name, model, facts(answer_tokens=10))
    asked = model.requests[-1]
    assert asked.messages[0].content == "Answer."
    assert asked.messages[-1].content.endswith("Question: Where does Ann live?")
    # The four agents may search again, and a query needs more room than the answer; the answer is clamped.
    assert asked.sampling.max_tokens == (QUERY_TOKENS if name == "quartet" else 10)
