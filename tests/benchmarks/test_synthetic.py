from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.benchmarks.synthetic import ConflictShape, conflict_samples
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError
from memquartet.scoring.registry import validate

shapes = st.builds(
    ConflictShape,
    chunks=st.integers(1, 8),
    lines=st.integers(1, 6),
    subjects=st.integers(1, 6),
    changes=st.floats(0, 1),
    small_talk=st.floats(0, 1),
    questions=st.integers(1, 8),
)


def lines_of(sample: Sample) -> dict[str, str]:
    return {
        source: line
        for chunk in sample.chunks
        for source, line in zip(chunk.source_ids, chunk.text.splitlines(), strict=True)
    }


@given(seed=st.integers(), shape=shapes)
def test_the_last_statement_about_a_subject_holds_the_answer(seed: int, shape: ConflictShape) -> None:
    (sample,) = conflict_samples(1, seed=seed, shape=shape)
    lines = lines_of(sample)
    for question in sample.questions:
        (evidence,), (answer,) = question.evidence, question.answers
        superseded = question.extra["superseded"]
        assert isinstance(superseded, list)
        assert answer in lines[evidence]
        assert str(question.extra["subject"]) in lines[evidence]
        assert answer not in superseded
        order = list(lines)
        for value in superseded:
            said = [
                s for s, line in lines.items() if value in line and str(question.extra["subject"]) in line
            ]
            assert any(order.index(s) < order.index(evidence) for s in said)


@given(seed=st.integers(), shape=shapes)
def test_gold_answers_score_one(seed: int, shape: ConflictShape) -> None:
    assert validate(conflict_samples(2, seed=seed, shape=shape)) == []


def test_equal_seeds_give_equal_samples_wherever_the_count_starts() -> None:
    assert list(conflict_samples(5, seed=3))[2:] == list(conflict_samples(3, seed=3, first=2))
    assert list(conflict_samples(1, seed=3)) != list(conflict_samples(1, seed=4))


def test_without_changes_nothing_is_superseded_while_there_is_something_untold() -> None:
    shape = ConflictShape(chunks=2, lines=2, changes=0.0)
    questions = [q for s in conflict_samples(20, seed=1, shape=shape) for q in s.questions]
    assert questions
    assert all(q.extra["superseded"] == [] and q.category == "stated" for q in questions)


@pytest.mark.parametrize("wrong", [{"chunks": 0}, {"subjects": 99}, {"changes": 1.5}])
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ConflictShape(**wrong)  # type: ignore[arg-type]  # the point of the test
