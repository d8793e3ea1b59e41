"""What the memory's fate tells about the facts of a step: NOOP feedback and provenance credit."""

from __future__ import annotations

from collections.abc import Mapping, Set

from memquartet.core.memory import EntryId
from memquartet.core.scores import RewardPart
from memquartet.rewards.ledger import Ledger, Place
from memquartet.rewards.outcome import Need
from memquartet.rewards.parts import Part

EARLIER_WRITER = 0.5
"""What an earlier writer of an entry earns, for each rewriting since, of what the last one earns."""


def noop_part(step: int, facts: int, ledger: Ledger, need: Need, used: Set[EntryId]) -> RewardPart:
    """The extractor's share of facts that told the memory something, times the recall guard.

    With n important facts, of which some are redundant (see `Ledger`) and u of these repeat what a right answer
    retrieved: value = guard · (1 - (redundant - u) / (n - u)). A step of no important facts gets 0, or, when no
    question needs its chunk, the guard. Why this cannot be gamed:

    - *Extract nothing*: 0 is the least there is, so silence never beats any other output; and where its chunk
      is needed, the guard falls with the answers. The same holds for calling every fact unimportant.
    - *ADD everything* (the manager's share of a conspiracy): facts are judged by what they changed, so an ADD or
      an UPDATE that repeats an entry counts as the NOOP it stands for.
    - *Repeat facts*: a repetition within the step is redundant and never neutral, so it lowers the share. A
      re-mention of a used memory leaves the count and changes nothing. New but worthless facts do raise the
      share, up to the guard; provenance credit and the manager's parts are there to price them.

    Args:
        step: the step's number in the episode, from 0.
        facts: how many important facts it had.
        ledger: what they did.
        need: how much the answers needed the step's chunk.
        used: entries retrieved for right answers.
    """
    places = [Place(step, number) for number in range(facts)]
    redundant = [ledger.redundant[place] for place in places if place in ledger.redundant]
    neutral = sum(not entries.isdisjoint(used) for entries in redundant)
    bad, counted = len(redundant) - neutral, facts - neutral
    if need.guard is None:
        value = None
    elif not facts:
        value = need.guard if need.needless else 0.0
    else:
        value = need.guard * (1 - bad / counted if counted else 1.0)
    guard = "unknown" if need.guard is None else f"{need.guard:.2f}"
    return RewardPart(
        name=Part.NOOP,
        value=value,
        reason=f"{bad} of {counted} facts told nothing new, {neutral} repeated a used memory; recall guard {guard}",
    )


def fact_credit(ledger: Ledger, credit: Mapping[EntryId, float]) -> Mapping[Place, float]:
    """What each fact earns for the entries it wrote, in [0, 1]: the most that one of its entries gives.

    The last writer of an entry chose the words that were retrieved and earns all of its credit. An update is to
    keep what still holds of the old text, so each earlier writer earns `EARLIER_WRITER` times what the next one
    does: less than for a fact that stood on its own, more than nothing.
    """
    earned: dict[Place, float] = {}
    for entry_id, writers in ledger.writers.items():
        for age, place in enumerate(reversed(writers)):
            value = credit.get(entry_id, 0.0) * EARLIER_WRITER**age
            earned[place] = max(earned.get(place, 0.0), value)
    return earned


def provenance_part(
    step: int,
    facts: int,
    ledger: Ledger,
    need: Need,
    used: Set[EntryId],
    earned: Mapping[Place, float],
) -> RewardPart:
    """The mean of what the step's facts earned; paid to its extractor and its manager alike.

    Redundant facts and pure removals wrote nothing and are left out. Where nothing is left, the value is None if
    there was nothing to earn (no question needs the chunk, or a right answer used what the step repeated), else 0:
    whoever wrote nothing earned nothing. A step that no question needs and that earned nothing has None, too, and
    so has every step of an episode without scores.
    """
    places = [Place(step, number) for number in range(facts)]
    values = [earned[place] for place in places if place in earned]
    repeated = any(not ledger.redundant.get(place, frozenset()).isdisjoint(used) for place in places)
    value: float | None = sum(values) / len(values) if values else 0.0
    if need.guard is None or (not value and (need.needless or (repeated and not values))):
        value = None
    return RewardPart(
        name=Part.PROVENANCE,
        value=value,
        reason=f"{sum(v > 0 for v in values)} of {len(values)} written facts served right answers",
    )
