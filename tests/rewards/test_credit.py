from __future__ import annotations

import pytest
from tests.rewards.episodes import BROKEN, World, question, sample, turn

from memquartet.core.samples import Sample
from memquartet.core.scores import RewardPart
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.errors import ConfigError
from memquartet.rewards.credit import CreditMode, Evidence, reward_episode
from memquartet.rewards.mix import DEFAULT_WEIGHTS, RewardMix, total
from memquartet.rewards.parts import Part
from memquartet.text.tokens import Keep

TWO = sample(["Ann lives in Rome.", "Bob lives in Oslo."], question(0, "Rome"), question(1, "Oslo"))


def lived() -> World:
    world = World()
    world.step(world.add("Ann lives in Rome")).step(world.add("Bob lives in Oslo"))
    return world.answer("Rome", "m1", "m2").answer("Ulm", "m1", "m2")


def test_answerers_get_their_own_score_and_builders_the_mean() -> None:
    rewards = reward_episode(lived().episode(), TWO)
    correctness = [next(p.value for p in r.parts if p.name == Part.CORRECTNESS) for r in rewards.turns]
    assert correctness == [0.5, 0.5, 0.5, 0.5, 1.0, 0.0]
    assert rewards.outcome == 0.5


def test_rewards_stand_in_the_order_of_the_turns_and_are_compared_by_role_and_unit_of_work() -> None:
    episode = lived().episode()
    rewards = reward_episode(episode, TWO).turns
    assert [(r.index, r.role) for r in rewards] == [(i, t.role) for i, t in enumerate(episode.turns)]
    assert [r.group for r in rewards] == [
        *("s/chunk-0/extractor", "s/chunk-0/manager", "s/chunk-1/extractor", "s/chunk-1/manager"),
        *("s/question-0/answerer", "s/question-1/answerer"),
    ]


def test_broadcast_gives_every_turn_the_outcome_in_one_group() -> None:
    rewards = reward_episode(lived().episode(), TWO, mode=CreditMode.BROADCAST).turns
    assert {(r.total, r.group) for r in rewards} == {(0.5, "s")}


def test_an_unusable_try_gets_its_format_alone() -> None:
    world = World()
    tries = (turn(Role.EXTRACTOR, TurnStatus.INVALID), turn(Role.EXTRACTOR, TurnStatus.REPAIRED, 1))
    world.step(world.add("Ann lives in Rome"), turns=(*tries, turn(Role.MANAGER)))
    first, second, _, _ = reward_episode(world.answer("Rome", "m1").episode(), TWO).turns
    assert (first.total, [part.name for part in first.parts]) == (0.0, [Part.FORMAT])
    assert second.total is not None
    assert second.total > 0.5


def test_garbage_from_every_role_gives_the_floor_and_masks_nothing() -> None:
    world = World()
    world.step(turns=[turn(Role.EXTRACTOR, TurnStatus.INVALID, attempt) for attempt in range(2)])
    rewards = reward_episode(world.answer("%$&").episode(), TWO).turns
    assert [r.total for r in rewards[:2]] == [0.0, 0.0]
    assert not any(r.masked for r in rewards)


def test_a_managers_defaulted_decisions_cost_it_while_the_others_still_count() -> None:
    world = World()
    status = TurnStatus.INVALID
    world.step(
        world.add("Ann lives in Rome"),
        world.add("Bob lives in Oslo", defaulted=True),
        turns=[turn(Role.EXTRACTOR), turn(Role.MANAGER, status)],
    )
    manager = reward_episode(world.answer("Rome", "m1").answer("Oslo", "m2").episode(), TWO).turns[1]
    parts = {part.name: part.value for part in manager.parts}
    assert (parts[Part.OPERATIONS], parts[Part.FORMAT], parts[Part.CORRECTNESS]) == (0.5, 0.0, 1.0)


# ---------------------------------------------------------------- when the world fails


