r"""Advantages: rewards compared within their group, and the roles' weights made equal.

Pure arithmetic over the rows of a batch, for whichever trainer. With rewards r over the unmasked rows of a group G:

    A_i = (r_i - mean_G r) / (std_G r + eps)     GRPO (arXiv 2402.03300), `Scale.STD`
    A_i = r_i - mean_G r                         Dr. GRPO (arXiv 2503.20783), `Scale.NONE`

A group whose rewards are all equal, and so also a group of one, gives 0: there is nothing to compare with.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError

Floats = NDArray[np.float64]


class Scale(StrEnum):
    """What a difference from the group's mean is divided by."""

    STD = "std"
    """The group's standard deviation (n - 1 in the denominator), as GRPO does."""
    NONE = "none"
    """Nothing: easy and hard groups keep their size, as in Dr. GRPO."""


def group_advantages(
    rewards: Sequence[float],
    groups: Sequence[Hashable],
    masked: Sequence[bool],
    *,
    scale: Scale = Scale.STD,
    members: Sequence[Hashable] | None = None,
    epsilon: float = 1e-6,
) -> Floats:
    """One advantage for each row.

    Args:
        rewards: one for each row, higher is better; what stands in a masked row is never looked at.
        groups: rows with equal keys are compared with one another.
        masked: rows that count for nothing; their advantage is 0.
        scale: what differences are divided by.
        members: when given, a group's mean and deviation are taken over its members, each with the mean of its
            rows. With the episode as member, an episode of many rows counts no more than one of few, which is
            what one reward for a whole episode (`CreditMode.BROADCAST`) needs.
        epsilon: added to the deviation.

    Raises:
        ConfigError: the arguments differ in length, or an unmasked reward is not finite.
    """
    _check_lengths(
        len(rewards), groups=groups, masked=masked, members=rewards if members is None else members
    )
    rows: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, (group, hidden) in enumerate(zip(groups, masked, strict=True)):
        if not hidden:
            if not np.isfinite(rewards[row]):
                raise ConfigError(
                    f"reward of row {row} in group {group!r} is {rewards[row]!r}: mask a row that has no reward"
                )
            rows[group].append(row)
    advantages = np.zeros(len(rewards))
    for found in rows.values():
        values = np.array([rewards[row] for row in found], dtype=np.float64)
        sample = values if members is None else _member_means(values, [members[row] for row in found])
        if sample.max() > sample.min():  # equal values may differ from their own mean by a rounding
            divisor = sample.std(ddof=1) + epsilon if scale is Scale.STD else 1.0
            advantages[found] = (values - sample.mean()) / divisor
    return advantages


def role_weights(
    roles: Sequence[Hashable],
    masked: Sequence[bool],
    sizes: Sequence[float] | None = None,
    *,
    limit: float = math.inf,
) -> Floats:
    r"""Factors for the rows' advantages by which every role has the same say in a batch.

    A loss that averages over rows, or over tokens, gives a role as much weight as it has rows or tokens. With m_i
    the size of row i (1, or its number of trained tokens), M the sum over all unmasked rows, M_role over those of
    one role, and R the number of roles that have any:

        w_i = M / (R · M_role(i))        so that the sum of w_i · m_i over each role is M / R

    and the sum over all rows stays M: the learning rate keeps its meaning. Where a role has few rows (a summarizer
    that is seldom called), a large w_i makes much of their noise; `limit` bounds it.

    Args:
        roles: each row's role.
        masked: rows that count for nothing; their weight is 0.
        sizes: each row's own weight in the loss; None counts rows.
        limit: most that w_i may be, at least 1; what it takes from a role the others share.

    Raises:
        ConfigError: the arguments differ in length, an unmasked size is negative or not finite, or the limit is less
            than 1.
    """
    sizes = [1.0] * len(roles) if sizes is None else sizes
    _check_lengths(len(roles), masked=masked, sizes=sizes)
    totals: defaultdict[Hashable, float] = defaultdict(float)
    for row, (role, hidden, size) in enumerate(zip(roles, masked, sizes, strict=True)):
        if not hidden:
            if not (np.isfinite(size) and size >= 0):
                raise ConfigError(f"size of row {row} is {size!r}: expected a number of tokens or rows, ≥ 0")
            totals[role] += size
    if not limit >= 1:
        raise ConfigError(f"the limit of the roles' weights is {limit!r}: expected at least 1")
    present = {role: total for role, total in totals.items() if total > 0}
    weights = _bounded_weights(present, limit)
    return np.array(
        [
            weights[role] if role in weights and not hidden else 0.0
            for role, hidden in zip(roles, masked, strict=True)
        ]
    )


def _bounded_weights(sizes: Mapping[Hashable, float], limit: float) -> Mapping[Hashable, float]:
    """Equal shares of the whole for the roles, but for those that would need more than the limit: the others share the rest."""
    weights: dict[Hashable, float] = {}
    rest = sum(sizes.values())
    for left, (role, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        # The smallest come first: once one needs no bound, none after it does.
        weights[role] = min(rest / (len(sizes) - left) / size, limit)
        rest -= weights[role] * size
    return weights


def _check_lengths(rows: int, **columns: Sequence[object]) -> None:
    for name, column in columns.items():
        if len(column) != rows:
            raise ConfigError(f"{name!r} has {len(column)} values for {rows} rows: give one for each row")


def _member_means(values: Floats, members: Sequence[Hashable]) -> Floats:
    own: defaultdict[Hashable, list[float]] = defaultdict(list)
    for value, member in zip(values, members, strict=True):
        own[member].append(float(value))
    # The first plus the mean difference: exact for equal values, so that a constant group stays constant.
    return np.array([found[0] + float(np.mean([v - found[0] for v in found])) for found in own.values()])
