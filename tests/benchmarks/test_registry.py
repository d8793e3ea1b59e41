from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memquartet.benchmarks.dataset import save_samples
from memquartet.benchmarks.demo import load_demo
from memquartet.benchmarks.registry import (
    Format,
    dataset_names,
    detect_format,
    load_dataset,
    read_chunks,
    register_dataset,
)
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize
from memquartet.text.tokens import default_counter

SIZE = ChunkSize(tokens=100, count=len)
LOCOMO = {
    "sample_id": "c1",
    "conversation": {
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "Hi!"}],
    },
    "qa": [],
}


def write(folder: Path, content: str) -> Path:
    path = folder / "file"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_demo_tells_of_changes_deletions_and_what_nobody_said() -> None:
    (demo,) = load_dataset("demo")
    assert [demo] == load_demo()
    assert sum(len(chunk.source_ids) for chunk in demo.chunks) == 55
    assert all(chunk.text.count("\n") == len(chunk.source_ids) for chunk in demo.chunks)
    assert [question.category for question in demo.questions].count("changed") == 3
    assert [question.text for question in demo.questions if not question.answers] == [
        "What is the name of Mira's cat?"
    ]
    spoken = {name for chunk in demo.chunks for name in chunk.source_ids}
    assert all(spoken >= set(question.evidence) for question in demo.questions)
    times = [chunk.time for chunk in demo.chunks if chunk.time]
    assert times == sorted(times)
    assert times[0] == datetime(2024, 3, 4, 18, 30, tzinfo=UTC)
    assert max(default_counter().count(chunk.text) for chunk in demo.chunks) <= 512


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (json.dumps([LOCOMO], indent=2), Format.LOCOMO),
        (json.dumps(LOCOMO), Format.LOCOMO),
        ('{"format": "memquartet.sample/1"}', Format.SAMPLES),
        ('{"haystack_sessions": [], "question": ""}', Format.LONGMEMEVAL),
        ('{"context": "", "questions": [], "answers": [], "metadata": {}}', Format.MEMORYAGENTBENCH),
        ('\n{"role": "user", "content": "Hi!"}', Format.CHAT),
        ("Dear diary,", Format.TEXT),
        ("[2024-05-08] Ann: Hello!", Format.TEXT),
        ("[x] wash the car", Format.TEXT),
    ],
)
def test_a_format_is_told_by_its_content(tmp_path: Path, content: str, format_: Format) -> None:
    assert detect_format(write(tmp_path, content)) is format_


@pytest.mark.parametrize("content", ['{"foo": 1}', "[]", '[{"foo": 1}]'])
def test_json_in_no_known_form_is_refused_with_the_formats(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"JSON in no known form.*expected one of samples, locomo"):
        detect_format(write(tmp_path, content))


def test_json_can_be_read_as_text_when_told_so(tmp_path: Path) -> None:
    (sample,) = load_dataset(write(tmp_path, '{"foo": 1}'), Format.TEXT)
    assert [chunk.text for chunk in sample.chunks] == ['{"foo": 1}\n']
    assert sample.questions == ()


def test_a_chat_becomes_one_sample_without_questions(tmp_path: Path) -> None:
    (sample,) = load_dataset(write(tmp_path, '{"role": "user", "content": "Hi!"}'), size=SIZE)
    assert (sample.sample_id, sample.source, sample.chunks[0].text) == ("file", "chat", "user: Hi!")


def test_saved_samples_are_read_back_by_their_path(tmp_path: Path) -> None:
    save_samples(tmp_path / "file", load_demo())
    assert load_dataset(str(tmp_path / "file")) == load_demo()


def test_two_samples_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample ids must differ, given 'c1' more than once"):
        load_dataset(write(tmp_path, json.dumps([LOCOMO, LOCOMO])))


def test_the_chunks_of_several_samples_are_numbered_through(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps([LOCOMO, {**LOCOMO, "sample_id": "c2"}]))
    assert [chunk.index for chunk in read_chunks(path, size=SIZE)] == [0, 1]


def test_what_is_neither_a_name_nor_a_file_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match="no data set 'demmo': give a file, or one of the names 'demo'"):
        load_dataset("demmo")


def test_a_registered_name_is_never_overwritten() -> None:
    with pytest.raises(ConfigError, match="'demo' is already registered"):
        register_dataset("demo", list)
    assert load_dataset("demo") == load_demo()


def test_a_registered_data_set_is_loaded_by_its_name() -> None:
    sample = Sample(sample_id="mine", chunks=(), questions=())
    register_dataset("mine-for-this-test", lambda: [sample])
    assert load_dataset("mine-for-this-test") == [sample]
    assert dataset_names() == ["demo", "mine-for-this-test"]
