from __future__ import annotations

import json

from tests.systems.support import asked, run, sample, scripted, tasks


def facts(*texts: str) -> str:
    return json.dumps({"facts": texts})


def test_each_chunk_is_extracted_then_decided_fact_by_fact_then_summarized() -> None:
    model = scripted(
        {
            "mem0_extract": facts("Ann lives in Rome.", "Bo likes tea."),
            "mem0_update": '{"op": "ADD"}',
            "mem0_summary": "They chat.",
            "answerer": "Rome",
        }
    )
    episode = run("mem0", model, sample("Ann: Rome!\nBo: Tea."))
    assert asked(model) == ["mem0_extract", "mem0_update", "mem0_update", "mem0_summary", "answerer"]
    assert set(episode.answers[0].memories) == {
        "(2023-05-08) Ann lives in Rome.",
        "(2023-05-08) Bo likes tea.",
    }


def test_extraction_sees_the_summary_and_the_last_messages_before_the_chunk() -> None:
    model = scripted({"mem0_extract": facts(), "mem0_summary": "They chat about Rome.", "answerer": "?"})
    run("mem0", model, sample("Ann: one\nAnn: two\nAnn: three", "Ann: four"), recent_messages=2)
    first, second = tasks(model, "mem0_extract")
    assert "so far:\n(none)" in first
    assert "so far:\nThey chat about Rome." in second
    assert "Earlier messages:\nAnn: two\nAnn: three\n" in second
    assert second.endswith("New messages:\nAnn: four")


def after(decision: object) -> tuple[tuple[str, ...], str]:
    """What is remembered when a second fact meets the first one with this decision, and the second prompt."""
    said = iter([facts("Ann lives in Rome."), facts("Ann lives in Oslo.")])
    decided = iter(['{"op": "ADD"}', json.dumps(decision), json.dumps(decision)])
    model = scripted(
        {
            "mem0_extract": lambda _task: next(said),
            "mem0_update": lambda _task: next(decided),
            "mem0_summary": "They chat.",
            "answerer": "?",
        }
    )
    episode = run("mem0", model, sample("Ann: Rome.", "Ann: Oslo."))
    return episode.answers[0].memories, tasks(model, "mem0_update")[1]


def test_a_fact_is_decided_in_sight_of_similar_memories() -> None:
    _, prompt = after({"op": "ADD"})
    assert "New fact: Ann lives in Oslo." in prompt
    assert "[0] (2023-05-08) Ann lives in Rome." in prompt


def test_add_keeps_both_and_noop_keeps_the_old_one() -> None:
    both, _ = after({"op": "ADD"})
    assert set(both) == {"(2023-05-08) Ann lives in Rome.", "(2023-06-08) Ann lives in Oslo."}
    assert after({"op": "NOOP"})[0] == ("(2023-05-08) Ann lives in Rome.",)


def test_update_replaces_the_memory_and_its_date() -> None:
    kept, _ = after({"op": "UPDATE", "id": "0", "text": "Ann moved from Rome to Oslo."})
    assert kept == ("(2023-06-08) Ann moved from Rome to Oslo.",)


def test_delete_removes_the_old_memory_and_does_not_store_the_new_fact() -> None:
    assert after({"op": "DELETE", "id": "0"})[0] == ()


def test_a_decision_about_a_memory_that_was_not_shown_is_sent_back_and_then_the_fact_is_stored() -> None:
    kept, _ = after({"op": "DELETE", "id": "7"})
    assert len(kept) == 2
