from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memquartet.benchmarks.locomo import matches, read
from memquartet.benchmarks.reading import Record
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize
from memquartet.text.tokens import default_counter

WIDE = ChunkSize(tokens=10_000, count=len)
TURN = {"speaker": "Ann", "dia_id": "D1:1", "text": "Hi Bob!"}
CONVERSATION: dict[str, object] = {
    "speaker_a": "Ann",
    "speaker_b": "Bob",
    "session_1_date_time": "1:56 pm on 8 May, 2023",
    "session_1": [TURN, {"speaker": "Bob", "dia_id": "D1:2", "text": "Hello.", "blip_caption": "a red bowl"}],
    "session_2_date_time": "12:09 am on 7 May, 2023",
    "session_2": [{"speaker": "Bob", "dia_id": "D2:1", "text": "First of all."}],
    "session_3_date_time": "12:09 am on 9 May, 2023",
}
QA: dict[str, object] = {"question": "When?", "answer": 2022, "evidence": ["D1:1"], "category": 2}


def loaded(
    conversation: dict[str, object] = CONVERSATION,
    qa: tuple[dict[str, object], ...] = (QA,),
    size: ChunkSize = WIDE,
) -> Sample:
    record = Record(
        place="x.json[0]", value={"sample_id": "c1", "conversation": conversation, "qa": list(qa)}
    )
    assert matches(record.value)
    (sample,) = read([record], size)
    return sample


def test_sessions_come_in_time_order_under_their_date() -> None:
    first, second = loaded().chunks
    assert first.text == "[Sunday 7 May 2023, 00:09]\nBob: First of all."
    assert first.time == datetime(2023, 5, 7, 0, 9, tzinfo=UTC)
    assert second.text == (
        "[Monday 8 May 2023, 13:56]\nAnn: Hi Bob!\nBob: Hello. [shares a photo: a red bowl]"
    )
    assert second.source_ids == ("D1:1", "D1:2")
    assert [first.index, second.index] == [0, 1]


def test_a_session_over_the_size_becomes_several_chunks_each_with_its_date() -> None:
    turns = [{**TURN, "dia_id": f"D1:{n}"} for n in range(1, 9)]
    chunks = loaded({**CONVERSATION, "session_1": turns}, size=ChunkSize(tokens=60, count=len)).chunks
    of_session_1 = [chunk for chunk in chunks if "8 May" in chunk.text]
    assert len(of_session_1) > 1
    assert [one for chunk in of_session_1 for one in chunk.source_ids] == [f"D1:{n}" for n in range(1, 9)]
    assert all(len(chunk.text) <= 60 for chunk in chunks)


def test_an_answer_is_text_and_the_category_has_its_name() -> None:
    (question,) = loaded().questions
    assert (question.question_id, question.answers, question.category) == ("c1:0", ("2022",), "temporal")


def test_an_adversarial_question_has_no_answers_but_keeps_what_the_file_lists() -> None:
    adversarial = {**QA, "category": 5, "adversarial_answer": "Yes", "answer": "No"}
    (question,) = loaded(qa=(adversarial,)).questions
    assert question.answers == ()
    assert question.extra == {"adversarial_answer": "Yes", "answer": "No"}


@pytest.mark.parametrize(
    ("raw", "evidence", "unknown"),
    [
        (["D1:1; D2:1"], ("D1:1", "D2:1"), None),
        (["D1:1 D1:2", "D1:1"], ("D1:1", "D1:2"), None),
        (["D:1:2", "D01:01"], ("D1:2", "D1:1"), None),
        (["D", "D9:9"], (), ["D", "D9:9"]),
        ([], (), None),
    ],
)
def test_malformed_evidence_is_cleaned_and_unknown_ids_are_kept_apart(
    raw: list[str], evidence: tuple[str, ...], unknown: list[str] | None
) -> None:
    (question,) = loaded(qa=({**QA, "evidence": raw},)).questions
    assert question.evidence == evidence
    assert question.extra.get("unknown_evidence") == unknown


@pytest.mark.parametrize(
    ("conversation", "qa", "expected"),
    [
        (
            {"session_1_date_time": "8 May"},
            {},
            "x.json[0], field 'conversation.session_1_date_time': expected a time like",
        ),
        ({"session_1_date_time": None}, {}, "given None"),
        ({"session_1_date_time": "1:56 pm on 31 June, 2023"}, {}, "given '1:56 pm on 31 June, 2023'"),
        ({"session_1": "hello"}, {}, "field 'conversation.session_1': field 'turns'"),
        ({"session_1": [{"speaker": "Ann", "text": "Hi"}]}, {}, "field 'turns[0].dia_id': Field required"),
        ({}, {"category": 6}, "field 'qa[0].category': Input should be less than or equal to 5, given 6"),
        ({}, {"answer": None}, "field 'qa[0]': a question of category 2 needs an answer"),
        ({}, {"evidence": "D1:1"}, "field 'qa[0].evidence': Input should be a valid list, given 'D1:1'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(
    conversation: dict[str, object], qa: dict[str, object], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        loaded({**CONVERSATION, **conversation}, ({**QA, **qa},))
    assert expected in str(caught.value)


@pytest.mark.data
def test_the_development_conversations_load_whole(data: Path) -> None:
    path = data / "locomo" / "locomo_dev2.json"
    samples = load_dataset(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert [sample.sample_id for sample in samples] == ["conv-26", "conv-30"]
    questions = [question for sample in samples for question in sample.questions]
    assert len(questions) == 304
    assert Counter(question.category for question in questions) == {
        "single-hop": 114,
        "adversarial": 71,
        "temporal": 63,
        "multi-hop": 43,
        "open-domain": 13,
    }
    assert sum(not question.evidence for question in questions) == 2
    count = default_counter().count
    for sample, one in zip(samples, raw, strict=True):
        told = "\n".join(chunk.text for chunk in sample.chunks)
        turns = [turn for value in one["conversation"].values() if isinstance(value, list) for turn in value]
        assert all(f"{turn['speaker']}: {turn['text']}" in told for turn in turns)
        assert {turn["dia_id"] for turn in turns} == {
            name for chunk in sample.chunks for name in chunk.source_ids
        }
        assert max(count(chunk.text) for chunk in sample.chunks) <= 512
        times = [chunk.time for chunk in sample.chunks if chunk.time]
        assert times == sorted(times)
