"""The memory manager: important facts with their retrieved memories in, one decision a fact out.

The manager names memories by short ids ("0", "1", …) and can reach no others. Whatever it writes, every fact
ends in a decision: one that is missing, twice there or impossible is reported on the turn, and the fact is
stored as new unless a shown memory already says the same words. A memory that two facts update takes the first; the
second is added.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from memquartet.agents.base import AgentSettings, Reading, Reply, Task, ask, render_prompt, shipped_prompt
from memquartet.agents.decisions import Choice, read_choices
from memquartet.agents.rendering import ShortIds, memory_line, within_window
from memquartet.core.memory import (
    Delete,
    EntryId,
    Fact,
    Hit,
    Insert,
    MemoryEntry,
    MemoryOp,
    Meta,
    Noop,
    Update,
)
from memquartet.core.messages import Message
from memquartet.core.trajectory import Decision, Role, TurnStatus
from memquartet.llm.protocols import ChatModel, Completion, JsonSchema, Sampling

MAX_CONTENT_CHARACTERS = 1_000
"""Content longer than this in one decision is refused; the fact itself is stored in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactDecision:
    """What to do about one fact. `ops` are applied in order; a DELETE may be followed by an insert."""

    fact: Fact
    candidates: tuple[EntryId, ...]
    decision: Decision
    ops: tuple[MemoryOp, ...]
    defaulted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryManager:
    """Asks a model what to do about new facts."""

    model: ChatModel
    settings: AgentSettings = field(default_factory=lambda: AgentSettings(sampling=Sampling(max_tokens=2048)))

    async def decide(
        self, facts: Sequence[Fact], hits: Sequence[Sequence[Hit]], *, meta: Meta, task: Task
    ) -> Reply[tuple[FactDecision, ...]]:
        """One decision for each fact, in their order; the value is never None.

        Args:
            facts: the important facts of a chunk, at least one.
            hits: for each fact the memories that resemble it, best first.
            meta: what is stored with new and changed entries (time, place in the source).
            task: seed and turn sink.
        """
        text = self.settings.prompt or shipped_prompt("manager")

        def prompt(shown: Sequence[Sequence[Hit]]) -> tuple[ManagerView, tuple[Message, ...]]:
            view = ManagerView.of(facts, shown, meta)
            return view, render_prompt(text, {"facts": view.text})

        (view, messages), left_out = within_window(hits, prompt, lambda made: self.model.fits(made[1]))
        return await ask(
            self.model,
            Role.MANAGER,
            messages,
            view.read,
            task=task,
            settings=self.settings.within(64 + 80 * len(facts)),
            schema=decision_schema(len(facts), view.ids.shown),
            left_out=left_out,
        )

    async def review(self, entries: Sequence[MemoryEntry], *, task: Task) -> Reply[tuple[MemoryOp, ...]]:
        """Operations that merge and remove redundant entries of a group of similar ones ("rethink").

        Only UPDATE and DELETE of shown entries are taken, one for an entry, and never a DELETE of all of them.
        """
        ids = ShortIds()
        lines = "\n".join(f"[{ids.of(entry.entry_id)}] {memory_line(entry)}" for entry in entries)
        messages = render_prompt(shipped_prompt("rethink"), {"memories": lines})
        return await ask(
            self.model,
            Role.MANAGER,
            messages,
            lambda completion: _read_review(completion, ids),
            task=task,
            settings=self.settings.within(64 + 80 * len(entries)),
            schema=decision_schema(None, ids.shown),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerView:
    """The facts as one manager call shows them: the prompt text, the short ids, and the reader for the reply."""

    facts: tuple[Fact, ...]
    hits: tuple[tuple[Hit, ...], ...]
    meta: Meta
    ids: ShortIds
    text: str

    @classmethod
    def of(cls, facts: Sequence[Fact], hits: Sequence[Sequence[Hit]], meta: Meta) -> ManagerView:
        """Number the facts and the memories; a memory that resembles two facts keeps one id."""
        ids = ShortIds()
        blocks = []
        for number, (fact, found) in enumerate(zip(facts, hits, strict=True)):
            lines = [f"[{ids.of(hit.entry.entry_id)}] {memory_line(hit.entry)}" for hit in found]
            blocks.append(
                "\n".join([f"Fact {number}: {fact.text}", *(lines or ["(nothing similar stored)"])])
            )
        return cls(
            facts=tuple(facts),
            hits=tuple(tuple(found) for found in hits),
            meta=meta,
            ids=ids,
            text="\n\n".join(blocks),
        )

    def read(self, completion: Completion) -> Reading[tuple[FactDecision, ...]]:
        """Decisions for all facts; INVALID when one of them had to be made up."""
        shown = [[self.ids.of(hit.entry.entry_id) for hit in found] for found in self.hits]
        outcome = read_choices(completion.text, completion.tool_calls, [f.text for f in self.facts], shown)
        errors = list(outcome.errors)
        choices = list(outcome.by_fact)
        if completion.finish_reason == "length":
            _drop_cut_text(choices, errors)
        changed: dict[EntryId, Choice] = {}
        decisions = tuple(
            self._decision(number, choice, changed, errors) for number, choice in enumerate(choices)
        )
        status = TurnStatus.REPAIRED if errors else TurnStatus.OK
        if any(decision.defaulted for decision in decisions):
            status = TurnStatus.INVALID
        return Reading(
            value=decisions,
            status=status,
            parsed=[d.decision.value for d in decisions],
            errors=tuple(errors),
        )

    def _decision(
        self, number: int, choice: Choice | None, changed: dict[EntryId, Choice], errors: list[str]
    ) -> FactDecision:
        """The checked decision about one fact; `changed` collects what earlier facts did to which entry."""
        fact, found = self.facts[number], self.hits[number]
        candidates = tuple(hit.entry.entry_id for hit in found)
        target = self._entry(choice)
        if choice is not None and target is not None and _is_taken(choice, changed.get(target.entry_id)):
            errors.append(
                f"fact {number}: memory {choice.short} was updated by an earlier decision; added instead"
            )
            choice, target = replace(choice, decision=Decision.ADD, short=None), None
        problem = self._problem(number, choice, target, changed)
        if choice is None or problem:
            errors.append(problem)
            return self._default(fact, found, candidates)
        if choice.decision in (Decision.UPDATE, Decision.DELETE) and target is not None:
            changed[target.entry_id] = choice
        return FactDecision(
            fact=fact,
            candidates=candidates,
            decision=choice.decision,
            ops=_operations(choice, fact, target, self.meta),
        )

    def _entry(self, choice: Choice | None) -> MemoryEntry | None:
        entry_id = self.ids.resolve(choice.short) if choice is not None and choice.short is not None else None
        return next((h.entry for found in self.hits for h in found if h.entry.entry_id == entry_id), None)

    def _problem(
        self,
        number: int,
        choice: Choice | None,
        target: MemoryEntry | None,
        changed: Mapping[EntryId, Choice],
    ) -> str:
        """Why a choice cannot be carried out; empty when it can."""
        if choice is None:
            return f"fact {number} has no decision"
        changes = choice.decision in (Decision.UPDATE, Decision.DELETE)
        # A NOOP may name nothing, but not a memory that does not exist: the fact would stand nowhere.
        if target is None and (changes or (choice.decision is Decision.NOOP and choice.short)):
            known = ", ".join(self.ids.shown) or "none"
            return f"fact {number}: {choice.decision} names memory {choice.short!r}; shown were: {known}"
        earlier = changed.get(target.entry_id) if target is not None else None
        if earlier is not None:
            # A NOOP on a memory that was just updated may be a merge; on a deleted one the fact would stand nowhere.
            lost = not _says_the_same(earlier, choice) if changes else earlier.decision is Decision.DELETE
            if lost:
                done = "deleted" if earlier.decision is Decision.DELETE else "updated"
                return f"fact {number}: memory {choice.short} was already {done} by an earlier decision"
        if choice.text is not None and len(choice.text) > MAX_CONTENT_CHARACTERS:
            return f"fact {number}: the text has {len(choice.text)} characters, more than {MAX_CONTENT_CHARACTERS}"
        return ""

    def _default(self, fact: Fact, found: tuple[Hit, ...], candidates: tuple[EntryId, ...]) -> FactDecision:
        same = next(
            (h.entry.entry_id for h in found if h.entry.content.casefold() == fact.text.casefold()), None
        )
        return FactDecision(
            fact=fact,
            candidates=candidates,
            decision=Decision.ADD if same is None else Decision.NOOP,
            ops=(_insert(fact, fact.text, self.meta) if same is None else Noop(entry_id=same),),
            defaulted=True,
        )


def _is_taken(choice: Choice, earlier: Choice | None) -> bool:
    """Whether a memory that is to be updated has its new text from an earlier fact: both facts are to be kept."""
    if earlier is None or not earlier.decision is choice.decision is Decision.UPDATE:
        return False
    return not _says_the_same(earlier, choice)


def _says_the_same(earlier: Choice, later: Choice) -> bool:
    """Whether both give an entry one and the same text; any other second change would overwrite the first fact."""
    both_update = earlier.decision is later.decision is Decision.UPDATE
    return both_update and bool(later.text) and earlier.text == later.text


def _drop_cut_text(choices: list[Choice | None], errors: list[str]) -> None:
    """The last text of an output cut at the token limit is half a sentence: the fact's own words are better."""
    for number in reversed(range(len(choices))):
        choice = choices[number]
        # An empty text counts as well: cut behind its quote it would mean that nothing is stored.
        if choice is not None and choice.text is not None:
            choices[number] = replace(choice, text=None)
            errors.append(f"the output was cut; the text for fact {number} was dropped")
            return


def _operations(choice: Choice, fact: Fact, target: MemoryEntry | None, meta: Meta) -> tuple[MemoryOp, ...]:
    """The store operations of a checked choice."""
    if choice.decision is Decision.NOOP:
        return (Noop(entry_id=target.entry_id if target else None),)
    if choice.decision is Decision.ADD or target is None:
        return (_insert(fact, choice.text or fact.text, meta),)
    if choice.decision is Decision.UPDATE:
        content = choice.text or fact.text
        return (Update(entry_id=target.entry_id, content=content, meta={**target.meta, **meta}),)
    gone = Delete(entry_id=target.entry_id)
    # Only an explicit empty text says that nothing takes the entry's place.
    return (gone,) if choice.text == "" else (gone, _insert(fact, choice.text or fact.text, meta))


def _insert(fact: Fact, content: str, meta: Meta) -> Insert:
    return Insert(content=content, memory_type=fact.memory_type, meta=meta)


def decision_schema(facts: int | None, shorts: Sequence[str]) -> JsonSchema:
    """JSON schema of the decisions: exactly one for each fact, and only ids that were shown.

    Args:
        facts: how many facts there are; None for a review, where decisions name memories alone.
        shorts: the short ids that were shown.
    """
    words = ["ADD", "UPDATE", "DELETE", "NOOP"] if facts is not None else ["UPDATE", "DELETE", "NOOP"]
    properties: dict[str, object] = {
        "op": {"type": "string", "enum": words if shorts else ["ADD"]},
        "id": {"type": "string", "enum": list(shorts) or [""]},
        "text": {"type": "string"},
    }
    required = ["op"]
    bounds: dict[str, int] = {"maxItems": len(shorts)}
    if facts is not None:
        properties = {"fact": {"type": "integer", "enum": list(range(facts))}, **properties}
        required = ["fact", "op"]
        bounds = {"minItems": facts, "maxItems": facts}
    item = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"decisions": {"type": "array", "items": item, **bounds}},
        "required": ["decisions"],
        "additionalProperties": False,
    }


