"""MemAgent (arXiv 2507.02259): one text that is overwritten after every piece of the input.

The paper's agent reads with the problem at hand, so every question has its own pass over the text. Benchmarks
that inject once and ask many times evaluate it without the problem (as Mem-alpha's paper does): `per_question`
false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings, Task, ask, derive_seed
from memquartet.agents.summarizer import read_summary
from memquartet.core.memory import Fact
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Role
from memquartet.llm.protocols import ChatModel, Sampling
from memquartet.memory.embedders import NoEmbedder
from memquartet.rollout.episode import Progress
from memquartet.systems.posing import handed_over
from memquartet.systems.prompting import prompt
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by, fresh_memory, read_chunks
from memquartet.text.chunking import pack
from memquartet.text.tokens import default_counter

NO_QUESTION = "(not known yet: keep what any later question may need)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemAgentSettings:
    """The paper's sizes in tokens, and whether each question is read for anew."""

    chunk_tokens: int = 5000
    memory_tokens: int = 1024
    per_question: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MemAgent:
    """(problem, memory, piece) → new memory, piece by piece; then (problem, memory) → answer."""

    model: ChatModel
    answerer: Answerer
    settings: MemAgentSettings = MemAgentSettings()
    name: str = "memagent"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Read once for all questions, or leave the reading to each of them."""
        chunks = _repacked(handed_over(sample), self.settings.chunk_tokens)
        # Handed over already: without `extra` the reading does not do it again.
        whole = replace(sample, chunks=chunks, extra={})
        if self.settings.per_question:
            for _ in sample.chunks:
                on_progress("chunk")

            async def recall_anew(question: Question, task: Task) -> Recalled:
                memory = ""
                for chunk in whole.chunks:
                    anew = replace(task, seed=derive_seed(task.seed, "chunk", chunk.index))
                    memory = await self._overwrite(memory, chunk, question.text, anew)
                return _recalled(memory)

            return RespondingSession(respond=answered_by(self.answerer, recall_anew, sample), seed=seed)

        memory = fresh_memory(NoEmbedder(), state_budget=self.settings.memory_tokens)

        async def overwrite(chunk: Chunk, task: Task) -> tuple[Fact, ...]:
            memory.set_state(await self._overwrite(memory.state().text, chunk, NO_QUESTION, task))
            return ()

        reading = await read_chunks(whole, memory, overwrite, seed=seed, on_progress=lambda _: None)
        for _ in sample.chunks:
            on_progress("chunk")

        async def recall(_question: Question, _task: Task) -> Recalled:
            return _recalled(memory.state().text)

        return RespondingSession(
            respond=answered_by(self.answerer, recall, sample),
            seed=seed,
            steps=reading.steps,
            failure=reading.failure,
        )

    async def _overwrite(self, memory: str, chunk: Chunk, question: str, task: Task) -> str:
        """The new memory; a silent model leaves the old one."""
        size = self.settings.memory_tokens
        reply = await ask(
            self.model,
            Role.SUMMARIZER,
            prompt(
                "memagent", question=question, memory=memory or "(empty)", text=chunk.text, budget=str(size)
            ),
            read_summary,
            task=task,
            settings=AgentSettings(sampling=Sampling(max_tokens=size), max_attempts=1),
        )
        return default_counter().truncate(reply.value or memory, size)


def _recalled(memory: str) -> Recalled:
    return Recalled(text=memory, memories=(memory,) if memory else ())


def _repacked(sample: Sample, tokens: int) -> tuple[Chunk, ...]:
    """The sample's chunks joined, or cut, to the agent's own size."""
    texts: Sequence[str] = [chunk.text for chunk in sample.chunks]
    packs = pack(texts, budget=tokens, count=default_counter().count)
    return tuple(
        replace(sample.chunks[one.pieces[0].index], text=one.text(), index=index, source_ids=())
        for index, one in enumerate(packs)
    )
