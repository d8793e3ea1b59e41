"""The development sets of the all-systems table, loaded, cut into chunks and written as sample files.

    python benchmarks/evaluation_sets.py --out DIR [--data ../shared/data] [--small]

Each file is one benchmark (or part of one) in the form `memquartet.sample/1`, so that `memquartet eval run
--benchmark DIR/NAME.jsonl` needs neither the original files nor what cuts them; that matters on a machine without
internet. What a benchmark prescribes (metric, family, reply limit, judge) travels in the samples.

| file | what | whole? |
| --- | --- | --- |
| locomo | LoCoMo conv-26 and conv-30, 304 questions | yes |
| longmemeval | LongMemEval oracle, 60 questions, each with its own sessions | yes |
| factconsolidation | MemoryAgentBench factconsolidation_sh_6k and _mh_6k, 100 questions each | yes |
| icl_trec | MemoryAgentBench icl_trec_coarse (122,000 tokens), 100 questions | yes |
| lexeval | MemoryBench LexEval-QA, the 50 test questions; off policy there is nothing to read | yes |
| mab_like | made in MemoryAgentBench's form: conflicts 1k (sh, mh), 40 documents, 360 labelled questions | four of 18 records |

`--small` writes three sets for a CPU and a small model: the first two sessions of conv-30 with the questions that
they answer and two adversarial ones, one small made conflict record, and LexEval-QA's five shortest questions.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from memquartet.benchmarks.dataset import save_samples
from memquartet.benchmarks.named import Options, load_benchmark
from memquartet.core.samples import Question, Sample
from memquartet.evals.runner import fingerprint
from memquartet.text.tokens import default_counter

DATA = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
MADE = {
    "cr_trex": ("factconsolidation_sh_trex_1k", "factconsolidation_mh_trex_1k"),
    "ar_sh_doc_xquad": ("ruler_qa1_xquad_40docs",),
    "ttl_icl_train": ("icl_trec_coarse_360shot_train0",),
}
SMALL_SESSIONS = 2
SMALL_ADVERSARIAL = 2
SMALL_QUESTIONS = 5


def locomo(data: Path) -> list[Sample]:
    """Two whole conversations."""
    return load_benchmark("locomo", Options(data=data / "locomo" / "locomo_dev2.json"))


def longmemeval(data: Path) -> list[Sample]:
    """Sixty questions, ten of each type."""
    path = data / "longmemeval" / "longmemeval_oracle_dev60.jsonl.gz"
    return load_benchmark("longmemeval:oracle", Options(data=path))


def memoryagentbench(path: Path, sources: tuple[str, ...] = ()) -> list[Sample]:
    """Records of a file, all or those of the named sources."""
    samples = load_benchmark("memoryagentbench", Options(data=path))
    return [one for one in samples if not sources or one.source.partition("/")[2] in sources]


def factconsolidation(data: Path) -> list[Sample]:
    """The official records of 6,000 tokens."""
    return memoryagentbench(data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz")


def icl_trec(data: Path) -> list[Sample]:
    """The official record with 6,600 labelled questions."""
    return memoryagentbench(data / "memoryagentbench" / "Test_Time_Learning.dev.jsonl.gz")


def lexeval(data: Path) -> list[Sample]:
    """The test questions."""
    return load_benchmark("memorybench:LexEval-QA", Options(data=data / "memorybench_raw"))


def mab_like(data: Path) -> list[Sample]:
    """Four made records that fit a few minutes."""
    return [
        sample
        for name, sources in MADE.items()
        for sample in memoryagentbench(data / "mab_like" / f"{name}.jsonl.gz", sources)
    ]


def locomo_small(data: Path) -> list[Sample]:
    """The beginning of a conversation, with the questions that it answers."""
    sample = next(one for one in locomo(data) if one.sample_id == "conv-30")
    sessions = {f"D{number}" for number in range(1, SMALL_SESSIONS + 1)}

    def early(ids: tuple[str, ...]) -> bool:
        return bool(ids) and {one.partition(":")[0] for one in ids} <= sessions

    asked = [one for one in sample.questions if early(one.evidence)]
    adversarial = [one for one in asked if one.category == "adversarial"][:SMALL_ADVERSARIAL]
    chosen = [one for one in asked if one.category != "adversarial" or one in adversarial]
    chunks = tuple(chunk for chunk in sample.chunks if early(chunk.source_ids))
    return [replace(sample, sample_id="conv-30-beginning", chunks=chunks, questions=tuple(chosen))]


def mab_like_small(data: Path) -> list[Sample]:
    """The conflict record of the smallest file."""
    return memoryagentbench(
        data / "mab_like" / "fixture_tiny.jsonl.gz", ("factconsolidation_sh_trex_fixture",)
    )


def lexeval_small(data: Path) -> list[Sample]:
    """The shortest questions: Chinese costs a small English vocabulary a few tokens a character."""
    (sample,) = lexeval(data)

    def length(question: Question) -> int:
        return len(question.text)

    return [replace(sample, questions=tuple(sorted(sample.questions, key=length)[:SMALL_QUESTIONS]))]


Sets = Mapping[str, Callable[[Path], list[Sample]]]
WHOLE: Sets = {
    "locomo": locomo,
    "factconsolidation": factconsolidation,
    "mab_like": mab_like,
    "longmemeval": longmemeval,
    "lexeval": lexeval,
    "icl_trec": icl_trec,
}
SMALL: Sets = {"locomo_small": locomo_small, "mab_like_small": mab_like_small, "lexeval_small": lexeval_small}


def main() -> None:
    """Write the files and say what is in them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="the three small sets only")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"{options.data} is missing: give the data folder with --data, or set MEMQUARTET_DATA")
    options.out.mkdir(parents=True, exist_ok=True)
    count = default_counter().count
    for name, load in (SMALL if options.small else WHOLE).items():
        samples = load(options.data)
        save_samples(options.out / f"{name}.jsonl", samples)
        row = {
            "set": name,
            "samples": len(samples),
            "chunks": sum(len(sample.chunks) for sample in samples),
            "tokens": sum(count(chunk.text) for sample in samples for chunk in sample.chunks),
            "questions": sum(len(sample.questions) for sample in samples),
            "fingerprint": fingerprint(samples),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
