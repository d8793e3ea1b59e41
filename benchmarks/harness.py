"""Questions per second of the evaluation harness with a model that answers at once.

What is measured is everything but the model: retrieval, prompts, the cache of calls, transcripts, scores and results on
disk. Two rounds: the first asks, the second starts from the cache alone, as after a SIGKILL before the first sample
was finished.

    python benchmarks/harness.py [--samples 10] [--questions 100] [--system rag_bm25] [--json PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from memquartet import __version__
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.evals.runner import evaluate
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.memory.embedders import StaticEmbedder
from memquartet.systems.registry import make_system
from memquartet.testing.models import ScriptedModel

CITIES = ("Rome", "Oslo", "Lima", "Cairo", "Kyoto", "Quito", "Dakar", "Perth")


def sample(number: int, questions: int) -> Sample:
    """Eight chunks of fifty lines, and questions about single lines."""
    lines = [f"Person {number * 1000 + k} lives in {CITIES[k % 8]}, street {k}." for k in range(400)]
    return Sample(
        sample_id=f"s{number}",
        chunks=tuple(Chunk(text="\n".join(lines[50 * c : 50 * c + 50]), index=c) for c in range(8)),
        questions=tuple(
            Question(
                question_id=f"q{k}",
                text=f"Where does Person {number * 1000 + k} live?",
                answers=(CITIES[k % 8],),
                category=CITIES[k % 8],
            )
            for k in range(questions)
        ),
    )


async def run(name: str, samples: list[Sample], out: Path, calls: Path) -> float:
    """Wall seconds of one evaluation."""
    with CallCache(calls) as kept:
        model = CachedModel(ScriptedModel(lambda _: "Oslo"), kept)
        started = time.perf_counter()
        await evaluate(samples, [make_system(name, model, embedder=StaticEmbedder())], out=out, config={})
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--questions", type=int, default=100, help="questions a sample")
    parser.add_argument("--system", default="rag_bm25")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    samples = [sample(number, options.questions) for number in range(options.samples)]
    asked = options.samples * options.questions
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options.system, samples[:1], Path(folder) / "warm", Path(folder) / "warm.db"))
        first = asyncio.run(run(options.system, samples, Path(folder) / "a", Path(folder) / "calls.db"))
        again = asyncio.run(run(options.system, samples, Path(folder) / "b", Path(folder) / "calls.db"))
    result = {
        "system": options.system,
        "questions": asked,
        "questions_per_second": asked / first,
        "questions_per_second_from_the_cache": asked / again,
        "memquartet": __version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores_used": 1,
    }
    print(f"{options.system}, {asked} questions of {options.samples} samples, one core")
    print(f"  {asked / first:.0f} questions/s, {asked / again:.0f} questions/s out of the cache")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
