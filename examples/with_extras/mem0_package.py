r"""The real `mem0ai` package under the harness (tried with 2.2.1): see `../own_system.py` for what a system is.

    pip install 'memquartet[openai,eval]' mem0ai
    python examples/with_extras/mem0_package.py --model qwen3-4b --base-url http://localhost:8000/v1 \
        --embedding-model bge-m3 --dimensions 1024

mem0 calls its models itself, so its tokens are not counted here and its calls are not in our cache: an interrupted run
reads the samples that were under way again, but asks no question twice.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task
from memquartet.agents.team import Team
from memquartet.benchmarks.demo import load_demo
from memquartet.core.memory import Fact
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import MissingExtraError, ModelServerError
from memquartet.evals.results import OVERALL
from memquartet.evals.runner import Concurrency, evaluate
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import Progress
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.registry import Parts, read_settings
from memquartet.systems.sessions import Recalled, RespondingSession, answered_by, read_chunks

# Any: mem0 gives plain dictionaries.
Found = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mem0PackageSettings:
    """Models of an OpenAI-compatible server that mem0 calls itself, so its tokens are not in our count."""

    model: str = ""
    base_url: str = ""
    embedding_model: str = ""
    dimensions: int = 1024
    top_k: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Mem0Package:
    """Adds each chunk as a message, searches with the question, and lets the shared answerer answer."""

    answerer: Answerer
    settings: Mem0PackageSettings
    name: str = "mem0ai"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> RespondingSession:
        """Give mem0 the chunks in order. Its calls wait for the server, so they run in a thread."""
        try:
            from mem0 import Memory as Mem0  # type: ignore[import-not-found]  # not among our extras
        except ImportError as error:
            raise MissingExtraError("mem0ai is not installed: pip install mem0ai") from error
        folder = tempfile.mkdtemp(prefix="mem0-")
        store = await asyncio.to_thread(Mem0.from_config, self._config(folder))
        user = {"user_id": sample.sample_id}

        async def add(chunk: Chunk, _task: Task) -> tuple[Fact, ...]:
            messages = [{"role": "user", "content": chunk.text}]
            found = await called(lambda: store.add(messages, **user))
            return tuple(Fact(text=one["memory"], important=True) for one in found["results"])

        async def recall(question: Question, _task: Task) -> Recalled:
            found = await called(
                lambda: store.search(question.text, filters=user, top_k=self.settings.top_k, threshold=0.0)
            )
            texts = tuple(one["memory"] for one in found["results"])
            return Recalled(text="\n".join(f"- {text}" for text in texts), memories=texts)

        # mem0 keeps the memories; ours only numbers the steps.
        reading = await read_chunks(
            sample, Memory(embedder=NoEmbedder()), add, seed=seed, on_progress=on_progress
        )
        return RespondingSession(
            respond=answered_by(self.answerer, recall, sample),
            seed=seed,
            steps=reading.steps,
            failure=reading.failure,
        )

    def _config(self, folder: str) -> dict[str, object]:
        chosen = self.settings
        server = {"openai_base_url": chosen.base_url, "api_key": "none"}
        return {
            "llm": {"provider": "openai", "config": {"model": chosen.model, **server}},
            "embedder": {
                "provider": "openai",
                "config": {
                    "model": chosen.embedding_model,
                    "embedding_dims": chosen.dimensions,
                    **server,
                },
            },
            "vector_store": {
                "provider": "qdrant",
                "config": {"path": f"{folder}/qdrant", "embedding_model_dims": chosen.dimensions},
            },
            "history_db_path": f"{folder}/history.db",
        }


async def called(call: Callable[[], Found]) -> Found:
    """Call mem0 in a thread. What its server does wrong is recorded and asked again by the next run, not raised.

    Raises:
        ModelServerError: mem0's model server failed.
    """
    from openai import OpenAIError

    try:
        return await asyncio.to_thread(call)
    except (OpenAIError, OSError) as error:
        raise ModelServerError(f"mem0ai: {error}") from error


def make(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    """The factory that an entry point names."""
    settings = read_settings(Mem0PackageSettings, given)
    return Mem0Package(answerer=parts.team.answerer, settings=settings)


async def main() -> None:
    """Run the system on the demo conversation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--embedding-model", required=True)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=Path("runs/mem0ai"))
    options = parser.parse_args()
    model = OpenAIChatModel(options.model, options.base_url)
    parts = Parts(model=model, team=Team.of(model), embedder=NoEmbedder())
    given = {
        "model": options.model,
        "base_url": options.base_url,
        "embedding_model": options.embedding_model,
        "dimensions": options.dimensions,
    }
    try:
        (result,) = await evaluate(
            load_demo(),
            [make(parts, given)],
            out=options.out,
            config={"model": options.model},
            concurrency=Concurrency(samples=1),
        )
    finally:
        await model.aclose()
    print(f"{result.system}: {result.scores[OVERALL]}")


if __name__ == "__main__":
    asyncio.run(main())
