"""What a step is logged with: everything by role, nothing of nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from memquartet.training.episodes import Lived
from memquartet.training.policy import PolicyUse

CALLS = "calls"
"""The name under which a validation episode carries `told_calls` to the trainer."""


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
        "environment_seconds": lived.environment,
        "unrewarded": float(bool(lived.error)),
        "prompts_cut": float(use.prompts_cut),
        "tokens_cut": float(use.tokens_cut),
    }


def told_calls(lived: Lived) -> str:
    """Who made each call of an episode, about what, and how it went: a JSON list in the order of its rows."""
    return json.dumps(
        [
            {
                "role": row.role,
                "sample_id": lived.episode.sample_id,
                "unit": row.unit,
                "status": row.status,
                "own_reward": None if row.masked else row.reward,
            }
            for row in lived.rows
        ]
    )


def call_columns(keys: Sequence[str], told: Sequence[str | None]) -> dict[str, list[object]]:
    """Columns for verl's dump of validation calls.

    Args:
        keys: verl's, PROMPT_SESSION_NUMBER, one for each call.
        told: `told_calls` of the call's episode, None where it left none.
    """
    found = [
        {} if calls is None else json.loads(calls)[int(key.rpartition("_")[2])]
        for key, calls in zip(keys, told, strict=True)
    ]
    names = dict.fromkeys(name for call in found for name in call)
    return {name: [call.get(name) for call in found] for name in names}


def episode_metrics(episodes: Sequence[Mapping[str, float | str]]) -> dict[str, float]:
    """Means over a batch's episodes of what `episode_measures` gave; what a role measures is left to its rows."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for measures in episodes:
        for name, value in measures.items():
            if "/" not in name and isinstance(value, float):
                values[name].append(value)
    return {f"episode/{name}_mean": fmean(found) for name, found in sorted(values.items())}
