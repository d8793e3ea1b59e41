from __future__ import annotations

from tests.systems.support import asked, run, sample, scripted, tasks

from memquartet.core.trajectory import TurnStatus

TEXT = "Ann lives in Oslo.\nBo likes tea.\nCy has a dog."


def test_rewriter_selector_and_generator_speak_in_this_order() -> None:
    model = scripted(
        {
            "rewrite": "1. Where does Ann live?\n2. What does Bo like?",
            "select": "Document1",
            "answerer": "Oslo",
        }
    )
    episode = run("mmoa_rag", model, sample(TEXT), top_k=2)
    assert asked(model) == ["rewrite", "select", "answerer"]
    (documents,) = tasks(model, "select")
    assert documents.startswith("Question: Where does Ann live?")
    assert "Document0: Ann lives in Oslo.\nDocument1: Bo likes tea." in documents
    assert episode.answers[0].memories == ("(2023-05-08) Bo likes tea.",)


def test_sub_questions_take_turns_and_no_document_comes_twice() -> None:
    model = scripted(
        {
            "rewrite": "Where does Ann live?\nAnn lives where?\nWho has a dog?",
            "select": "Document0",
            "answerer": "Oslo",
        }
    )
    run("mmoa_rag", model, sample(TEXT), top_k=2)
    assert tasks(model, "select")[0].endswith("Document0: Ann lives in Oslo.\nDocument1: Cy has a dog.")


def test_more_than_four_sub_questions_are_cut_and_said() -> None:
    model = scripted({"rewrite": "a?\nb?\nc?\nd?\nWho has a dog?", "select": "Document0", "answerer": "?"})
    episode = run("mmoa_rag", model, sample(TEXT))
    rewriting = episode.answers[0].trajectory.turns[0]
    assert rewriting.status is TurnStatus.REPAIRED
    assert rewriting.parsed == ["a?", "b?", "c?", "d?"]


def test_wrong_and_repeated_ids_are_dropped_and_none_at_all_keeps_every_document() -> None:
    for said, kept, status in (
        ("Document0,Document0,Document9", 1, TurnStatus.REPAIRED),
        ("the first one", 3, TurnStatus.INVALID),
        ("Document2, Document0", 2, TurnStatus.OK),
    ):
        model = scripted({"rewrite": "Where does Ann live?", "select": said, "answerer": "Oslo"})
        episode = run("mmoa_rag", model, sample(TEXT))
        assert len(episode.answers[0].memories) == kept
        assert episode.answers[0].trajectory.turns[1].status is status


def test_without_sub_questions_the_question_itself_is_searched() -> None:
    model = scripted({"rewrite": "---", "select": "Document0", "answerer": "Oslo"})
    episode = run("mmoa_rag", model, sample(TEXT))
    assert episode.answers[0].memories == ("(2023-05-08) Ann lives in Oslo.",)
