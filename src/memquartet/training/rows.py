"""From an episode to training rows: one row for each call of a trained model.

A row without a usable reward is masked: it keeps its place but neither the loss nor its group sees it. That is
the fate of what the world's failures leave behind; a model's failure is rewarded like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from memquartet.core.trajectory import Episode, Role, Turn
from memquartet.rewards.credit import EpisodeReward, TurnReward
from memquartet.rewards.turns import PlacedTurn, placed_turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model call as a trainer sees it.

    `logprobs` has one value (nats) for each response token; `left_out` counts memories that the prompt had no room
    for. `unit` is what the call was about, "chunk 3" or "question q1".
    """

    role: Role
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    reward: float
    group: str
    masked: bool = False
    parts: Mapping[str, float | None] = field(default_factory=dict)
    status: str = ""
    unit: str = ""
    seconds: float = 0.0
    left_out: int = 0

    @property
    def mask(self) -> list[int]:
        """1 for each response token that is trained on."""
        return [int(not self.masked)] * len(self.response_ids)


def episode_rows(
    episode: Episode, reward: EpisodeReward, *, trainable: frozenset[Role], filler: int
) -> list[Row]:
    """The rows of an episode, in the order of `Episode.turns`; at least one.

    An episode that left no trained turn (its server was dead from the start) gives one masked row, because
    verl counts on every session to hand in something.

    Args:
        episode: what happened.
        reward: of this episode.
        trainable: turns of other roles make no rows.
        filler: a token id for that masked row.
    """
    rows = [
        _row(placed.turn, paid, _unit(episode, placed))
        for placed, paid in zip(placed_turns(episode), reward.turns, strict=True)
        if placed.turn.role in trainable and placed.turn.prompt_ids and placed.turn.output_ids
    ]
    return rows or [
        Row(
            role=min(trainable),
            prompt_ids=(filler,),
            response_ids=(filler,),
            logprobs=(0.0,),
            reward=0.0,
            group="",
            masked=True,
        )
    ]


def _unit(episode: Episode, placed: PlacedTurn) -> str:
    if placed.answer is not None:
        return f"question {episode.answers[placed.answer].question_id}"
    return "" if placed.step is None else f"chunk {episode.steps[placed.step].index}"


def _row(turn: Turn, paid: TurnReward, unit: str) -> Row:
    output = turn.output_ids or ()
    return Row(
        role=turn.role,
        prompt_ids=turn.prompt_ids or (),
        response_ids=output,
        logprobs=turn.logprobs or (0.0,) * len(output),
        reward=paid.total or 0.0,
        group=paid.group,
        masked=paid.masked,
        parts={part.name: part.value for part in paid.parts},
        status=turn.status.value,
        unit=unit,
        seconds=turn.seconds,
        left_out=turn.left_out,
    )
