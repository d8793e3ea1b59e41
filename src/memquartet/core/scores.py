"""Scores and reward parts. A missing score is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPart:
    """One named piece of a reward: `value` in [0, 1], higher is better; None when it cannot be judged."""

    name: str
    value: float | None
    weight: float = 1.0
    reason: str = ""
