from __future__ import annotations

import json

from tests.systems.support import asked, run, sample, scripted, tasks

from memquartet.core.trajectory import TurnStatus
from memquartet.text.tokens import default_counter


def call(name: str, **arguments: str) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


ADD_ANN = call("new_memory_insert", memory_type="semantic", content="Ann lives in Rome.")
ADD_TRIP = call("new_memory_insert", memory_type="episodic", content="Ann moved on 1 May 2023.")
CORE = call("memory_update", memory_type="core", new_content="A chat with Ann.")


def test_one_generation_a_chunk_holds_any_number_of_calls() -> None:
    model = scripted({"mem_alpha": ADD_ANN + ADD_TRIP + CORE, "answerer": "Rome"})
    episode = run("mem_alpha", model, sample("Ann: I moved to Rome."))
    assert asked(model) == ["mem_alpha", "answerer"]
    assert [fact.text for fact in episode.steps[0].facts] == [
        "Ann lives in Rome.",
        "Ann moved on 1 May 2023.",
    ]
    shown = tasks(model, "answerer")[0]
    assert shown.startswith(
        "Context: A chat with Ann.\n\nMemories:\n- Ann lives in Rome.\n- Ann moved on 1 May 2023."
    )


def test_the_prompt_offers_three_writing_tools_and_shows_the_memory_with_ids() -> None:
    outputs = iter(
        [
            ADD_ANN + CORE,
            call("memory_update", memory_type="semantic", memory_id="m1", new_content="Ann lives in Oslo."),
        ]
    )
    model = scripted({"mem_alpha": lambda _task: next(outputs), "answerer": "Oslo"})
    episode = run("mem_alpha", model, sample("Ann: Rome.", "Ann: Now Oslo."))
    system = model.requests[0].messages[0].content
    assert all(name in system for name in ("new_memory_insert", "memory_update", "memory_delete"))
    assert "search_memory" not in system
    first, second = tasks(model, "mem_alpha")
    assert "Core:\n(empty)" in first
    assert "Core:\nA chat with Ann." in second
    assert "[m1] Ann lives in Rome." in second
    assert second.endswith("New piece:\nAnn: Now Oslo.")
    assert episode.answers[0].memories == ("Ann lives in Oslo.",)


def test_only_the_newest_five_of_each_list_are_shown() -> None:
    seven = "".join(
        call("new_memory_insert", memory_type="semantic", content=f"Fact number {n}.") for n in range(7)
    )
    outputs = iter([seven, ""])
    model = scripted({"mem_alpha": lambda _task: next(outputs), "answerer": "?"})
    run("mem_alpha", model, sample("a", "b"))
    second = tasks(model, "mem_alpha")[1]
    assert [n for n in range(7) if f"Fact number {n}." in second] == [2, 3, 4, 5, 6]


def test_fewer_are_shown_where_the_prompt_would_get_too_long() -> None:
    five = "".join(
        call("new_memory_insert", memory_type="semantic", content=f"Fact {n}: " + "word " * 100)
        for n in range(5)
    )
    outputs = iter([five, ""])
    model = scripted({"mem_alpha": lambda _task: next(outputs), "answerer": "?"})
    run("mem_alpha", model, sample("a", "b"), prompt_tokens=1000)
    second = model.requests[1]
    assert [n for n in range(5) if f"Fact {n}:" in second.messages[-1].content] == [3, 4]
    assert sum(default_counter().count(m.content) for m in second.messages) <= 1000


def test_a_wrong_call_changes_nothing_and_the_others_count() -> None:
    wrong = call("memory_delete", memory_type="semantic", memory_id="m9")
    model = scripted({"mem_alpha": wrong + ADD_ANN, "answerer": "Rome"})
    assert run("mem_alpha", model, sample("a")).answers[0].memories == ("Ann lives in Rome.",)


def test_an_unreadable_output_stores_nothing_is_marked_and_is_not_asked_again() -> None:
    model = scripted({"mem_alpha": "<tool_call>{oops</tool_call>", "answerer": "?"})
    episode = run("mem_alpha", model, sample("a"))
    assert asked(model) == ["mem_alpha", "answerer"]
    assert episode.steps[0].trajectory.turns[0].status is TurnStatus.INVALID
    assert episode.answers[0].memories == ()


def test_where_not_everything_fits_the_best_by_bm25_are_shown() -> None:
    many = "".join(
        call("new_memory_insert", memory_type="semantic", content=f"Person{n} lives in Rome.")
        for n in range(40)
    )
    model = scripted(
        {
            "mem_alpha": many
            + call("new_memory_insert", memory_type="episodic", content="Ann lives in Oslo."),
            "answerer": "Oslo",
        }
    )
    episode = run("mem_alpha", model, sample("a"), context_tokens=60)
    assert "Ann lives in Oslo." in episode.answers[0].memories
    assert len(episode.answers[0].memories) < 40
