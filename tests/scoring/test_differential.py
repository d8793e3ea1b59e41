from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.scoring import rederived

from memquartet.benchmarks.memoryagentbench.records import read
from memquartet.benchmarks.memorybench.loading import load_memory_bench
from memquartet.benchmarks.reading import read_records
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Question, Sample
from memquartet.scoring.locomo import locomo_f1
from memquartet.scoring.memoryagentbench import official_metrics, parsed_answer
from memquartet.scoring.registry import validate
from memquartet.scoring.rouge import chinese_rouge_l
from memquartet.text.chunking import ChunkSize

DATA = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[3] / "shared" / "data"))
WIDE = ChunkSize(tokens=100_000, count=len)

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no development data in {DATA}: set MEMQUARTET_DATA"),
]


def mab_samples() -> list[Sample]:
    files = [*(DATA / "memoryagentbench").glob("*.dev.jsonl.gz"), *(DATA / "mab_like").glob("*.jsonl.gz")]
    return [sample for file in sorted(files) for sample in read(read_records(file), WIDE)]


def replies(questions: tuple[Question, ...], seed: str) -> Iterator[tuple[Question, str]]:
    """For every question: right, decorated, another's answer, a piece of it, and words at random."""
    rng = random.Random(seed)
    words = [word for one in questions for word in (*one.text.split(), *" ".join(one.answers).split())]
    for one, other in pairwise((*questions, questions[0])):
        answer = one.answers[0] if one.answers else "not mentioned"
        yield one, answer
        yield one, f"Well,\nANSWER: Answer: {answer}\nBecause."
        yield one, f"label: {answer}"
        yield one, (other.answers or ("",))[0]
        yield one, answer[: rng.randrange(len(answer) + 1)]
        yield one, "\n".join(" ".join(rng.choices(words, k=rng.randrange(8))) for _ in range(3))


def test_memoryagentbench_agrees_with_its_rules_on_every_record() -> None:
    compared = 0
    for sample in mab_samples():
        for question, reply in replies(sample.questions, sample.sample_id):
            assert parsed_answer(reply) == rederived.after_mark(reply)
            for said in (reply, parsed_answer(reply)):
                wanted = rederived.mab(said, question.answers[0])
                assert official_metrics(said, question.answers[0]) == pytest.approx(wanted, abs=1e-9)
                compared += 1
    assert compared > 20_000


def test_locomo_agrees_with_its_rules_on_every_question() -> None:
    for sample in load_dataset(DATA / "locomo" / "locomo_dev2.json", size=WIDE):
        for question, reply in replies(sample.questions, sample.sample_id):
            wanted = rederived.locomo(reply, (question.answers or ("",))[0], question.category)
            assert locomo_f1(reply, question) == pytest.approx(wanted, abs=1e-9)


def test_chinese_rouge_agrees_with_its_rules() -> None:
    tasks = load_memory_bench("single", "LexEval-QA", data=DATA / "memorybench_raw").test
    for one, other in pairwise(tasks):
        wanted, said = str(one.info["golden_answer"])[:400], str(other.info["golden_answer"])[:400]
        for reply in (wanted, said, said + wanted[:60], wanted[::-1]):
            assert chinese_rouge_l(reply, wanted) == pytest.approx(
                rederived.chinese_rouge(reply, wanted), abs=1e-9
            )


def test_every_memoryagentbench_record_accepts_its_own_answers() -> None:
    assert [failure for failure in validate(mab_samples()) if not failure.explained] == []


def test_every_lexeval_answer_scores_1_but_for_those_too_long_for_the_official_code() -> None:
    dataset = load_memory_bench("single", "LexEval-QA", data=DATA / "memorybench_raw")
    questions = tuple(task.question() for task in (*dataset.train, *dataset.test))
    for metric, failing in (("memorybench_fixed", 0), ("memorybench_official", 1)):
        failures = validate([Sample(sample_id="s", chunks=(), questions=questions, metric=metric)])
        assert len(failures) == failing
        assert all(failure.explained for failure in failures)