def _read_review(completion: Completion, ids: ShortIds) -> Reading[tuple[MemoryOp, ...]]:
    """The operations of a review; INVALID when nothing usable was said or nothing would be left."""
    by_entry = read_choices(
        completion.text,
        completion.tool_calls,
        [""] * len(ids.shown),
        [[short] for short in ids.shown],
    )
    ops: dict[EntryId, MemoryOp] = {}
    errors = list(by_entry.errors)
    for choice in by_entry.by_fact:
        if choice is None or choice.decision not in (Decision.UPDATE, Decision.DELETE):
            continue
        target = ids.resolve(choice.short) if choice.short is not None else None
        if target is None:
            errors.append(
                f"{choice.decision} names memory {choice.short!r}; shown were: {', '.join(ids.shown)}"
            )
        elif target in ops:
            errors.append(f"memory {choice.short} was decided twice; the first decision counts")
        elif choice.decision is Decision.DELETE:
            ops[target] = Delete(entry_id=target)
        elif choice.text:
            ops[target] = Update(entry_id=target, content=choice.text)
    if problem := _review_problem(completion, ops.values(), len(ids.shown)):
        errors.append(problem)
        ops = {}
    status = TurnStatus.REPAIRED if errors else TurnStatus.OK
    return Reading(
        value=tuple(ops.values()),
        status=TurnStatus.INVALID if errors and not ops else status,
        parsed=[op.kind for op in ops.values()],
        errors=tuple(errors),
    )


def _review_problem(completion: Completion, ops: Collection[MemoryOp], shown: int) -> str:
    """Why a review would lose what only one memory holds; empty when it would not."""
    if completion.finish_reason == "length":
        return "the output was cut; nothing of it is carried out: merge fewer memories"
    if any(isinstance(op, Update) and len(op.content) > MAX_CONTENT_CHARACTERS for op in ops):
        return f"a merged text has more than {MAX_CONTENT_CHARACTERS} characters"
    if sum(isinstance(op, Delete) for op in ops) == shown:
        return "a review must leave at least one of the memories"
    return ""
