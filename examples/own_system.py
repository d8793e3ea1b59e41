"""A memory system of your own under the harness, beside ours, without a model or a network.

A system has a `name`, `settings`, and `read(sample)`, which gives a session that answers questions. This one remembers
the longest line of every chunk. To be found by `memquartet eval run --system longest_lines`, a package declares its
factory:

    [project.entry-points."memquartet.systems"]
    longest_lines = "your_package.module:make"

`with_extras/mem0_package.py` plugs the real `mem0ai` in the same way.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task
from memquartet.agents.team import Team
from memquartet.benchmarks.demo import load_demo
from memquartet.core.samples import Question, Sample
from memquartet.evals.comparison import compare
from memquartet.evals.runner import evaluate
from memquartet.memory.embedders import StaticEmbedder
from memquartet.rollout.episode import Progress
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.registry import Parts, make_system, read_settings
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by
from memquartet.testing.models import ScriptedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestLinesSettings:
    """How many lines of each chunk are remembered."""

    lines: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestLines:
    """Remembers the longest lines of every chunk and shows all of them to the answerer that all systems share."""

    answerer: Answerer
    settings: LongestLinesSettings
    name: str = "longest_lines"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Keep the lines; a system that asks a model while reading would use `read_chunks`."""
        kept: list[str] = []
        for chunk in sample.chunks:
            kept += sorted(chunk.text.splitlines(), key=len)[-self.settings.lines :]
            on_progress("chunk")

        async def recall(_question: Question, _task: Task) -> Recalled:
            return Recalled(text="\n".join(kept), memories=tuple(kept))

        return RespondingSession(respond=answered_by(self.answerer, recall, sample), seed=seed)


def make(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    """The factory that an entry point names; `given` are its settings by name."""
    settings = read_settings(LongestLinesSettings, given)
    return LongestLines(answerer=parts.team.answerer, settings=settings)


async def main() -> None:
    """Run it beside BM25 on the demo conversation and compare the two."""
    model = ScriptedModel(lambda request: request.messages[-1].content[:400])
    embedder = StaticEmbedder()
    own = make(Parts(model=model, team=Team.of(model), embedder=embedder), {"lines": "2"})
    bm25 = make_system("rag_bm25", model, embedder=embedder)
    with tempfile.TemporaryDirectory() as folder:
        first, second = await evaluate(load_demo(), [bm25, own], out=Path(folder), config={})
    found = compare(first.questions, second.questions, name_a=first.system, name_b=second.system)
    overall = found.categories[0]
    print(f"{second.system} against {first.system}: {overall.difference:+.3f}, p = {overall.p:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
