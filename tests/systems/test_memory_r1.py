from __future__ import annotations

import json

from tests.systems.support import asked, run, sample, scripted, tasks

ANN = {"speaker": "Ann", "text": "Ann adopted a dog named Rex."}
SECOND = {"speaker": "Ann", "text": "Ann adopted a dog named Sam."}
BO = {"speaker": "Bo", "text": "Bo likes tea."}


def facts(*found: object) -> str:
    return json.dumps({"facts": found})


def echo(*events: dict[str, str]) -> str:
    return json.dumps({"memory": events})


def add(fact: dict[str, str]) -> dict[str, str]:
    return {"id": "9", "text": fact["text"], "event": "ADD"}


def run_two(second_echo: str, *, first: str | None = None) -> tuple[tuple[str, ...], list[str]]:
    """Two chunks with a fact each; the second meets this manager. What is remembered, and the manager's prompts."""
    said = iter([facts(ANN), facts(SECOND)])
    managed = iter([first or echo(add(ANN)), second_echo, second_echo])
    model = scripted(
        {
            "r1_extract": lambda _task: next(said),
            "r1_manage": lambda _task: next(managed),
            "r1_answer": "Ann adopted Rex.\n**Answer:** two dogs",
        }
    )
    episode = run("memory_r1", model, sample("Ann: Rex!", "Ann: Sam!"))
    assert episode.answers[0].text == "two dogs"
    return episode.answers[0].memories, tasks(model, "r1_manage")


def test_a_chunk_is_extracted_and_managed_in_one_call_for_all_its_facts() -> None:
    model = scripted(
        {
            "r1_extract": facts(ANN, BO),
            "r1_manage": echo(add(ANN), add(BO)),
            "r1_answer": "**Answer:** Rex",
        }
    )
    run("memory_r1", model, sample("Ann: Rex!\nBo: Tea."))
    assert asked(model) == ["r1_extract", "r1_manage", "r1_answer"]
    (prompt,) = tasks(model, "r1_manage")
    assert prompt == ('Old memory: []\nRetrieved facts: ["Ann adopted a dog named Rex.", "Bo likes tea."]')


def test_the_manager_sees_similar_memories_under_short_ids() -> None:
    _, prompts = run_two(echo())
    assert prompts[1].startswith('Old memory: [{"id": "0", "text": "Ann adopted a dog named Rex."}]')


def test_update_merges_under_the_same_id() -> None:
    merged = {"id": "0", "text": "Ann adopted Rex and Sam.", "event": "UPDATE", "old_memory": ANN["text"]}
    memories, _ = run_two(echo(merged))
    assert memories == ("(2023-06-08) Ann adopted Rex and Sam.",)


def test_delete_removes_and_stores_nothing_in_its_place() -> None:
    memories, _ = run_two(echo({"id": "0", "text": ANN["text"], "event": "DELETE"}))
    assert memories == ()


def test_none_and_noop_change_nothing() -> None:
    for event in ("NONE", "NOOP"):
        memories, _ = run_two(echo({"id": "0", "text": ANN["text"], "event": event}))
        assert memories == ("(2023-05-08) Ann adopted a dog named Rex.",)


def test_an_unknown_id_is_sent_back_and_then_the_facts_are_stored_all_the_same() -> None:
    memories, prompts = run_two(echo({"id": "5", "text": "x", "event": "DELETE"}))
    assert len(prompts) == 3
    assert len(memories) == 2


def test_two_events_on_one_id_count_once() -> None:
    twice = echo(
        {"id": "0", "text": "Ann adopted Rex and Sam.", "event": "UPDATE"},
        {"id": "0", "text": "gone", "event": "DELETE"},
    )
    memories, _ = run_two(twice)
    assert memories == ("(2023-06-08) Ann adopted Rex and Sam.",)


def test_the_answer_comes_after_the_memories_that_were_found_useful() -> None:
    model = scripted(
        {
            "r1_extract": facts(ANN, BO),
            "r1_manage": echo(add(ANN), add(BO)),
            "r1_answer": "Ann adopted a dog named Rex.\n**Answer:** Rex",
        }
    )
    episode = run("memory_r1", model, sample("Ann: Rex!\nBo: Tea."))
    assert episode.answers[0].text == "Rex"
    (shown,) = tasks(model, "r1_answer")
    assert "Memories of Ann:\n- (2023-05-08) Ann adopted a dog named Rex." in shown
    assert "Memories of Bo:\n- (2023-05-08) Bo likes tea." in shown
    assert model.requests[-1].sampling.max_tokens == 512


def test_each_of_two_speakers_gives_as_many_memories() -> None:
    many = [{"speaker": "Ann", "text": f"Ann saw film number {n}."} for n in range(8)]
    model = scripted(
        {
            "r1_extract": facts(*many, BO),
            "r1_manage": echo(*map(add, many), add(BO)),
            "r1_answer": "**Answer:** ?",
        }
    )
    episode = run("memory_r1", model, sample("a"), per_speaker=3)
    memories = episode.answers[0].memories
    assert len(memories) == 4
    assert "(2023-05-08) Bo likes tea." in memories


def test_a_chunk_without_facts_does_not_reach_the_manager() -> None:
    model = scripted({"r1_extract": facts(), "r1_answer": "**Answer:** no information available"})
    run("memory_r1", model, sample("Ann: Hm."))
    assert asked(model) == ["r1_extract", "r1_answer"]
