from __future__ import annotations

from pathlib import Path

import pytest

from memquartet.benchmarks.memoryagentbench.records import matches, read
from memquartet.benchmarks.reading import Record
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize

ROW: dict[str, object] = {
    "context": "Here is a list of facts:\n0. Ann lives in Leeds.\n1. Ann lives in Bristol.",
    "questions": ["Where does Ann live?"],
    "answers": [["Bristol", "in Bristol"]],
    "metadata": {"source": "factconsolidation_sh_6k", "qa_pair_ids": ["p1"], "demo": None},
}


def loaded(**changes: object) -> Sample:
    record = Record(place="x:1", value={**ROW, **changes})
    assert matches(record.value)
    (sample,) = read([record], ChunkSize(tokens=40, count=len))
    return sample


def test_the_context_is_cut_after_sentences_and_loses_nothing() -> None:
    sample = loaded()
    assert "".join(chunk.text for chunk in sample.chunks) == ROW["context"]
    assert len(sample.chunks) > 1
    assert all(chunk.text.endswith((":\n", ".\n", ".")) for chunk in sample.chunks)


def test_a_question_keeps_its_id_and_all_its_answers() -> None:
    (question,) = loaded().questions
    assert (question.question_id, question.answers) == ("p1", ("Bristol", "in Bristol"))


@pytest.mark.parametrize(
    ("source", "metric"),
    [
        ("factconsolidation_mh_262k", "substring_exact_match"),
        ("ruler_qa1_197K", "substring_exact_match"),
        ("icl_banking77_5900shot_balance", "integer_match"),
        ("detective_qa", "option_match"),
    ],
)
def test_the_source_decides_the_metric(source: str, metric: str) -> None:
    assert loaded(metadata={"source": source}).metric == metric


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"metadata": {"source": "poems"}},
            "x:1, field 'metadata.source': no source 'poems' is known, expected one that begins with ruler_qa",
        ),
        ({"answers": []}, "x:1: expected 1 answers, one a question, given 0"),
        ({"answers": ["Bristol"]}, "field 'answers[0]': Input should be a valid list"),
    ],
)
def test_a_wrong_record_is_refused_with_its_place(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(**changes)
    assert expected in str(caught.value)


@pytest.mark.data
def test_the_development_records_load(data: Path) -> None:
    samples = load_dataset(data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz")
    assert [len(sample.questions) for sample in samples] == [100, 100]
