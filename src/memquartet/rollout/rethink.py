"""Rethinking: a pass over the long-term memory that merges and removes redundant entries.

Entries with the same words are merged without a model. The others are grouped with what resembles them, each
entry in one group at most, and the manager reviews the groups; nothing outside the scope is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memquartet.agents.base import Task, derive_seed
from memquartet.agents.manager import MemoryManager
from memquartet.core.memory import EVERYWHERE, FACT_TYPES, Delete, MemoryEntry, Provenance, Receipt, Scope
from memquartet.core.trajectory import Failure, Trajectory, Turn
from memquartet.errors import WorldError
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters, SearchMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class RethinkSettings:
    """Which entries are reviewed together.

    An entry joins a group when its cosine to the group's first entry is at least `threshold` (in [-1, 1]); with
    a memory that has no vectors, when it is among the `group_size` best by BM25.
    """

    group_size: int = 6
    threshold: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rethinking:
    """What a pass did: receipts of all operations, the manager's turns, and how many groups it saw."""

    receipts: tuple[Receipt, ...]
    trajectory: Trajectory
    groups: int


async def rethink(
    memory: Memory,
    manager: MemoryManager,
    *,
    scope: Scope = EVERYWHERE,
    settings: RethinkSettings | None = None,
    seed: int = 0,
) -> Rethinking:
    """Merge and remove redundant entries. Each group is one transaction, so a failure keeps what is done."""
    settings = settings or RethinkSettings()
    receipts = list(_remove_copies(memory, scope))
    turns: list[Turn] = []
    failure = None
    reviewed = 0
    for group in list(similar_groups(memory, scope, settings)):
        try:
            task = Task(seed=derive_seed(seed, "rethink", reviewed), record=turns.append)
            reply = await manager.review(group, task=task)
        except WorldError as error:
            failure = Failure(kind=type(error).__name__, message=str(error))
            break
        reviewed += 1
        why = Provenance(
            actor="rethink",
            source="\n".join(entry.content for entry in group),
            prompt="\n\n".join(message.content for message in reply.turn.messages),
            model=reply.turn.model,
            seed=reply.turn.seed,
            raw_output=reply.turn.output,
        )
        receipts += memory.apply(reply.value or (), scope=scope, provenance=why)
    return Rethinking(
        receipts=tuple(receipts),
        trajectory=Trajectory(turns=tuple(turns), failure=failure),
        groups=reviewed,
    )


def similar_groups(
    memory: Memory, scope: Scope, settings: RethinkSettings
) -> Iterator[Sequence[MemoryEntry]]:
    """Groups of two or more entries that resemble each other, in the order of their first entry's writing."""
    filters = Filters(scope=scope, memory_types=FACT_TYPES)
    taken: set[str] = set()
    for entry in sorted(memory.entries(filters), key=lambda e: e.created_at):
        if entry.entry_id in taken:
            continue
        hits = memory.search(entry.content, settings.group_size, filters=filters, method=SearchMethod.HYBRID)
        close = [
            hit.entry
            for hit in hits
            if hit.entry.entry_id not in taken
            and (hit.semantic is None or hit.semantic >= settings.threshold)
        ]
        if len(close) > 1 and entry in close:
            taken.update(member.entry_id for member in close)
            yield close


def _remove_copies(memory: Memory, scope: Scope) -> Sequence[Receipt]:
    """Delete entries whose words stand in an older entry of the same scope and type."""
    seen: dict[tuple[object, ...], MemoryEntry] = {}
    copies = []
    for entry in sorted(
        memory.entries(Filters(scope=scope, memory_types=FACT_TYPES)), key=lambda e: e.created_at
    ):
        key = (entry.scope, entry.memory_type, " ".join(entry.content.casefold().split()))
        if seen.setdefault(key, entry) is not entry:
            copies.append(Delete(entry_id=entry.entry_id))
    why = Provenance(actor="rethink", source="the same words stand in an older entry")
    return memory.apply(copies, scope=scope, provenance=why) if copies else []