def test_a_step_that_failed_masks_the_whole_episode() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).step(failure=BROKEN)
    world.answer(None, failure=BROKEN).answer(None, failure=BROKEN)
    for mode in (CreditMode.ROLE, CreditMode.BROADCAST):
        assert all(r.masked for r in reward_episode(world.episode(), TWO, mode=mode).turns)


def test_a_step_that_failed_masks_the_episode_even_if_somebody_asked_it_afterwards() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"), failure=BROKEN).answer("Rome", "m1")
    assert all(r.masked for r in reward_episode(world.episode(), TWO).turns)


def test_an_answer_that_failed_drops_out_of_the_mean_and_is_never_a_zero() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).answer("Rome", "m1").answer(None, failure=BROKEN)
    rewards = reward_episode(world.episode(), TWO)
    assert rewards.outcome == 1.0
    assert not any(r.masked for r in rewards.turns)


def test_when_every_answer_failed_the_builders_are_masked_too() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).answer(None, failure=BROKEN).answer(None, failure=BROKEN)
    rewards = reward_episode(world.episode(), TWO)
    assert rewards.outcome is None
    assert all(r.masked for r in rewards.turns)
    assert rewards.by_role() == {}


# ---------------------------------------------------------------- mix


def test_a_part_that_cannot_be_judged_drops_out_and_the_others_take_its_place() -> None:
    parts = [
        RewardPart(name="a", value=1.0, weight=1.0),
        RewardPart(name="b", value=0.0, weight=1.0),
        RewardPart(name="c", value=None, weight=8.0),
    ]
    assert total(parts) == 0.5
    assert total(parts[2:]) is None


def test_a_weight_of_zero_switches_a_part_off() -> None:
    mix = RewardMix.of({"extractor": {"noop": 0, "provenance": 0, "format": 0}})
    extractor = reward_episode(lived().episode(), TWO, mix=mix).turns[0]
    assert [part.name for part in extractor.parts] == [Part.CORRECTNESS]
    assert extractor.total == 0.5


