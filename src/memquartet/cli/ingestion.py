"""Reading a file into a memory so that it can be interrupted at any point and goes on where it stopped.

A chunk's operations and its new state enter the memory in one transaction; each of their journal records names
the chunk's origin, "b2:HASH/TOKENS#INDEX": the file's content, the chunk size, the chunk. The last chunk that has
a record is where an interrupted run goes on. A chunk that left no record is read again, which changes nothing
that was kept. A record with the origin "…#end" says that the file is finished.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memquartet.benchmarks.registry import read_chunks
from memquartet.core.memory import Noop, Provenance, Scope
from memquartet.core.samples import Chunk
from memquartet.core.trajectory import Decision, Failure, MemoryStep, TurnStatus
from memquartet.memory.journal import JournalRecord
from memquartet.rollout.episode import Rollout
from memquartet.text.chunking import ChunkSize

_END = "end"
OnStep = Callable[[MemoryStep], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as it will be read: all its chunks, and the name by which the journal knows it."""

    path: Path
    key: str
    chunks: tuple[Chunk, ...]

    @classmethod
    def read(cls, path: Path, size: ChunkSize) -> Source:
        """Read and check the whole file, before a model is asked about any of it.

        Raises:
            InputError: the file cannot be read as text, chat or data set.
        """
        chunks = tuple(read_chunks(path, size=size))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        return cls(path=path, key=f"b2:{digest}/{size.tokens}", chunks=chunks)

    def origin(self, chunk: Chunk) -> str:
        """The chunk's place, as it is written into the journal."""
        return f"{self.key}#{chunk.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of a file. `before` chunks were read by earlier runs, `now` by this one, of `total`.

    `unusable` counts the chunks in which a role's last output could not be used.
    """

    path: Path
    total: int
    before: int
    now: int = 0
    facts: int = 0
    decisions: Mapping[Decision, int]
    unusable: int = 0
    failure: Failure | None = None

    @property
    def finished(self) -> bool:
        """Whether the whole file is in the memory."""
        return self.before + self.now == self.total


def chunks_done(records: Iterable[JournalRecord], sources: Sequence[Source], scope: Scope) -> dict[str, int]:
    """How many chunks of each source the journal of this scope holds, by `Source.key`."""
    totals = {source.key: len(source.chunks) for source in sources}
    done = dict.fromkeys(totals, 0)
    for record in records:
        key, _, place = record.provenance.origin.partition("#")
        if key in done and record.scope == scope:
            done[key] = totals[key] if place == _END else max(done[key], int(place) + 1)
    return done


async def ingest(source: Source, rollout: Rollout, *, done: int, on_step: OnStep) -> Reading:
    """Let the team read the chunks behind the first `done`; stops at the first failure of the world."""
    decisions: Counter[Decision] = Counter()
    facts = now = unusable = 0
    failure = None
    for chunk in itertools.islice(source.chunks, done, None):
        step = await rollout.read_chunk(chunk, origin=source.origin(chunk))
        on_step(step)
        if failure := step.trajectory.failure:
            break
        now += 1
        facts += len(step.facts)
        unusable += _gave_up(step)
        decisions.update(outcome.decision for outcome in step.outcomes)
    if now and failure is None:
        end = Provenance(actor="ingest", source=str(source.path), origin=f"{source.key}#{_END}")
        rollout.memory.apply([Noop()], scope=rollout.scope, provenance=end)
    return Reading(
        path=source.path,
        total=len(source.chunks),
        before=done,
        now=now,
        facts=facts,
        decisions=decisions,
        unusable=unusable,
        failure=failure,
    )


def _gave_up(step: MemoryStep) -> bool:
    """Whether the last output of some role was not usable after all tries."""
    last = {turn.role: turn.status for turn in step.trajectory.turns}
    return TurnStatus.INVALID in last.values()
