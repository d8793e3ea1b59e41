"""The turns of an episode with their places: which step or answer each belongs to, and which ones counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memquartet.core.trajectory import Episode, Role, Trajectory, Turn, TurnStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTurn:
    """A turn at `index` of `Episode.turns`; `step` or `answer` is its number among the episode's.

    `counted` tells whether anything came of its output: it is its role's last try in this unit of work and was
    usable. The manager's last try always counts, because the decisions that could be read were carried out.
    """

    index: int
    turn: Turn
    step: int | None = None
    answer: int | None = None
    counted: bool


def placed_turns(episode: Episode) -> Sequence[PlacedTurn]:
    """The turns in the order of `Episode.turns`."""
    placed: list[PlacedTurn] = []
    for number, step in enumerate(episode.steps):
        for turn, counted in _turns(step.trajectory):
            placed.append(PlacedTurn(index=len(placed), turn=turn, step=number, counted=counted))
    for number, answer in enumerate(episode.answers):
        for turn, counted in _turns(answer.trajectory):
            placed.append(PlacedTurn(index=len(placed), turn=turn, answer=number, counted=counted))
    return placed


def _turns(trajectory: Trajectory) -> Iterator[tuple[Turn, bool]]:
    last = {turn.role: number for number, turn in enumerate(trajectory.turns)}
    for number, turn in enumerate(trajectory.turns):
        usable = turn.role is Role.MANAGER or turn.status is not TurnStatus.INVALID
        yield turn, usable and last[turn.role] == number
