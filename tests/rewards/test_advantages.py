from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.rewards.advantages import Scale, group_advantages, role_weights

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Table = list[tuple[float, str, bool]]
Sized = list[tuple[str, bool, int]]
UNTIMED = settings(deadline=None)
rewards = st.floats(0, 1)
rows = st.lists(st.tuples(rewards, st.sampled_from("ab"), st.booleans()), max_size=12)
scales = st.sampled_from(Scale)


def unzip(table: Sequence[tuple[A, B, C]]) -> tuple[list[A], list[B], list[C]]:
    return [row[0] for row in table], [row[1] for row in table], [row[2] for row in table]


def test_rewards_are_compared_within_their_group_by_std() -> None:
    advantages = group_advantages([1.0, 0.0, 5.0, 7.0], ["a", "a", "b", "b"], [False] * 4, epsilon=0.0)
    half = 1 / math.sqrt(2)
    np.testing.assert_allclose(advantages, [half, -half, -half, half])


def test_without_std_the_size_of_a_difference_stays() -> None:
    advantages = group_advantages([1.0, 0.0, 5.0, 7.0], "aabb", [False] * 4, scale=Scale.NONE)
    assert advantages.tolist() == [0.5, -0.5, -1.0, 1.0]


@UNTIMED
@given(rows, scales)
def test_each_group_sums_to_zero_over_its_unmasked_rows(table: Table, scale: Scale) -> None:
    values, groups, masked = unzip(table)
    advantages = group_advantages(values, groups, masked, scale=scale)
    for group in set(groups):
        own = [
            a for a, g, hidden in zip(advantages, groups, masked, strict=True) if g == group and not hidden
        ]
        assert sum(own) == pytest.approx(0.0, abs=1e-9)


@UNTIMED
@given(rows, scales)
def test_a_higher_reward_never_has_a_lower_advantage_in_its_group(table: Table, scale: Scale) -> None:
    values, groups, masked = unzip(table)
    advantages = group_advantages(values, groups, masked, scale=scale)
    for i in range(len(values)):
        for j in range(len(values)):
            if groups[i] == groups[j] and not masked[i] and not masked[j] and values[i] <= values[j]:
                assert advantages[i] <= advantages[j]


