"""What each fact of an episode did to the long-term memory, read off its receipts.

The memory is replayed from the receipts alone. A fact is *redundant* when its operations left the memory saying
what it said before: a NOOP, but also an ADD of words that already stand there or an UPDATE to the same words. So
what a fact was worth does not depend on the name that the manager gave its decision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memquartet.core.memory import EntryId, MemoryEntry, Noop
from memquartet.core.trajectory import Decision, Episode, FactOutcome
from memquartet.rewards.wording import wording


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
        replay = _Replay(_contents_before(episode, entries))
        for step_number, step in enumerate(episode.steps):
            replay.fresh.clear()
            for number, outcome in enumerate(step.outcomes):
                replay.carry_out(outcome, Place(step_number, number))
        return cls(
            contents=replay.contents,
            writers=replay.writers,
            redundant=replay.redundant,
            doubled=frozenset(replay.doubled),
        )


class _Replay:
    """A memory of texts, indexed by their wording, that takes one fact's operations after another."""

    def __init__(self, contents: Mapping[EntryId, str]) -> None:
        self.contents = dict(contents)
        self.writers: dict[EntryId, list[Place]] = {}
        self.redundant: dict[Place, frozenset[EntryId]] = {}
        self.doubled: set[Place] = set()
        self.fresh: set[EntryId] = set()
        """Entries whose words are of the present step."""
        self._saying: defaultdict[str, set[EntryId]] = defaultdict(set)
        for entry_id, content in contents.items():
            self._saying[wording(content)].add(entry_id)

    def carry_out(self, outcome: FactOutcome, place: Place) -> None:
        """Do a fact's operations and note what they came to."""
        changes = [(r.before, r.after) for r in outcome.receipts if r.applied and (r.before or r.after)]
        touched = {wording(entry.content) for change in changes for entry in change if entry}
        before = {words: len(self._saying[words]) for words in touched}
        for old, new in changes:
            self._put(old, new)
        after = {words: len(self._saying[words]) for words in touched}
        if sum(max(0, n - 1) for n in after.values()) > sum(max(0, n - 1) for n in before.values()):
            self.doubled.add(place)
        written = {new.entry_id for _, new in changes if new and new.entry_id in self.contents}
        self.fresh |= {new.entry_id for old, new in changes if new and not old}
        if all(bool(before[words]) == bool(after[words]) for words in touched):
            self.redundant[place] = frozenset(self._repeated(outcome, written) - self.fresh)
            return
        self.fresh |= written
        for entry_id in written:
            self.writers.setdefault(entry_id, []).append(place)

    def _put(self, old: MemoryEntry | None, new: MemoryEntry | None) -> None:
        for entry in filter(None, (old, new)):
            if (content := self.contents.pop(entry.entry_id, None)) is not None:
                self._saying[wording(content)].discard(entry.entry_id)
        if new is not None:
            self.contents[new.entry_id] = new.content
            self._saying[wording(new.content)].add(new.entry_id)

    def _repeated(self, outcome: FactOutcome, written: Iterable[EntryId]) -> set[EntryId]:
        """The entries that say what a redundant fact says. A NOOP that names none means the first candidate."""
        named = {r.op.entry_id for r in outcome.receipts if isinstance(r.op, Noop) and r.op.entry_id}
        if outcome.decision is Decision.NOOP and not named:
            named = set(outcome.candidates[:1])
        texts = [outcome.fact.text, *(self.contents[entry_id] for entry_id in written)]
        return named.union(*(self._saying.get(wording(text), ()) for text in texts))


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