def test_what_a_mix_does_not_name_keeps_its_default() -> None:
    mix = RewardMix.of({"manager": {"validity": 0.7}})
    assert mix.weights[Role.MANAGER] == {**DEFAULT_WEIGHTS[Role.MANAGER], Part.VALIDITY: 0.7}
    assert mix.weights[Role.ANSWERER] == DEFAULT_WEIGHTS[Role.ANSWERER]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reader": {}}, "no role 'reader' in the reward mix: use 'extractor', 'manager'"),
        ({"answerer": {"noop": 1}}, "no reward part 'noop' for the answerer: it has 'correctness', 'format'"),
        ({"answerer": {"format": float("nan")}}, "weight answerer.format is nan"),
        ({"answerer": {"format": -1}}, "weight answerer.format is -1"),
        ({"answerer": {"format": True}}, "weight answerer.format is True"),
        ({"answerer": {"format": "1"}}, "weight answerer.format is '1'"),
        ({"answerer": 1}, "weights of 'answerer' must map parts to numbers"),
    ],
)
def test_a_mix_that_cannot_work_is_refused_with_what_there_is(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RewardMix.of(settings)


def test_a_mix_built_by_hand_is_checked_alike() -> None:
    with pytest.raises(ConfigError, match="no reward part 'noop' for the manager"):
        RewardMix(weights={Role.MANAGER: {Part.NOOP: 1.0}})


@pytest.mark.parametrize("bad", [float("nan"), 1.5, -0.1])
def test_a_value_outside_zero_to_one_never_leaves_the_room(bad: float) -> None:
    with pytest.raises(ConfigError, match="reward part 'validity' of the manager"):
        reward_episode(lived().episode(), TWO, evidence=Evidence(validity={0: bad}))


# ---------------------------------------------------------------- other parts, modes, misuse


def test_a_judges_verdict_reaches_the_manager_of_its_step() -> None:
    rewards = reward_episode(lived().episode(), TWO, evidence=Evidence(validity={1: 0.25}))
    found = [p.value for r in rewards.turns for p in r.parts if p.name == Part.VALIDITY]
    assert found == [None, 0.25]
    assert rewards.by_role()["manager/validity"] == 0.25


def test_compression_is_what_was_read_and_not_kept() -> None:
    chunk = "Well, hello there! As you know, Ann lives in Rome, and the weather there is fine, isn't it?"
    world = World()
    world.step(world.add("Ann lives in Rome")).answer("Rome", "m1")
    rewards = reward_episode(world.episode(), sample([chunk], question(0, "Rome")), counter=Words())
    (compression,) = [p for r in rewards.turns for p in r.parts if p.name == Part.COMPRESSION]
    assert compression.value == 1 - 4 / len(chunk.split())


class Words:
    """Counts words."""

    def count(self, text: str) -> int:
        return len(text.split())

    def truncate(self, text: str, budget: int, keep: Keep = Keep.FIRST) -> str:
        raise AssertionError("rewards never cut texts")


def test_branch_credit_takes_the_place_of_provenance_around_one_half() -> None:
    with pytest.raises(ConfigError, match="branch_credit"):
        reward_episode(lived().episode(), TWO, mode=CreditMode.BRANCH)
    evidence = Evidence(branch={0: 1.0, 1: -0.5, 2: 0.0})
    rewards = reward_episode(lived().episode(), TWO, mode=CreditMode.BRANCH, evidence=evidence).turns
    found = [[p.value for p in r.parts if p.name == Part.BRANCH] for r in rewards]
    assert found == [[1.0], [0.25], [0.5], [None], [], []]
    assert not any(p.name == Part.PROVENANCE for r in rewards for p in r.parts)
    assert [r.group for r in rewards][2:4] == ["s/chunk-1/extractor", "s/chunk-1/manager/unprobed"]


def test_silence_earns_less_by_branches_than_useless_facts_unless_nobody_needs_the_chunk() -> None:
    needed = sample(["Ann lives in Rome.", "Bob lives in Oslo."], question(0, "Rome"), question(1, "Oslo"))
    unneeded = sample(
        ["Ann lives in Rome.", "Fine weather."], question(0, "Rome", evidence=("d0",)), question(1)
    )

    def earned(of: Sample, credit: float, *, talking: bool) -> tuple[float | None, float | None]:
        world = World()
        world.step(world.add("Ann lives in Rome"))
        world.step(world.add("Bob paints")) if talking else world.step()
        for _ in of.questions:
            world.answer("Rome", "m1")
        turns = world.episode().turns
        (last,) = [i for i, t in enumerate(turns) if i and t.role is Role.EXTRACTOR]
        reward = reward_episode(
            world.episode(), of, mode=CreditMode.BRANCH, evidence=Evidence(branch={last: credit})
        ).turns[last]
        return reward.total, next(p.value for p in reward.parts if p.name == Part.BRANCH)

    (silence, least), (harm, _), (useless, _) = (
        earned(needed, credit, talking=talking) for credit, talking in ((0, False), (-0.9, True), (0, True))
    )
    assert least == 0
    assert silence is not None
    assert harm is not None
    assert useless is not None
    assert silence < harm < useless
    assert earned(unneeded, 0, talking=False)[1] == 0.5


def test_an_episode_of_another_sample_is_refused() -> None:
    other = sample(["Ann lives in Rome."], question(7, "Rome"))
    with pytest.raises(ConfigError, match=r"it answers questions \['q0', 'q1'\]"):
        reward_episode(lived().episode(), other)


def test_means_by_role_leave_out_what_could_not_be_judged() -> None:
    means = reward_episode(lived().episode(), TWO).by_role()
    assert means["answerer/correctness"] == 0.5
    assert means["answerer/total"] == pytest.approx((1.2 / 1.2 + 0.2 / 1.2) / 2)
    assert "manager/validity" not in means
    assert "manager/update" not in means


def test_an_empty_episode_has_no_rewards() -> None:
    rewards = reward_episode(World().episode(), TWO)
    assert (rewards.turns, rewards.outcome) == ((), None)
