"""What each fact of an episode did to the long-term memory, read off its receipts.

The memory is replayed from the receipts alone. A fact is *redundant* when its operations left the memory saying
what it said before: a NOOP, but also an ADD of words that already stand there or an UPDATE to the same words. So
what a fact was worth does not depend on the name that the manager gave its decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memquartet.core.memory import EntryId, MemoryEntry, Noop
from memquartet.core.trajectory import Decision, Episode, FactOutcome
from memquartet.rewards.wording import Wording, wording


class Place(NamedTuple):
    """Where a fact's outcome stands: its step in the episode and its number in the step, both from 0."""

    step: int
    fact: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The episode's facts and the entries they wrote.

    `contents` is the long-term memory after the last step. `writers` are the facts that gave an entry its
    content, the first writer first; redundant ones are not among them. `redundant` maps a fact that told
    nothing to the entries that already said it, before the step; empty when it repeats its own step.
    `doubled` are the facts that left the same words twice.
    """

    contents: Mapping[EntryId, str]
    writers: Mapping[EntryId, Sequence[Place]]
    redundant: Mapping[Place, frozenset[EntryId]]
    doubled: frozenset[Place]

    @classmethod
    def of(cls, episode: Episode, entries: Iterable[MemoryEntry] = ()) -> Ledger:
        """Replay an episode.

        Args:
            episode: the episode.
            entries: the memory after it. Needed only for entries that were there before the episode and that it
                did not touch; receipts tell the rest.
        """
        contents = _contents_before(episode, entries)
        writers: dict[EntryId, list[Place]] = {}
        redundant: dict[Place, frozenset[EntryId]] = {}
        doubled: set[Place] = set()
        for step_number, step in enumerate(episode.steps):
            known = dict(contents)
            for number, outcome in enumerate(step.outcomes):
                place = Place(step_number, number)
                said, twice = _said(contents)
                written = _carry_out(outcome, contents)
                said_now, twice_now = _said(contents)
                if twice_now > twice:
                    doubled.add(place)
                if said_now == said:
                    redundant[place] = _already_saying(outcome, written, contents, known)
                    continue
                for entry_id in written:
                    writers.setdefault(entry_id, []).append(place)
        return cls(contents=contents, writers=writers, redundant=redundant, doubled=frozenset(doubled))


def _contents_before(episode: Episode, entries: Iterable[MemoryEntry]) -> dict[EntryId, str]:
    """What the memory held before the first step: the untouched entries, and the first `before` of the others."""
    first: dict[EntryId, str | None] = {}
    for step in episode.steps:
        for outcome in step.outcomes:
            for receipt in outcome.receipts:
                entry = receipt.before or receipt.after
                if receipt.applied and entry is not None:
                    first.setdefault(entry.entry_id, receipt.before.content if receipt.before else None)
    for entry in entries:
        first.setdefault(entry.entry_id, entry.content)
    return {entry_id: content for entry_id, content in first.items() if content is not None}


def _said(contents: Mapping[EntryId, str]) -> tuple[frozenset[Wording], int]:
    """What the memory says, and how many of its entries say it once more."""
    counts = Counter(map(wording, contents.values()))
    return frozenset(counts), counts.total() - len(counts)


def _carry_out(outcome: FactOutcome, contents: dict[EntryId, str]) -> list[EntryId]:
    """Do a fact's operations; the entries that hold its content afterwards."""
    written: list[EntryId] = []
    for receipt in outcome.receipts:
        if not receipt.applied:
            continue
        if receipt.after is not None:
            contents[receipt.after.entry_id] = receipt.after.content
            written.append(receipt.after.entry_id)
        elif receipt.before is not None:
            contents.pop(receipt.before.entry_id, None)
    return [entry_id for entry_id in dict.fromkeys(written) if entry_id in contents]


def _already_saying(
    outcome: FactOutcome,
    written: Sequence[EntryId],
    contents: Mapping[EntryId, str],
    known: Mapping[EntryId, str],
) -> frozenset[EntryId]:
    """The entries from before the step that a redundant fact repeats.

    A NOOP that names no entry means the one that resembles the fact most.
    """
    named = {r.op.entry_id for r in outcome.receipts if isinstance(r.op, Noop) and r.op.entry_id is not None}
    if outcome.decision is Decision.NOOP and not named:
        named = set(outcome.candidates[:1])
    wordings = {wording(contents[entry_id]) for entry_id in written} | {wording(outcome.fact.text)}
    same = {entry_id for entry_id, content in known.items() if wording(content) in wordings}
    return frozenset((named & (known.keys() | set(outcome.candidates))) | same)
