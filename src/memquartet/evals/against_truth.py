"""A team's work beside what is true in a generated world: facts, decisions and entries.

A text *means* a true fact when it has its words, or when it names its subject and its value and shares most of its
words with it; case, punctuation and order do not count. A text that means no true fact, or only small talk, is junk.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memquartet.benchmarks.worlds.script import right_decision
from memquartet.benchmarks.worlds.truth import Asked, FactKind, Key, TrueFact, truth_of
from memquartet.core.memory import EntryId
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision, Episode, FactOutcome, MemoryStep
from memquartet.rewards.wording import says, wording
from memquartet.scoring.answers import token_f1

SAME_MEANING = 0.6
"""Token F1 with the true fact's words from which a text that names subject and value means it."""
NOTHING_TRUE = "none"
"""In place of a right decision: the fact is none, so no decision about it is right."""
UNUSABLE = "unusable"
"""In place of a decision: the manager's output could not be used, and the program stored the fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What should have become of a fact, and what became of it.

    `right` is a `Decision` or `NOTHING_TRUE`; `made` is a `Decision` or `UNUSABLE`. A DELETE whose fact took the
    entry's place counts as the UPDATE that it is. `aimed` says whether the entry that was changed is about the same
    thing; None where none was, or none should have been.
    """

    right: str
    made: str
    aimed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthReport:
    """One episode beside the truth, one value for each thing judged.

    `precise`: each important fact that was extracted, whether its chunk says it. `recalled`: each important fact of a
    chunk, whether it was extracted. `junk` and `stale`: each entry at the end, whether it means nothing true, and
    whether it says what is not true any more. `missing`: each true fact at the end, whether no entry says it.
    """

    precise: tuple[bool, ...] = ()
    recalled: tuple[bool, ...] = ()
    decided: tuple[Decided, ...] = ()
    junk: tuple[bool, ...] = ()
    stale: tuple[bool, ...] = ()
    missing: tuple[bool, ...] = ()

    @classmethod
    def of(cls, sample: Sample, episode: Episode) -> TruthReport:
        """Judge an episode of a system that extracts and decides; empty for one that does neither.

        Raises:
            InputError: the sample carries no truth.
        """
        steps = [step for step in episode.steps if not step.trajectory.failure]
        if not any(step.facts or step.outcomes for step in steps):
            return cls()
        truth = Meanings(truth_of(sample))
        precise, recalled = _extraction(steps, truth)
        decided, contents = _decisions(steps, truth)
        last = max(step.index for step in steps)
        meant = [truth.of_text(text, upto=last) for text in contents.values()]
        current = truth.current(upto=last)
        known = [fact for fact in meant if fact is not None]
        return cls(
            precise=precise,
            recalled=recalled,
            decided=decided,
            junk=tuple(fact is None for fact in meant),
            stale=tuple(fact is not None and fact.value != current.get(fact.key, "") for fact in meant),
            missing=tuple(
                not any(fact.key == key and fact.value == value for fact in known)
                for key, value in current.items()
                if value
            ),
        )


class Meanings:
    """True facts, to look up by what a text means."""

    def __init__(self, facts: Iterable[TrueFact]) -> None:
        self.facts = [fact for fact in facts if fact.kind is not FactKind.UNIMPORTANT]
        self.order = {fact.fact_id: number for number, fact in enumerate(self.facts)}
        self.by_chunk: defaultdict[int, list[TrueFact]] = defaultdict(list)
        for fact in self.facts:
            self.by_chunk[fact.chunk].append(fact)
        self._known: dict[tuple[str, int | None], TrueFact | None] = {}

    def of_text(self, text: str, *, upto: int | None = None) -> TrueFact | None:
        """The true fact that a text means, of the chunks up to `upto` (None: all); of several the latest."""
        asked = wording(text), upto
        if asked not in self._known:
            read = self.facts if upto is None else [fact for fact in self.facts if fact.chunk <= upto]
            self._known[asked] = meant_by(text, read)
        return self._known[asked]

    def current(self, *, upto: int | None = None) -> dict[Key, str]:
        """Each key's value after the chunk numbered `upto` (None: the last); empty for what was withdrawn."""
        return {fact.key: fact.value for fact in self.facts if upto is None or fact.chunk <= upto}

    def asked_for(self, asked: Asked) -> Key:
        """What a question is about in the end, with everything known: the last relation on its path."""
        current, subject = self.current(), asked.subject
        for relation in asked.relations[:-1]:
            subject = current.get((subject, relation), "")
        return subject, asked.relations[-1] if asked.relations else ""


