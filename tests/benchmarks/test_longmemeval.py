from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memquartet.benchmarks.longmemeval import matches, read
from memquartet.benchmarks.reading import Record
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize

WIDE = ChunkSize(tokens=10_000, count=len)
ROW: dict[str, object] = {
    "question_id": "q1",
    "question_type": "knowledge-update",
    "question": "How many?",
    "answer": 7,
    "question_date": "2023/06/18 (Sun) 14:57",
    "haystack_dates": ["2023/06/17 (Sat) 00:29", "2023/06/11 (Sun) 05:12"],
    "haystack_session_ids": ["late", "early"],
    "haystack_sessions": [
        [{"role": "user", "content": "Seven now.", "has_answer": True}],
        [{"role": "user", "content": "Six."}, {"role": "assistant", "content": "Fine."}],
    ],
    "answer_session_ids": ["late"],
}


def loaded(**changes: object) -> Sample:
    record = Record(place="x:1", value={**ROW, **changes})
    assert matches(record.value)
    (sample,) = read([record], WIDE)
    return sample


def test_sessions_come_by_date_and_carry_their_ids() -> None:
    early, late = loaded().chunks
    assert early.text == "[Sunday 11 June 2023, 05:12]\nuser: Six.\nassistant: Fine."
    assert early.source_ids == ("early", "early_1", "early_2")
    assert late.time == datetime(2023, 6, 17, 0, 29, tzinfo=UTC)


def test_the_question_keeps_its_date_evidence_and_text_answer() -> None:
    (question,) = loaded().questions
    assert question.answers == ("7",)
    assert question.evidence == ("late",)
    assert question.extra["evidence_turns"] == ["late_1"]
    assert question.time == datetime(2023, 6, 18, 14, 57, tzinfo=UTC)


def test_an_abstention_has_no_answers() -> None:
    (question,) = loaded(question_id="q1_abs", answer="You never said.").questions
    assert (question.answers, question.category) == ((), "abstention")
    assert question.extra["answer"] == "You never said."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"haystack_dates": []}, "x:1: expected as many haystack_dates"),
        ({"question_date": "today"}, "x:1, field 'question_date': expected a time like"),
        (
            {"haystack_dates": ["2023/02/30 (Sun) 01:00"] * 2},
            "field 'haystack_dates[0]': expected a time like",
        ),
        ({"haystack_sessions": [[{"role": "user"}], []]}, "field 'haystack_sessions[0][0].content'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(**changes)
    assert expected in str(caught.value)


@pytest.mark.data
def test_the_development_questions_load(data: Path) -> None:
    samples = load_dataset(data / "longmemeval" / "longmemeval_oracle_dev60.jsonl.gz")
    assert len(samples) == 60
    for sample in samples:
        times = [chunk.time for chunk in sample.chunks if chunk.time]
        assert times == sorted(times)
        found = {name for chunk in sample.chunks for name in chunk.source_ids}
        assert found >= set(sample.questions[0].evidence)
