"""Raw text as memory: cut into units, stored as it is, and shown within a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from memquartet.agents.rendering import chunk_meta, in_time_order, memory_line
from memquartet.core.memory import Hit, Insert, MemoryEntry, MemoryType, Meta, Provenance
from memquartet.core.samples import Sample
from memquartet.errors import InputError
from memquartet.memory.memory import Memory
from memquartet.systems.posing import handed_over
from memquartet.systems.sessions import Recalled
from memquartet.text.tokens import default_counter


class Unit(StrEnum):
    """What is stored and retrieved as one piece."""

    AUTO = "auto"
    """Chunks for MemoryAgentBench and MemoryBench, which retrieve chunks and dialogues, and lines for everything else."""
    CHUNK = "chunk"
    """The sample's chunks, as they are."""
    LINE = "line"
    """Lines: a message of a conversation each."""

    def of(self, sample: Sample) -> Unit:
        """The unit for a sample; never AUTO."""
        if self is not Unit.AUTO:
            return self
        return Unit.CHUNK if sample.source.startswith(("memoryagentbench", "memorybench")) else Unit.LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A unit of raw text with what is kept of the chunk it stands in."""

    text: str
    meta: Meta


def pieces(sample: Sample, unit: Unit) -> Iterator[Piece]:
    """The units of a sample in reading order; empty ones are left out."""
    by_line = unit.of(sample) is Unit.LINE
    for chunk in sample.chunks if by_line else handed_over(sample).chunks:
        meta = chunk_meta(chunk)
        for text in chunk.text.splitlines() if by_line else [chunk.text]:
            if text.strip():
                yield Piece(text=text.strip(), meta=meta)


def store_raw(memory: Memory, sample: Sample, unit: Unit, actor: str) -> None:
    """Insert every unit of a sample.

    Raises:
        InputError: a unit cannot be stored (longer than an entry may be).
    """
    inserts = [
        Insert(content=piece.text, memory_type=MemoryType.EPISODIC, meta=piece.meta)
        for piece in pieces(sample, unit)
    ]
    receipts = memory.apply(inserts, provenance=Provenance(actor=actor, origin=sample.sample_id))
    refused = next((receipt for receipt in receipts if not receipt.applied), None)
    if refused:
        raise InputError(
            f"sample {sample.sample_id!r}: a {unit.of(sample)} cannot be stored: {refused.error}"
        )


def recalled(hits: Sequence[Hit], unit: Unit, context_tokens: int) -> Recalled:
    """The best hits that fit into the budget, shown oldest first.

    Chunks keep their line breaks and stand apart by an empty line; lines come one each with their date.
    """
    kept = within(hits, context_tokens)
    texts = [_shown(hit.entry, unit) for hit in in_time_order(kept)]
    return Recalled(
        text="\n".join(f"- {text}" for text in texts) if unit is Unit.LINE else "\n\n".join(texts),
        hits=tuple(hit.entry.entry_id for hit in kept),
        memories=tuple(_shown(hit.entry, unit) for hit in kept),
    )


def within(hits: Sequence[Hit], context_tokens: int) -> list[Hit]:
    """The best hits whose contents fit into the budget; one that does not fit is left out, smaller ones may follow.

    Where none fits, as with chunks of 4,096 tokens and a budget of 3,072, the best one is cut at its end: part of what
    was found says more than nothing.
    """
    count = default_counter().count
    room = context_tokens
    kept = []
    for hit in hits:
        tokens = count(hit.entry.content)
        if tokens <= room:
            room -= tokens
            kept.append(hit)
    return kept or [_cut(hit, context_tokens) for hit in hits[:1] if context_tokens > 0]


def _cut(hit: Hit, tokens: int) -> Hit:
    content = default_counter().truncate(hit.entry.content, tokens)
    return replace(hit, entry=replace(hit.entry, content=content))


def _shown(entry: MemoryEntry, unit: Unit) -> str:
    return memory_line(entry) if unit is Unit.LINE else entry.content
