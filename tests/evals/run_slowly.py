"""A run that a test kills: python run_slowly.py OUT CALLS; each real model call adds a line to CALLS."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.evals.support import samples, system

from memquartet.core.messages import Message
from memquartet.evals.runner import Concurrency, evaluate
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.llm.protocols import ChatRequest, Completion


class SlowModel:
    """Answers after a moment, and leaves a trace of every call."""

    name = "slow"
    prompts = None

    def __init__(self, calls: Path) -> None:
        self._calls = calls

    def fits(self, messages: Sequence[Message]) -> bool:
        return True

    async def complete(self, request: ChatRequest) -> Completion:
        await asyncio.sleep(0.02)
        with self._calls.open("a", encoding="utf-8") as file:
            file.write(request.messages[-1].content.splitlines()[-1] + "\n")
        return Completion(text="thing 1", model=self.name, prompt_tokens=5, output_tokens=2)


async def main() -> None:
    out, calls = map(Path, sys.argv[1:])
    with CallCache(out / "calls.db") as kept:
        model = CachedModel(SlowModel(calls), kept)
        await evaluate(
            samples(3, 20),
            [system(model)],
            out=out,
            config={},
            concurrency=Concurrency(samples=1, questions=2),
        )


if __name__ == "__main__":
    asyncio.run(main())
