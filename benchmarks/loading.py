"""How long it takes to load, cut, validate and score all development data.

    python benchmarks/loading.py [--data ../shared/data]

Every record is read and cut as its benchmark prescribes, every accepted answer is scored by its own metric, and every
MemoryAgentBench answer by all official metrics.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from memquartet.benchmarks.memoryagentbench.records import read
from memquartet.benchmarks.memoryagentbench.sources import Scorer
from memquartet.benchmarks.memorybench.loading import load_memory_bench
from memquartet.benchmarks.memorybench.protocols import off_policy_samples
from memquartet.benchmarks.memorybench.raw import SOURCES
from memquartet.benchmarks.reading import read_records
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Sample
from memquartet.scoring.memoryagentbench import official_metrics
from memquartet.scoring.registry import validate
from memquartet.text.chunking import ChunkSize


def parts(data: Path) -> Iterator[tuple[str, list[Sample]]]:
    """The development data by name, loaded when it is asked for."""
    yield "locomo", load_dataset(data / "locomo" / "locomo_dev2.json")
    yield "longmemeval", load_dataset(data / "longmemeval" / "longmemeval_oracle_dev60.jsonl.gz")
    for folder in ("memoryagentbench", "mab_like"):
        for path in sorted((data / folder).glob("*.jsonl.gz")):
            samples = read(read_records(path), scorer=Scorer.OFFICIAL)
            yield f"{folder}/{path.name.split('.')[0]}", list(samples)
    for name in SOURCES:
        dataset = load_memory_bench("single", name, data=data / "memorybench_raw")
        yield f"memorybench/{name}", off_policy_samples([dataset], ChunkSize())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MEMQUARTET_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    arguments = parser.parse_args()
    start = time.perf_counter()
    questions = chunks = 0
    loader = parts(arguments.data)
    while True:
        before = time.perf_counter()
        found = next(loader, None)
        if found is None:
            break
        name, samples = found
        loaded = time.perf_counter()
        failures = validate(samples)
        for sample in samples:
            if sample.source.startswith("memoryagentbench/"):
                for question in sample.questions:
                    official_metrics(question.answers[0], question.answers[0])
        row = {
            "part": name,
            "samples": len(samples),
            "chunks": sum(len(sample.chunks) for sample in samples),
            "questions": sum(len(sample.questions) for sample in samples),
            "load_s": round(loaded - before, 3),
            "score_s": round(time.perf_counter() - loaded, 3),
            "unexplained_gold_failures": sum(not failure.explained for failure in failures),
        }
        chunks += sum(len(sample.chunks) for sample in samples)
        questions += sum(len(sample.questions) for sample in samples)
        print(json.dumps(row))
    total = round(time.perf_counter() - start, 2)
    print(json.dumps({"total_s": total, "questions": questions, "chunks": chunks}))


if __name__ == "__main__":
    main()