@UNTIMED
@given(rows, scales, st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(table: Table, scale: Scale, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(table))
    advantages = group_advantages(*unzip(table), scale=scale)
    shuffled = group_advantages(*unzip([table[i] for i in order]), scale=scale)
    np.testing.assert_allclose(shuffled, advantages[order], atol=1e-9)


@UNTIMED
@given(rows, scales)
def test_masked_rows_get_zero_and_change_nothing_for_the_others(table: Table, scale: Scale) -> None:
    values, groups, masked = unzip(table)
    advantages = group_advantages(values, groups, masked, scale=scale)
    garbled = [math.nan if hidden else value for value, hidden in zip(values, masked, strict=True)]
    np.testing.assert_array_equal(group_advantages(garbled, groups, masked, scale=scale), advantages)
    kept = [row for row in table if not row[2]]
    visible = ~np.array(masked, dtype=bool)
    np.testing.assert_array_equal(group_advantages(*unzip(kept), scale=scale), advantages[visible])
    assert not advantages[~visible].any()


@UNTIMED
@given(rewards, st.integers(1, 7), scales, st.booleans())
def test_a_constant_group_gives_exactly_zero(value: float, size: int, scale: Scale, by_member: bool) -> None:
    members = [i % 3 for i in range(size)] if by_member else None
    advantages = group_advantages([value] * size, ["g"] * size, [False] * size, scale=scale, members=members)
    assert advantages.tolist() == [0.0] * size


def test_no_rows_and_groups_that_are_masked_whole_give_zeros() -> None:
    assert group_advantages([], [], []).tolist() == []
    assert group_advantages([1.0, 2.0, 3.0], "aab", [True, True, False]).tolist() == [0.0, 0.0, 0.0]


def test_the_standard_deviation_makes_advantages_independent_of_the_scale_of_rewards() -> None:
    small = group_advantages([0.1, 0.2, 0.4], "aaa", [False] * 3, epsilon=0.0)
    large = group_advantages([1.0, 2.0, 4.0], "aaa", [False] * 3, epsilon=0.0)
    np.testing.assert_allclose(small, large)


@UNTIMED
@given(st.lists(st.tuples(rewards, st.integers(1, 5)), min_size=1, max_size=5), scales)
def test_with_members_an_episode_of_many_rows_counts_no_more_than_one_of_few(
    episodes: list[tuple[float, int]], scale: Scale
) -> None:
    once = group_advantages(
        [reward for reward, _ in episodes], ["g"] * len(episodes), [False] * len(episodes), scale=scale
    )
    table = [(reward, n) for n, (reward, count) in enumerate(episodes) for _ in range(count)]
    many = group_advantages(
        [reward for reward, _ in table],
        ["g"] * len(table),
        [False] * len(table),
        scale=scale,
        members=[n for _, n in table],
    )
    np.testing.assert_allclose(many, [once[n] for _, n in table], atol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_is_refused_with_its_row(bad: float) -> None:
    with pytest.raises(ConfigError, match=r"row 1 in group 'a'"):
        group_advantages([0.0, bad], "aa", [False, False])


def test_columns_of_different_length_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'masked' has 1 values for 2 rows"):
        group_advantages([0.0, 1.0], "aa", [False])
    with pytest.raises(ConfigError, match="'members' has 3 values for 2 rows"):
        group_advantages([0.0, 1.0], "aa", [False, False], members="xyz")
    with pytest.raises(ConfigError, match="'sizes' has 1 values for 2 rows"):
        role_weights("ab", [False, False], [1.0])


sized = st.lists(
    st.tuples(st.sampled_from(["extractor", "manager", "answerer"]), st.booleans(), st.integers(0, 500)),
    max_size=12,
)


@UNTIMED
@given(sized)
def test_every_role_has_the_same_say_and_the_whole_keeps_its_size(table: Sized) -> None:
    roles, masked, sizes = unzip(table)
    weights = role_weights(roles, masked, sizes)
    mass: dict[str, float] = {}
    for role, hidden, size, weight in zip(roles, masked, sizes, weights, strict=True):
        if hidden:
            assert weight == 0
        elif size:
            mass[role] = mass.get(role, 0.0) + size * weight
    if mass:
        assert max(mass.values()) == pytest.approx(min(mass.values()))
        visible = sum(size for size, hidden in zip(sizes, masked, strict=True) if not hidden)
        assert sum(mass.values()) == pytest.approx(visible)


def test_rows_count_alike_when_no_sizes_are_given() -> None:
    assert role_weights(["m", "m", "m", "a"], [False] * 4).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


@UNTIMED
@given(sized, st.floats(1, 20))
def test_no_weight_is_above_the_limit_the_whole_keeps_its_size_and_unbounded_roles_stay_equal(
    table: Sized, limit: float
) -> None:
    roles, masked, sizes = unzip(table)
    weights = role_weights(roles, masked, sizes, limit=limit)
    assert max(weights, default=0) <= limit + 1e-9
    visible = [
        (role, size, w) for role, size, w, m in zip(roles, sizes, weights, masked, strict=True) if not m
    ]
    assert sum(size * w for _, size, w in visible) == pytest.approx(sum(size for _, size, _ in visible))
    free: dict[str, float] = {}
    for role, size, weight in visible:
        if size and weight < limit - 1e-9:
            free[role] = free.get(role, 0.0) + size * weight
    assert max(free.values(), default=0) == pytest.approx(min(free.values(), default=0))


def test_what_a_limit_takes_from_a_small_role_the_others_share() -> None:
    weights = role_weights(["m", "e", "s"], [False] * 3, [600, 398, 2], limit=4)
    assert weights.tolist() == pytest.approx([496 / 600, 496 / 398, 4])
    with pytest.raises(ConfigError, match=r"limit of the roles' weights is 0\.5"):
        role_weights(["m"], [False], limit=0.5)


def test_a_negative_or_unknown_size_is_refused_unless_masked() -> None:
    with pytest.raises(ConfigError, match="size of row 0"):
        role_weights("a", [False], [math.nan])
    assert role_weights("a", [True], [math.nan]).tolist() == [0.0]