def meant_by(text: str, facts: Sequence[TrueFact]) -> TrueFact | None:
    """The fact that a text means, None of none; of equally good ones the last."""
    best, close = None, 0.0
    for fact in facts:
        if wording(fact.text) == wording(text):
            alike = 2.0
        elif says(text, fact.subject) and (not fact.value or says(text, fact.value)):
            alike = token_f1(text, fact.text)
        else:
            continue
        if alike >= max(close, SAME_MEANING):
            best, close = fact, alike
    return best


def _extraction(steps: Sequence[MemoryStep], truth: Meanings) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Precision and recall, one value a fact; a chunk that was read in several windows counts as one."""
    extracted: defaultdict[int, list[str]] = defaultdict(list)
    for step in steps:
        extracted[step.index] += [fact.text for fact in step.facts if fact.important]
    precise: list[bool] = []
    recalled: list[bool] = []
    for chunk, texts in extracted.items():
        true = truth.by_chunk[chunk]
        found = [meant_by(text, true) for text in texts]
        precise += [fact is not None for fact in found]
        recalled += [any(fact is one for one in found) for fact in true]
    return tuple(precise), tuple(recalled)


def _decisions(
    steps: Sequence[MemoryStep], truth: Meanings
) -> tuple[tuple[Decided, ...], Mapping[EntryId, str]]:
    """Every decision judged by the memories that were shown with it, and the memory after the last step."""
    contents: dict[EntryId, str] = {}
    written: dict[EntryId, int] = {}
    decided: list[Decided] = []
    for step in steps:
        shown = {entry for outcome in step.outcomes for entry in outcome.candidates}
        # What was written before this chunk cannot mean what it says; an earlier window of it can.
        meant = {
            entry: truth.of_text(contents[entry], upto=max(step.index - 1, written[entry]))
            for entry in shown
            if entry in contents
        }
        for outcome in step.outcomes:
            new = truth.of_text(outcome.fact.text, upto=step.index)
            decided.append(_judged(outcome, new, meant, truth))
        for outcome in step.outcomes:
            written |= dict.fromkeys(_apply(outcome, contents), step.index)
    return tuple(decided), contents


def _judged(
    outcome: FactOutcome, new: TrueFact | None, shown: Mapping[EntryId, TrueFact | None], truth: Meanings
) -> Decided:
    made = UNUSABLE if outcome.defaulted else _made(outcome)
    if new is None:
        return Decided(right=NOTHING_TRUE, made=made)
    same = [fact for fact in shown.values() if fact is not None and fact.key == new.key]
    old = max(same, key=lambda fact: truth.order[fact.fact_id], default=None)
    right = right_decision(old.value if old else "", new.value)
    touched = [receipt.before.entry_id for receipt in outcome.receipts if receipt.applied and receipt.before]
    about = [shown.get(entry) for entry in touched]
    aimed = all(fact is not None and fact.key == new.key for fact in about) if about and old else None
    return Decided(right=right, made=made, aimed=aimed)


def _made(outcome: FactOutcome) -> Decision:
    replaced = any(receipt.applied and receipt.after and not receipt.before for receipt in outcome.receipts)
    return Decision.UPDATE if outcome.decision is Decision.DELETE and replaced else outcome.decision


def _apply(outcome: FactOutcome, contents: dict[EntryId, str]) -> list[EntryId]:
    """Carry out what was done, and name the entries that it wrote."""
    wrote = []
    for receipt in outcome.receipts:
        if receipt.applied and receipt.before:
            contents.pop(receipt.before.entry_id, None)
        if receipt.applied and receipt.after:
            contents[receipt.after.entry_id] = receipt.after.content
            wrote.append(receipt.after.entry_id)
    return wrote


def confusion(decided: Iterable[Decided]) -> dict[str, dict[str, int]]:
    """How often what should have been (rows) was what (columns); rows and columns of nothing are there too."""
    rows = [*Decision, NOTHING_TRUE]
    columns = [*Decision, UNUSABLE]
    counts = Counter((one.right, one.made) for one in decided)
    return {str(row): {str(column): counts[row, column] for column in columns} for row in rows}
