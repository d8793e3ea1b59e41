from __future__ import annotations

import pytest
from tests.rewards.episodes import World, question, sample

from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.rewards.credit import Evidence, reward_episode
from memquartet.rewards.parts import Part
from memquartet.rewards.wording import says, wording

MOVED = question(0, "Rome", superseded=["Paris"], subject="Ann")
READ = ["Ann lives in Paris.", "Ann moved to Rome."]


def judged(
    world: World, made: Sample | None = None, step: int = -1, evidence: Evidence | None = None
) -> dict[str, float | None]:
    """The manager's parts in a step."""
    made = made or sample(READ, MOVED)
    rewards = reward_episode(world.episode(), made, evidence=evidence or Evidence())
    turn = [r for r in rewards.turns if r.role is Role.MANAGER][step]
    return {part.name: part.value for part in turn.parts}


def test_a_superseded_value_that_is_still_retrieved_costs_consistency() -> None:
    world = World()
    world.step(world.add("Ann lives in Paris")).step(world.add("Ann lives in Rome")).answer(
        "Rome", "m1", "m2"
    )
    parts = judged(world)
    assert (parts[Part.CONSISTENCY], parts[Part.UPDATE]) == (0.0, 0.0)


def test_an_update_in_place_leaves_nothing_stale() -> None:
    world = World()
    world.step(world.add("Ann lives in Paris")).step(world.update("Ann lives in Rome", "m1"))
    parts = judged(world.answer("Rome", "m1"))
    assert (parts[Part.CONSISTENCY], parts[Part.UPDATE]) == (1.0, 1.0)


def test_an_entry_that_tells_both_the_old_and_the_new_value_is_not_stale() -> None:
    world = World()
    world.step(world.add("Ann moved from Paris to Rome"))
    assert judged(world.answer("Rome", "m1"))[Part.CONSISTENCY] == 1.0


def test_another_subject_may_have_the_superseded_value() -> None:
    world = World()
    world.step(world.add("Bob lives in Paris"), world.add("Ann lives in Rome")).answer("Rome", "m1", "m2")
    parts = judged(world)
    assert (parts[Part.CONSISTENCY], parts[Part.UPDATE]) == (1.0, 1.0)


def test_an_empty_memory_is_not_consistent_and_has_not_followed_the_update() -> None:
    world = World()
    world.step(world.noop("Ann lives in Rome")).answer("I do not know")
    parts = judged(world)
    assert (parts[Part.CONSISTENCY], parts[Part.UPDATE]) == (None, 0.0)


def test_after_a_deletion_only_staleness_counts() -> None:
    gone = question(0, superseded=["Paris"])
    made = sample(READ, gone, metric="f1")
    kept, deleted = World(), World()
    kept.step(kept.add("Ann lives in Paris")).answer("Paris", "m1")
    deleted.step(deleted.add("Ann lives in Paris")).step(deleted.delete("Ann moved away", "m1"))
    deleted.answer("No information available")
    assert judged(kept, made)[Part.UPDATE] == 0.0
    assert judged(deleted, made)[Part.UPDATE] == 1.0


def test_questions_without_superseded_values_leave_both_parts_unjudged() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).answer("Rome", "m1")
    parts = judged(world, sample(READ, question(0, "Rome")))
    assert (parts[Part.CONSISTENCY], parts[Part.UPDATE]) == (None, None)


def test_words_stored_twice_cost_the_step_that_stored_them_again() -> None:
    world = World()
    world.step(world.add("Ann lives in Paris"))
    world.step(world.add("ann lives in  PARIS!"), world.add("Ann moved to Rome")).answer("Rome", "m3")
    assert (judged(world, step=0)[Part.DISTINCT], judged(world, step=1)[Part.DISTINCT]) == (1.0, 0.5)


def test_entries_from_before_the_episode_are_known_from_the_memory() -> None:
    world = World()
    world.memory.insert("semantic", "Ann lives in Paris")
    world.step(world.add("Ann lives in Rome")).answer("Rome", "m1", "m2")
    assert judged(world)[Part.CONSISTENCY] == 1.0
    evidence = Evidence(entries=tuple(world.memory.entries()))
    assert judged(world, evidence=evidence)[Part.CONSISTENCY] == 0.0


@pytest.mark.parametrize("bad", ["Paris", [1], {"Paris": 1}, 3])
def test_malformed_superseded_values_are_refused_with_the_question(bad: object) -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).answer("Rome", "m1")
    with pytest.raises(InputError, match="question 'q0': extra 'superseded' must be a list of texts"):
        judged(world, sample(READ, question(0, "Rome", superseded=bad)))


def test_values_are_found_as_whole_words_in_any_case_and_script() -> None:
    assert says("She moved to NEW York, then left", "new york")
    assert not says("She lives in Yorkshire", "York")
    assert not says("York is new", "New York")
    assert says("Ñandú lives in Besançon.", "besançon")
    assert not says("anything", "!?")
    assert wording("Ann  lives in Rome.") == wording("ann lives in rome")
    assert wording("!!") != wording("??")
