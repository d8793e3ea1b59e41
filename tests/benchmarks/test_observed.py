from __future__ import annotations

import json
from pathlib import Path

import pytest

from memquartet.benchmarks.worlds.observed import observed_samples
from memquartet.benchmarks.worlds.truth import answer_from, asked_by, truth_of
from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.training.demonstration_sets import observed_demonstrations
from memquartet.training.settings import TrainingSettings

TALK = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "I went to a support group yesterday."},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "Nice! My cat Tom broke a vase."},
            {"speaker": "Ann", "dia_id": "D1:3", "text": "Poor you."},
        ],
    },
    "observation": {
        "session_1_observation": {
            "Ann": [["Ann went to a support group.", "D1:1"]],
            "Bo": [["Bo has a cat called Tom.", ["D1:2"]], ["Bo lost a vase to the cat Tom.", "D1:2"]],
        }
    },
    "qa": [
        {"question": "What did Ann go to?", "answer": "a support group", "evidence": ["D1:1"], "category": 4},
        {"question": "When was that?", "answer": "7 May 2023", "evidence": ["D1:1"], "category": 2},
        {"question": "Who is Tom?", "answer": "a grumpy neighbour", "evidence": ["D1:2"], "category": 4},
        {"question": "What did Bo go to?", "adversarial_answer": "x", "evidence": ["D1:1"], "category": 5},
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talks.json"
    path.write_text(json.dumps([{**TALK, "sample_id": "conv-0"}, TALK]), encoding="utf-8")
    return path


def test_observations_are_the_truth_of_the_chunk_that_says_them(file: Path) -> None:
    (sample,) = observed_samples(file, "conv-1", 1)
    assert [fact.text for fact in truth_of(sample)] == [
        "Ann went to a support group.",
        "Bo has a cat called Tom.",
        "Bo lost a vase to the cat Tom.",
    ]
    assert [fact.kind for fact in truth_of(sample)] == ["episodic", "semantic", "episodic"]


def test_only_questions_are_kept_whose_answer_an_observation_says_or_nothing_does(file: Path) -> None:
    (sample,) = observed_samples(file, "conv-1", 1)
    assert [question.text for question in sample.questions] == ["What did Ann go to?", "What did Bo go to?"]
    answers = [answer_from(truth_of(sample), asked_by(question)) for question in sample.questions]
    assert answers == ["a support group", None]
    assert answer_from((), asked_by(sample.questions[0])) is None


def test_a_conversation_gives_extractions_and_answers_to_learn_from(file: Path) -> None:
    shown = observed_demonstrations(file, "conv-1", 3, TrainingSettings(max_searches=1))
    assert {one.role for one in shown} == {Role.EXTRACTOR, Role.ANSWERER}
    outputs = {one.output for one in shown if one.role is Role.ANSWERER}
    assert {"a support group", "no information available"} <= outputs


def test_a_conversation_that_the_file_does_not_hold_is_named(file: Path) -> None:
    with pytest.raises(InputError, match="conv-0, conv-1"):
        next(observed_samples(file, "conv-7", 1))


def test_a_conversation_without_observations_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "talks.json"
    path.write_text(json.dumps([{**TALK, "observation": {}}]), encoding="utf-8")
    with pytest.raises(InputError, match="no observations"):
        next(observed_samples(path, "conv-1", 1))


@pytest.mark.data
def test_a_real_conversation_is_cut_in_different_ways(data: Path) -> None:
    one, two = observed_samples(data / "locomo" / "locomo_dev2.json", "conv-26", 2)
    assert len(truth_of(one)) > 150
    assert one.chunks != two.chunks
    assert len(one.questions) == len(two.questions)
