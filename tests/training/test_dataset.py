from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.core.samples import Chunk, Sample
from memquartet.errors import InputError
from memquartet.training.dataset import Split, build_dataset, decode_sample, encode_sample

parquet = pytest.importorskip("pyarrow.parquet", reason="parquet files come with the extra train")


def test_a_sample_comes_back_as_it_was() -> None:
    chunk = Chunk(text="Grüße 🙂", index=0, time=datetime(2024, 1, 2, 3, 4, tzinfo=UTC), source_ids=("D1:1",))
    plain = Sample(sample_id="s", chunks=(chunk,), questions=())
    (generated,) = make_worlds(WorldKind.CONFLICT, 1, 1)
    assert decode_sample(encode_sample(plain)) == plain
    assert decode_sample(encode_sample(generated)) == generated


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"sample_id": 3, "chunks": [], "questions": []}'])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        decode_sample(text)


def test_rows_carry_their_sample_and_the_manifest_says_what_they_are(tmp_path: Path) -> None:
    samples = list(make_worlds(WorldKind.CONFLICT, 5, 3))
    path = tmp_path / "deep" / "train.parquet"
    manifest = build_dataset(samples, path, split=Split.TRAIN, seed=5)
    rows = parquet.read_table(path).to_pylist()
    assert [decode_sample(row["extra_info"]["sample"]) for row in rows] == samples
    assert {row["agent_name"] for row in rows} == {"memquartet"}
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 2]
    assert {row["extra_info"]["split"] for row in rows} == {"train"}
    written = json.loads((tmp_path / "deep" / "train.parquet.json").read_text(encoding="utf-8"))
    assert written["sources"] == {"world-stream": 3}
    assert (written["seed"], written["samples"], written["questions"]) == (5, 3, manifest.questions)
    again = build_dataset(samples, tmp_path / "b.parquet", split=Split.TRAIN, seed=5)
    assert again.digest == manifest.digest
    other = build_dataset(samples[::-1], tmp_path / "b.parquet", split=Split.TRAIN, seed=5)
    assert other.digest != manifest.digest


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        build_dataset([], tmp_path / "a.parquet", split=Split.TRAIN, seed=0)
