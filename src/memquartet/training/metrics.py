"""What a step is logged with: everything by role, nothing of nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from memquartet.training.episodes import Lived
from memquartet.training.policy import PolicyUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One row after its advantage is known. `tokens` are those the loss sees: 0 for a masked row."""

    role: str
    reward: float
    advantage: float
    tokens: int
    status: str
    left_out: int = 0
    parts: Mapping[str, float | None] = field(default_factory=dict)


def role_metrics(rows: Sequence[Trained]) -> dict[str, float]:
    """Rewards, advantages, reward parts and output states of each role; masked rows are only counted."""
    by_role: defaultdict[str, list[Trained]] = defaultdict(list)
    for row in rows:
        by_role[row.role].append(row)
    metrics: dict[str, float] = {}
    for role, own in sorted(by_role.items()):
        live = [row for row in own if row.tokens]
        metrics[f"role/{role}/rows"] = len(live)
        metrics[f"role/{role}/masked_rows"] = len(own) - len(live)
        metrics[f"role/{role}/tokens"] = sum(row.tokens for row in live)
        if live:
            metrics |= {f"role/{role}/{name}": value for name, value in _measures(live).items()}
    return metrics


def _measures(rows: Sequence[Trained]) -> dict[str, float]:
    advantages = [row.advantage for row in rows]
    measures = {
        "reward_mean": fmean(row.reward for row in rows),
        "adv_mean": fmean(advantages),
        "adv_std": stdev(advantages) if len(rows) > 1 else 0.0,
        "left_out": fmean(row.left_out for row in rows),
        "invalid": fmean(row.status == "invalid" for row in rows),
    }
    values: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.parts.items():
            if value is not None:
                values[name].append(value)
    return measures | {f"part/{name}": fmean(found) for name, found in sorted(values.items())}


def episode_measures(lived: Lived, use: PolicyUse) -> dict[str, float]:
    """What verl logs of a validation episode: its outcome, each role's mean parts, and how prompts were cut."""
    outcome = lived.reward.outcome
    return {
        **({} if outcome is None else {"outcome": outcome}),
        **lived.reward.by_role(),
        "turns": float(len(lived.rows)),
        "seconds": lived.seconds,
        "prompts_cut": float(use.prompts_cut),
        "tokens_cut": float(use.tokens_cut),
    }


def episode_metrics(episodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over a batch's episodes of what `episode_measures` gave; what a role measures is left to its rows."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for measures in episodes:
        for name, value in measures.items():
            if "/" not in name:
                values[name].append(value)
    return {f"episode/{name}_mean": fmean(found) for name, found in sorted(values.items())}
