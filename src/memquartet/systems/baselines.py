"""What a memory has to beat: no memory at all, and plain retrieval over the raw text, with the same answerer."""

from __future__ import annotations

from dataclasses import dataclass

from memquartet.agents.rendering import chunk_meta
from memquartet.agents.team import Team
from memquartet.core.memory import Insert, MemoryType, Provenance
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import SearchMethod
from memquartet.rollout.episode import EpisodeSettings, Progress, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMemory:
    """Reads nothing: the answerer sees the question alone. What it gets right it knew or guessed."""

    team: Team
    name: str = "no_memory"

    async def run(self, sample: Sample, *, seed: int, on_progress: Progress) -> Episode:
        """Answer from nothing."""
        return await _answered(self.name, self.team, Memory(embedder=NoEmbedder()), sample, seed, on_progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class RagBm25:
    """Stores every line of the raw text and retrieves the best `top_k` by BM25."""

    team: Team
    top_k: int = 10
    name: str = "rag_bm25"

    async def run(self, sample: Sample, *, seed: int, on_progress: Progress) -> Episode:
        """Index the lines, retrieve, answer."""
        memory = Memory(embedder=NoEmbedder())
        for chunk in sample.chunks:
            lines = [line.strip() for line in chunk.text.splitlines()]
            memory.apply(
                [
                    Insert(content=line, memory_type=MemoryType.EPISODIC, meta=chunk_meta(chunk))
                    for line in lines
                    if line
                ],
                provenance=Provenance(actor=self.name, origin=f"{sample.sample_id}#{chunk.index}"),
            )
            on_progress("chunk")
        return await _answered(self.name, self.team, memory, sample, seed, on_progress, self.top_k)


async def _answered(
    name: str,
    team: Team,
    memory: Memory,
    sample: Sample,
    seed: int,
    on_progress: Progress,
    top_k: int = 1,
) -> Episode:
    settings = EpisodeSettings(answer_top_k=top_k, method=SearchMethod.BM25)
    rollout = Rollout(team=team, memory=memory, settings=settings, seed=seed)
    return Episode(
        sample_id=sample.sample_id,
        system=name,
        steps=(),
        answers=await rollout.answer_all(sample.questions, on_progress),
        seed=seed,
        config={"answer_top_k": top_k, "method": settings.method.value},
    )
