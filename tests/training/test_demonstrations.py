from __future__ import annotations

import json
from random import Random

from memquartet.agents.answerer import SEARCH_OFFER, SEARCHED
from memquartet.agents.prompt_sets import SHORT
from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.core.trajectory import Role
from memquartet.scoring.registry import score
from memquartet.systems.oracle import UNKNOWN
from memquartet.training.demonstration_sets import LAPSE_SHARES, drawn_faults, drawn_settings
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.settings import TrainingSettings


async def shown(prompts: str = "shipped") -> list[Demonstration]:
    settings = TrainingSettings(prompts=prompts)
    return [
        d for sample in make_worlds(WorldKind.CONFLICT, 3, 6) for d in await demonstrate(sample, settings)
    ]


async def test_every_role_is_demonstrated_with_the_prompts_of_the_run() -> None:
    long, short = await shown(), await shown(SHORT)
    assert {d.role for d in long} == {d.role for d in short} == set(Role)
    assert short[0].messages[0].content == "Facts as JSON."


async def test_the_demonstrators_answer_right_from_what_they_stored() -> None:
    settings = TrainingSettings(answer_top_k=20)
    for sample in make_worlds(WorldKind.CONFLICT, 4, 8):
        demonstrations = await demonstrate(sample, settings)
        answers = {
            d.messages[-1].content.splitlines()[-1]: d.output
            for d in demonstrations
            if d.role is Role.ANSWERER
        }
        for question in sample.questions:
            assert score("exact_match", answers[f"Question: {question.text}"], question) == 1


async def test_searching_and_answering_from_what_was_found_are_both_demonstrated() -> None:
    settings = TrainingSettings(max_searches=2, answer_top_k=5, prompts=SHORT)
    shown = [
        one
        for sample in make_worlds(WorldKind.DIALOGUE, 3, 8)
        for one in await demonstrate(sample, settings)
        if one.role is Role.ANSWERER
    ]
    searches = [one for one in shown if one.output.startswith("search: ")]
    assert searches
    assert all(SEARCH_OFFER in one.messages[-1].content for one in searches)
    for search in searches:
        query = search.output.removeprefix("search: ")
        question = search.messages[-1].content.rpartition("Question: ")[2]
        (then,) = [
            one
            for one in shown
            if f"{query}\n" in one.messages[-1].content.partition(SEARCHED)[2]
            and one.messages[-1].content.endswith(question)
            and one.messages[-1].content.count("; ") == search.messages[-1].content.count(SEARCHED)
        ]
        assert then.output != search.output


async def test_a_changed_fact_updates_the_memory_that_it_contradicts() -> None:
    decisions = [
        (d.messages[-1].content, json.loads(d.output)["decisions"])
        for d in await shown()
        if d.role is Role.MANAGER
    ]
    assert any(one["op"] == "UPDATE" for _, made in decisions for one in made)
    for prompt, made in decisions:
        facts = [line for line in prompt.splitlines() if line.startswith("Fact ")]
        assert [one["fact"] for one in made] == list(range(len(facts)))


async def test_where_the_manager_slips_the_old_value_is_shown_and_the_new_one_demonstrated() -> None:
    stale = 0
    for sample in make_worlds(WorldKind.CONFLICT, 5, 6):
        right = await demonstrate(sample, TrainingSettings(answer_top_k=20))
        slipped = await demonstrate(sample, TrainingSettings(answer_top_k=20), slips=1.0, random=Random(0))
        first = [next(d.output for d in found if d.role is Role.MANAGER) for found in (right, slipped)]
        assert first[0] == first[1]
        assert any('"UPDATE"' in d.output for d in slipped if d.role is Role.MANAGER)
        answers = [
            {d.messages[-1].content.rpartition("Question: ")[2]: d for d in found if d.role is Role.ANSWERER}
            for found in (right, slipped)
        ]
        # Where the newest value is withdrawn an older one may be left, and nothing shown tells that it does not hold.
        for question in (question for question in sample.questions if question.answers):
            clean, crowded = (found[question.text] for found in answers)
            assert score("exact_match", crowded.output, question) == 1
            stale += len(crowded.messages[-1].content.splitlines()) > len(
                clean.messages[-1].content.splitlines()
            )
    assert stale > 0


async def test_where_a_fact_was_overlooked_its_line_is_shown_and_the_answer_demonstrated() -> None:
    from_lines = 0
    for sample in make_worlds(WorldKind.FRIENDS, 5, 4):
        settings = TrainingSettings(answer_top_k=20, line_top_k=5)
        whole = await demonstrate(sample, settings)
        lapsed = await demonstrate(sample, settings, lapses=1.0, random=Random(0))
        extracted = [[d.output for d in found if d.role is Role.EXTRACTOR] for found in (whole, lapsed)]
        assert extracted[0] == extracted[1]
        assert not any(d.role is Role.MANAGER for d in lapsed)
        asked = {
            d.messages[-1].content.rpartition("Question: ")[2]: d for d in lapsed if d.role is Role.ANSWERER
        }
        for question in sample.questions:
            told = asked.get(question.text)
            if question.answers and told is not None:
                assert told.output != UNKNOWN
                from_lines += score("exact_match", told.output, question) == 1
    assert from_lines > 5


async def test_without_lines_nothing_is_overlooked_in_varied_demonstrations() -> None:
    plain = TrainingSettings()
    assert {drawn_faults(plain, Random(seed))["lapses"] for seed in range(30)} == {0.0}
    lined = TrainingSettings(line_top_k=4)
    assert {drawn_faults(lined, Random(seed))["lapses"] for seed in range(30)} == set(LAPSE_SHARES)
    assert {drawn_settings(lined, Random(seed)).line_top_k for seed in range(60)} == set(range(5))
