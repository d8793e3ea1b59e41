"""How parts become one number: weights by role and part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from memquartet.core.scores import RewardPart
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.rewards.parts import Part

Weights = Mapping[Role, Mapping[Part, float]]
MAX_WEIGHT = 1e6

DEFAULT_WEIGHTS: Weights = {
    Role.EXTRACTOR: {
        Part.CORRECTNESS: 1.0,
        Part.FORMAT: 0.2,
        Part.NOOP: 0.2,
        Part.PROVENANCE: 0.5,
        Part.BRANCH: 1.0,
    },
    Role.MANAGER: {
        Part.CORRECTNESS: 1.0,
        Part.FORMAT: 0.2,
        Part.OPERATIONS: 0.2,
        # Mem-alpha's best weights of compression and validity; its 0.2 for compression was worse than none.
        Part.COMPRESSION: 0.05,
        Part.VALIDITY: 0.1,
        Part.CONSISTENCY: 0.2,
        Part.DISTINCT: 0.1,
        Part.UPDATE: 0.2,
        Part.PROVENANCE: 0.5,
        Part.BRANCH: 1.0,
    },
    Role.SUMMARIZER: {
        Part.CORRECTNESS: 1.0,
        Part.FORMAT: 0.2,
        Part.COMPRESSION: 0.05,
        Part.BRANCH: 1.0,
    },
    Role.ANSWERER: {Part.CORRECTNESS: 1.0, Part.FORMAT: 0.2, Part.SEARCH: 0.2},
}
"""Which parts a role has at all, and what each weighs by default.

The extractor has no compression part: the shortest memory is that of an extractor that says nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardMix:
    """Weights ≥ 0 by role and part; a weight of 0 switches a part off.

    A turn's total is Σ weight · value / Σ weight over the parts that have a value, and so in [0, 1]: a part that
    cannot be judged drops out and the others take its place; a total of no parts is None.
    """

    weights: Weights = field(default_factory=lambda: DEFAULT_WEIGHTS)

    def __post_init__(self) -> None:
        """Check every weight.

        Raises:
            ConfigError: a part that its role does not have, or a weight that is not a number in [0, MAX_WEIGHT].
        """
        for role, parts in self.weights.items():
            for part, weight in parts.items():
                _check_weight(role, part, weight)

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Self:
        """The default weights with some changed, as in `{"extractor": {"noop": 0.5}}`, TOML's or YAML's form.

        Raises:
            ConfigError: no such role, no such part for the role, or a weight that is not a number ≥ 0.
        """
        weights: dict[Role, Mapping[Part, float]] = dict(DEFAULT_WEIGHTS)
        for role_name, changes in settings.items():
            if role_name not in set(Role):
                raise ConfigError(f"no role {role_name!r} in the reward mix: use {_names(Role)}")
            role = Role(role_name)
            if not isinstance(changes, Mapping):
                raise ConfigError(f"weights of {role_name!r} must map parts to numbers, got {changes!r}")
            for part, weight in changes.items():
                _check_weight(role, part, weight)
            weights[role] = {
                **weights[role],
                **{Part(part): float(weight) for part, weight in changes.items()},
            }
        return cls(weights=weights)

    def weighted(self, role: Role, parts: Iterable[RewardPart]) -> tuple[RewardPart, ...]:
        """The parts that the role has and that weigh something, with their weights.

        Raises:
            ConfigError: a value is not in [0, 1], as NaN never is; the message names the part.
        """
        own = self.weights.get(role, {})
        found = []
        for part in parts:
            weight = own.get(Part(part.name), 0.0)
            if weight == 0:
                continue
            if part.value is not None and not 0 <= part.value <= 1:
                raise ConfigError(
                    f"reward part {str(part.name)!r} of the {role} is {part.value!r}: expected a number in [0, 1],"
                    " or None where it cannot be judged"
                )
            found.append(replace(part, weight=weight))
        return tuple(found)


def total(parts: Iterable[RewardPart]) -> float | None:
    """The weighted mean of the values that are there; None of none."""
    judged = [(part.weight, part.value) for part in parts if part.value is not None and part.weight > 0]
    if not judged:
        return None
    weight = math.fsum(weight for weight, _ in judged)
    # A weighted mean may miss its bounds by a rounding.
    return min(1.0, max(0.0, math.fsum(w * value for w, value in judged) / weight))


def _check_weight(role: Role, part: str, weight: object) -> None:
    own = DEFAULT_WEIGHTS[role]
    if part not in own:
        raise ConfigError(f"no reward part {str(part)!r} for the {role}: it has {_names(own)}")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_WEIGHT:
        raise ConfigError(f"weight {role}.{part} is {weight!r}: expected a number from 0 to {MAX_WEIGHT:g}")


def _names(choices: Iterable[str]) -> str:
    return ", ".join(repr(str(choice)) for choice in choices)


DEFAULT_MIX = RewardMix()
