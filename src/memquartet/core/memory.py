"""What a memory is made of: facts, entries, operations, receipts, hits and the short-term state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, NewType, NoReturn

EntryId = NewType("EntryId", str)

MetaValue = str | int | float | bool | None
Meta = Mapping[str, MetaValue]


class FixedMeta(dict[str, MetaValue]):
    """Meta that the journal holds, too: changing it in place would change history, so that raises a `TypeError`.

    A dict all the same, because JSON, pickle and `dataclasses.asdict` refuse a `MappingProxyType`.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the meta of a stored entry cannot change: write a new one with `Memory.update`")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    # `typing.override` is new in Python 3.12.
    def __reduce__(self) -> tuple[type[FixedMeta], tuple[dict[str, MetaValue]]]:  # type: ignore[explicit-override]
        return FixedMeta, (dict(self),)


class MemoryType(StrEnum):
    """What an entry of the long-term memory is; the short-term one is `MemoryState`."""

    SEMANTIC = "semantic"
    """What is so: profiles, preferences, relations, general knowledge."""
    EPISODIC = "episodic"
    """What happened: events with a time and a place."""
    VERBATIM = "verbatim"
    """What was said, word for word: a line of a text that the agents read."""


FACT_TYPES = frozenset({MemoryType.SEMANTIC, MemoryType.EPISODIC})
"""What the agents write in their own words, decide about and rethink."""
LINE_TYPES = frozenset({MemoryType.VERBATIM})
"""What stands beside it, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose memory it is. As a filter, a `None` part admits every value of that part."""

    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None

    def admits(self, other: Scope) -> bool:
        """Whether an entry of scope `other` is visible through this one."""
        return (
            self.user_id in (None, other.user_id)
            and self.agent_id in (None, other.agent_id)
            and self.run_id in (None, other.run_id)
        )


EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A statement that the extractor took from a chunk."""

    text: str
    important: bool
    memory_type: MemoryType = MemoryType.SEMANTIC


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEntry:
    """One long-term memory as it stands after its last change; times are aware and in UTC."""

    entry_id: EntryId
    memory_type: MemoryType
    content: str
    scope: Scope = EVERYWHERE
    meta: Meta = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """ADD: store a new entry. `entry_id` is given only when a journal is replayed or imported."""

    kind: Literal["insert"] = "insert"
    content: str
    memory_type: MemoryType = MemoryType.SEMANTIC
    meta: Meta = field(default_factory=dict)
    entry_id: EntryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """UPDATE: replace the whole content of an entry; `meta` None keeps the old one."""

    kind: Literal["update"] = "update"
    entry_id: EntryId
    content: str
    meta: Meta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """DELETE: remove an entry. Its history stays in the journal."""

    kind: Literal["delete"] = "delete"
    entry_id: EntryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Noop:
    """NOOP: leave the memory as it is; `entry_id` names the entry that already says it, if any."""

    kind: Literal["noop"] = "noop"
    entry_id: EntryId | None = None


MemoryOp = Insert | Update | Delete | Noop


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Why a write happened: who asked for it, from which text, and what the model said.

    `actor` is a role name ("manager"), "tool", "user" or "import". `origin` names the place of the text
    in its source ("b2:3f…#12" is chunk 12 of a file), by which an interrupted ingest resumes.
    Everything else may be empty.
    """

    actor: str = "user"
    source: str = ""
    origin: str = ""
    prompt: str = ""
    model: str = ""
    seed: int | None = None
    raw_output: str = ""


DIRECT = Provenance()


class ReceiptStatus(StrEnum):
    """What became of an operation."""

    APPLIED = "applied"
    """The memory changed (for `Noop`: the decision was recorded)."""
    FAILED = "failed"
    """Nothing changed; `Receipt.error` says why, in words a model can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The answer to one operation. `seq` is its journal record, counted from 1; None when it failed."""

    op: MemoryOp
    status: ReceiptStatus
    seq: int | None = None
    entry_id: EntryId | None = None
    before: MemoryEntry | None = None
    after: MemoryEntry | None = None
    error: str | None = None

    @property
    def applied(self) -> bool:
        """Whether the operation was carried out."""
        return self.status is ReceiptStatus.APPLIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A retrieved entry. `score` is what the list is ordered by, higher is better.

    `lexical` is the raw BM25 score (≥ 0), `semantic` the cosine (in [-1, 1]); None where the method
    did not compute it.
    """

    entry: MemoryEntry
    score: float
    lexical: float | None = None
    semantic: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryState:
    """The short-term memory: a running summary and pinned notes, held within `budget` tokens.

    Notes are short lines that the summarizer must not rewrite (a goal, an instruction); they count
    against the same budget.
    """

    text: str = ""
    notes: tuple[str, ...] = ()
    budget: int = 512
