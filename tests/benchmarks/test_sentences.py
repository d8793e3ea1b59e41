from __future__ import annotations

from pathlib import Path

import pytest

from memquartet.benchmarks.worlds.sentences import read_sentences, sentence_samples
from memquartet.benchmarks.worlds.truth import answer_from, asked_by, truth_of
from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.training.demonstration_sets import asked_demonstrations
from memquartet.training.settings import TrainingSettings

ASKED = [
    ("Which harbour town did Ada Berg paint?", "Lund", "Lund."),
    ("Who painted a harbour town?", "Ada Berg", "the painter"),  # two answers
    ("In which land does she live?", "the U.S.", "the U.S"),
    ("What was it?", "painting", "painting"),  # could be about anything
    ("Where does the painter Ada Berg live", "Lund", "Lund"),  # no question
]
OTHER = [("How many sheep does the farm keep?", "40", "40"), ("Who keeps sheep on a farm?", "the", "the")]


def block(name: str, text: str, asked: list[tuple[str, str, str]]) -> str:
    lines = [f"{question:<50}{first}\t{second}" for question, first, second in asked]
    return "\n".join([f"#{name}", text, *lines]) + "\n\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text(
        block("a:1", "Ada Berg painted the harbour town of Lund.", ASKED)
        + block("b:1", "The farm keeps 40 sheep.", OTHER)
        + block("c:1", "long " * 50, ASKED)
        + block("d:1", "Nobody asked about this.", []),
        encoding="utf-8",
    )
    return path


def test_answers_are_kept_that_two_people_gave_of_sentences_short_enough_to_be_facts(file: Path) -> None:
    one, two = read_sentences(file)
    assert one.asked == (
        ("Which harbour town did Ada Berg paint?", "Lund"),
        ("In which land does she live?", "the U.S."),
        ("What was it?", "painting"),
    )
    assert two.asked == (("How many sheep does the farm keep?", "40"),)


def test_a_question_is_kept_that_points_at_one_sentence_which_is_its_evidence(file: Path) -> None:
    one, two = sentence_samples([file], 2)
    for sample in (one, two):
        found = {question.text: question for question in sample.questions}
        assert found.keys() == {
            "Which harbour town did Ada Berg paint?",
            "How many sheep does the farm keep?",
        }
        assert {fact.text for fact in truth_of(sample)} == set(
            "\n".join(chunk.text for chunk in sample.chunks).splitlines()
        )
        for question in found.values():
            assert answer_from(truth_of(sample), asked_by(question)) == question.answers[0]
            assert answer_from((), asked_by(question)) is None
    assert list(sentence_samples([file], 2)) == [one, two]


def test_sentences_give_extractions_and_answers_to_learn_from(file: Path) -> None:
    shown = asked_demonstrations([file], 1, TrainingSettings())
    assert {one.role for one in shown} == {Role.EXTRACTOR, Role.ANSWERER}
    assert {one.output for one in shown if one.role is Role.ANSWERER} == {"Lund", "40"}


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text("a\tb\n#only a head\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"readable/dev\.tsv"):
        read_sentences(path)
