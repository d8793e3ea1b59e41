"""How fast the shipped model answers as one file, against llama.cpp with base and adapter side by side, in one run.

    python benchmarks/adapter_speed.py [--calls 20] [--passes 3] [--json PATH]

The calls are what the four roles are asked in generated validation worlds, one at a time, greedy; each pass asks all of
one and then all of the other. Outputs differ only where rounding decides between two tokens; how many are equal is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from memquartet.agents.team import Team
from memquartet.benchmarks.worlds.catalog import named_world
from memquartet.core.messages import Message
from memquartet.errors import StoreError
from memquartet.llm import merged
from memquartet.llm.local import LocalChatModel
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode

WORLDS = ("world:conflict?seed=101&n=1", "world:dialogue?seed=101&n=1", "world:scenes?seed=101&n=1")


class Listener:
    """The model, with all that it is asked."""

    def __init__(self, model: LocalChatModel) -> None:
        self.model = model
        self.name, self.prompts = model.name, model.prompts
        self.requests: list[ChatRequest] = []

    def fits(self, messages: Sequence[Message]) -> bool:
        """As the model says."""
        return self.model.fits(messages)

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask the model."""
        self.requests.append(request)
        return await self.model.complete(request)

    async def aclose(self) -> None:
        """Free the model."""
        await self.model.aclose()


def not_merged(*_: object) -> Path:
    """What a full disk would do: both files are loaded then."""
    raise StoreError("not wanted")


async def answers(requests: Sequence[ChatRequest]) -> tuple[list[str], float]:
    """The outputs of a model that is loaded alone, and the seconds that all of them took."""
    model = LocalChatModel()
    model.load()
    begun = time.perf_counter()
    said = [(await model.complete(request)).text for request in requests]
    seconds = time.perf_counter() - begun
    await model.aclose()
    return said, seconds


async def asked(calls: int) -> list[ChatRequest]:
    """What the roles are asked, drawn evenly."""
    listener = Listener(LocalChatModel())
    for name in WORLDS:
        for sample in named_world(name):
            await run_episode(sample, Team.of(listener), Memory())
    await listener.aclose()
    return listener.requests[:: max(1, len(listener.requests) // calls)][:calls]


async def measure(calls: int, passes: int) -> dict[str, object]:
    """Ask both."""
    requests = await asked(calls)
    found: dict[str, list[float]] = {"one file": [], "side by side": []}
    equal, joined = 0, merged.merged_file
    for _ in range(passes):
        whole, seconds = await answers(requests)
        found["one file"].append(seconds)
        merged.merged_file = not_merged
        apart, seconds = await answers(requests)
        merged.merged_file = joined
        found["side by side"].append(seconds)
        equal = sum(a == b for a, b in zip(whole, apart, strict=True))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    return {
        "calls": len(requests),
        "seconds": found,
        "ratio": medians["one file"] / medians["side by side"],
        "equal_outputs": equal,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    }


def main() -> None:
    """Measure, print, and write JSON where it is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = asyncio.run(measure(given.calls, given.passes))
    seconds = found["seconds"]
    assert isinstance(seconds, dict)
    for name, taken in seconds.items():
        print(
            f"{name:14} {statistics.median(taken):6.1f} s for {found['calls']} calls ({', '.join(f'{s:.1f}' for s in taken)})"
        )
    print(f"one file takes {found['ratio']:.2f} of the time; {found['equal_outputs']} outputs are equal")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
