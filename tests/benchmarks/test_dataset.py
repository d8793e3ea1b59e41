from __future__ import annotations

import dataclasses
import gzip
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.benchmarks.dataset import load_samples, save_samples
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError, StoreError

# JSON has no lone surrogates, and NUL is refused.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
times = st.none() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=4,
)
extras = st.dictionaries(text, json_values, max_size=2)
texts = st.lists(text, max_size=3).map(tuple)
chunks = st.builds(Chunk, text=text, index=st.integers(0, 99), time=times, source_ids=texts, query=text)
questions = st.builds(
    Question,
    question_id=text,
    text=text,
    answers=texts,
    category=text,
    evidence=texts,
    time=times,
    extra=extras,
)
samples = st.builds(
    Sample,
    sample_id=text,
    chunks=st.lists(chunks, max_size=2).map(tuple),
    questions=st.lists(questions, max_size=2).map(tuple),
    source=text,
    metric=text,
    extra=extras,
)

MINIMAL = '{"format":"memquartet.sample/1","sample_id":"s","chunks":[],"questions":[]%s}'


def sample(**changes: object) -> Sample:
    return dataclasses.replace(Sample(sample_id="s", chunks=(), questions=()), **changes)  # type: ignore[arg-type]  # any field


@given(st.lists(samples, min_size=1, max_size=3))
def test_saved_samples_load_to_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, given_samples: list[Sample]
) -> None:
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    save_samples(path, given_samples)
    assert load_samples(path) == given_samples


def test_gzip_loads_as_well(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress((MINIMAL % "").encode()))
    assert load_samples(path) == [sample()]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (',"evidnce":[]', "field 'evidnce': Extra inputs are not permitted"),
        (',"metric":7', "field 'metric': Input should be a valid string, given 7"),
        (
            ',"chunks":[{"text":"x","index":0,"time":"2024-05-08T10:00:00"}]',
            "field 'chunks[0].time': Input should have timezone info",
        ),
        (',"chunks":[{"text":"x","index":-1}]', "field 'chunks[0].index'"),
        (',"format":"memquartet.sample/2"', "field 'format': Input should be 'memquartet.sample/1'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(tmp_path: Path, more: str, expected: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(MINIMAL % "" + "\n" + MINIMAL % more, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_samples(path)
    assert str(caught.value).startswith(f"{path}:2: {expected}")


def cyclic() -> dict[str, object]:
    extra: dict[str, object] = {}
    extra["self"] = extra
    return extra


def deep() -> dict[str, object]:
    extra: dict[str, object] = {}
    for _ in range(10_000):
        extra = {"in": extra}
    return extra


@pytest.mark.parametrize("extra", [cyclic(), deep(), {"x": object()}, {"x": float("nan")}])
def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(
    tmp_path: Path, extra: dict[str, object]
) -> None:
    path = tmp_path / "samples.jsonl"
    save_samples(path, [sample()])
    with pytest.raises(InputError, match="sample 's' cannot be written as JSON"):
        save_samples(path, [sample(), sample(extra=extra)])
    assert load_samples(path) == [sample()]
    assert list(tmp_path.iterdir()) == [path]


def test_a_time_without_a_zone_is_refused_when_saving(tmp_path: Path) -> None:
    chunk = Chunk(text="x", index=0, time=datetime(2024, 5, 8, 10, 0))  # noqa: DTZ001  # the fault under test
    with pytest.raises(InputError, match="needs a zone"):
        save_samples(tmp_path / "samples.jsonl", [sample(chunks=(chunk,))])


def test_a_missing_folder_is_a_failure_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        save_samples(tmp_path / "nowhere" / "samples.jsonl", [])
