"""The turns of an episode with their places: which step or answer each belongs to, and which ones counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memquartet.core.trajectory import Episode, Role, Trajectory, Turn, TurnStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTurn:
    """A turn at `index` of `Episode.turns`; `step` or `answer` is its number among the episode's.

    `counted` tells whether anything came of its output: it is the last try of its task and was usable. The manager's
    last try always counts, because the decisions that could be read were carried out. `searches` is how many of the
    answerer's own searches came before it; the output of a counted turn is another one where there is one more in
    `Answer.searches`.
    """

    index: int
    turn: Turn
    step: int | None = None
    answer: int | None = None
    counted: bool
    searches: int = 0


def placed_turns(episode: Episode) -> Sequence[PlacedTurn]:
    """The turns in the order of `Episode.turns`."""
    placed: list[PlacedTurn] = []
    for number, step in enumerate(episode.steps):
        for turn, counted in _turns(step.trajectory):
            placed.append(PlacedTurn(index=len(placed), turn=turn, step=number, counted=counted))
    for number, answer in enumerate(episode.answers):
        searches = 0
        for turn, counted in _turns(answer.trajectory):
            placed.append(
                PlacedTurn(index=len(placed), turn=turn, answer=number, counted=counted, searches=searches)
            )
            searches += counted
    return placed


def _turns(trajectory: Trajectory) -> Iterator[tuple[Turn, bool]]:
    for number, turn in enumerate(trajectory.turns):
        usable = turn.role is Role.MANAGER or turn.status is not TurnStatus.INVALID
        # A role's task ends where its next turn, if it has one, is a first try.
        then = next((later for later in trajectory.turns[number + 1 :] if later.role is turn.role), None)
        yield turn, usable and (then is None or then.attempt == 0)
