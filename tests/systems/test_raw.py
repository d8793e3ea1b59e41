from __future__ import annotations

from dataclasses import replace

import pytest
from tests.systems.support import JUNE, asked, run, sample, scripted, tasks

from memquartet.systems.registry import OURS
from memquartet.text.tokens import default_counter

LINES = ("Ann: I live in Oslo.\nBo: I like tea.", "Ann: It rains.\nBo: My dog is Rex.")


def test_no_memory_asks_the_question_and_shows_nothing() -> None:
    model = scripted({"answerer": "Oslo"})
    episode = run("no_memory", model, sample(*LINES))
    assert asked(model) == ["answerer"]
    assert tasks(model, "answerer") == ["Memories:\n(none)\n\nQuestion: Where does Ann live?"]
    assert episode.answers[0].text == "Oslo"
    assert episode.answers[0].memories == ()


def test_full_context_shows_the_whole_text_where_it_fits() -> None:
    model = scripted({"answerer": "Oslo"})
    run("full_context", model, sample(*LINES))
    assert "\n".join(LINES) in tasks(model, "answerer")[0]


def test_full_context_keeps_the_newest_tokens() -> None:
    model = scripted({"answerer": "Oslo"})
    episode = run("full_context", model, sample(*LINES), context_tokens=8)
    (shown,) = episode.answers[0].memories
    assert "\n".join(LINES).endswith(shown)
    assert default_counter().count(shown) <= 8
    assert "Rex" in shown
    assert "Oslo" not in shown


@pytest.mark.parametrize("name", ["rag_bm25", "rag_embedding", "rag_hybrid"])
def test_retrieval_shows_lines_of_a_conversation_with_their_dates(name: str) -> None:
    model = scripted({"answerer": "Oslo"})
    episode = run(name, model, sample(*LINES), top_k=1)
    assert asked(model) == ["answerer"]
    assert episode.answers[0].memories == ("(2023-05-08) Ann: I live in Oslo.",)
    assert "- (2023-05-08) Ann: I live in Oslo." in tasks(model, "answerer")[0]
    assert "tea" not in tasks(model, "answerer")[0]
    assert episode.steps == ()


def test_bm25_shows_nothing_that_shares_no_word_and_embeddings_do() -> None:
    shown = {}
    for name in ("rag_bm25", "rag_embedding"):
        model = scripted({"answerer": "?"})
        shown[name] = run(name, model, sample("Ann: I live in Oslo.\nBo: Tea."), top_k=2).answers[0].memories
    assert len(shown["rag_bm25"]) == 1
    assert len(shown["rag_embedding"]) == 2


def test_memoryagentbench_retrieves_whole_chunks_with_their_line_breaks() -> None:
    model = scripted({"answerer": "Oslo"})
    given = sample(*LINES, source="memoryagentbench/ruler_qa1_197K")
    episode = run("rag_bm25", model, given, top_k=1)
    assert episode.answers[0].memories == (LINES[0],)
    assert f"Memories:\n{LINES[0]}\n" in tasks(model, "answerer")[0]


@pytest.mark.parametrize(("dates", "line"), [(True, "yesterday (7 May 2023)."), (False, "yesterday.")])
def test_the_text_can_have_the_dates_that_the_agents_read(dates: bool, line: str) -> None:
    model = scripted({"answerer": "?"})
    episode = run("rag_bm25", model, sample("Bo: Tea.\nAnn: I moved yesterday."), top_k=1, dates=dates)
    assert episode.answers[0].memories == (f"(2023-05-08) Ann: I moved {line}",)


def test_a_question_has_its_dates_where_the_text_has_them() -> None:
    model = scripted({"answerer": "?"})
    given = sample("Ann: I moved.", questions=("Who moved yesterday?",))
    given = replace(given, questions=(replace(given.questions[0], time=JUNE),))
    run("rag_bm25", model, given, dates=True)
    run("rag_bm25", model, given)
    dated, plain = tasks(model, "answerer")
    assert "Who moved yesterday (7 June 2023)?" in dated
    assert "Who moved yesterday?" in plain


def test_the_unit_can_be_chosen() -> None:
    model = scripted({"answerer": "Oslo"})
    episode = run("rag_bm25", model, sample(*LINES), unit="chunk", top_k=1)
    assert episode.answers[0].memories == (LINES[0],)


def test_what_does_not_fit_into_the_context_is_left_out_worst_first() -> None:
    long = "Ann " + "lives " * 50 + "in Oslo."
    model = scripted({"answerer": "Oslo"})
    episode = run("rag_bm25", model, sample(f"{long}\nAnn lives."), context_tokens=20)
    assert episode.answers[0].memories == ("(2023-05-08) Ann lives.",)


@pytest.mark.parametrize("name", ["rag_bm25", "rag_embedding", "rag_hybrid", "mmoa_rag"])
def test_of_chunks_that_are_all_too_long_the_best_is_shown_as_far_as_it_fits(name: str) -> None:
    bo, ann = "Bo likes tea. " * 30, "Ann lives in Oslo. " * 30
    model = scripted({"answerer": "Oslo", "rewrite": "Where does Ann live?", "select": "Document0"})
    given = sample(bo, ann, source="memoryagentbench/icl_x")
    (answer,) = run(name, model, given, context_tokens=50).answers
    (shown,) = answer.memories
    assert ann.startswith(shown)
    assert 40 <= default_counter().count(shown) <= 50
    assert shown in tasks(model, "answerer")[0]


def test_a_benchmark_s_instructions_are_shown_but_not_searched_for() -> None:
    model = scripted({"posed": "label: 3"})
    given = sample(
        "a text\nlabel: 3",
        questions=("a text",),
        source="memoryagentbench/icl_x",
        family="in_context_learning",
        answer_tokens=20,
    )
    episode = run("rag_bm25", model, given)
    (request,) = model.requests
    assert request.sampling.max_tokens == 20
    assert "number label" in request.messages[-1].content
    assert episode.answers[0].text == "label: 3"
    assert episode.answers[0].memories == ("a text\nlabel: 3",)


def test_every_system_reads_an_empty_sample_and_answers() -> None:
    for name in OURS.keys() - {"oracle"}:  # it reads generated samples only
        model = scripted(dict.fromkeys(("answerer", "r1_answer", "rewrite", "select", "memagent"), "none"))
        episode = run(name, model, sample())
        assert episode.system == name
        assert episode.answers[0].text == "none"
