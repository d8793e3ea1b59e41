from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.benchmarks.chatlog import read_chat, read_text
from memquartet.benchmarks.reading import Record, read_records
from memquartet.core.samples import Chunk
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize

WIDE = ChunkSize(tokens=1000, count=len)


def chat(*messages: dict[str, object], size: ChunkSize = WIDE) -> list[Chunk]:
    records = [Record(place=f"chat.jsonl:{n}", value=message) for n, message in enumerate(messages, 1)]
    return list(read_chat(records, size))


def text_file(folder: Path, content: str) -> Path:
    path = folder / "notes.txt"
    path.write_text(content, encoding="utf-8", newline="")
    return path


def test_messages_become_lines_with_their_speaker() -> None:
    (chunk,) = chat({"speaker": "Ann", "text": "Hi!"}, {"role": "user", "content": "Hello."})
    assert chunk.text == "Ann: Hi!\nuser: Hello."
    assert chunk.source_ids == ("chat.jsonl:1", "chat.jsonl:2")
    assert chunk.time is None


def test_a_new_day_begins_a_new_chunk_that_names_it() -> None:
    first, second = chat(
        {"speaker": "Ann", "text": "Hi!", "time": "2024-05-08T23:59:00"},
        {"speaker": "Bob", "text": "Morning.", "timestamp": "2024-05-09T00:01:00+02:00"},
        {"speaker": "Ann", "text": "No time given."},
    )
    assert first.text == "[Wednesday 8 May 2024]\nAnn: Hi!"
    assert first.time == datetime(2024, 5, 8, 23, 59, tzinfo=UTC)
    assert second.text == "[Thursday 9 May 2024]\nBob: Morning.\nAnn: No time given."
    assert second.time == datetime(2024, 5, 9, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert [first.index, second.index] == [0, 1]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="A"), max_size=40), st.integers(0, 3)
        ),
        max_size=10,
    ).map(lambda rows: sorted(rows, key=lambda row: row[1]))
)
def test_no_message_is_lost_and_chunks_keep_their_size(rows: list[tuple[str, int]]) -> None:
    size = ChunkSize(tokens=60, count=len)
    messages: list[dict[str, object]] = [
        {"speaker": "A", "text": text, "time": f"2024-05-0{day + 1}T10:00:00"} for text, day in rows
    ]
    chunks = chat(*messages, size=size)
    bodies = "".join(chunk.text.split("\n", 1)[1] for chunk in chunks)
    # Every part of a message that was cut names the speaker.
    assert bodies.replace("\n", "").replace("A: ", "") == "".join(text for text, _ in rows).replace("\n", "")
    assert bodies.count("A: ") >= len(rows)
    assert all(len(chunk.text) <= 60 for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))


def test_a_cut_message_lends_its_place_and_its_speaker_to_every_part() -> None:
    chunks = chat({"speaker": "Ann", "text": "word " * 30}, size=ChunkSize(tokens=50, count=len))
    assert len(chunks) > 1
    assert {chunk.source_ids for chunk in chunks} == {("chat.jsonl:1",)}
    assert all(chunk.text.startswith("Ann: word") and len(chunk.text) <= 50 for chunk in chunks)
    assert "".join(chunk.text.removeprefix("Ann: ") for chunk in chunks) == "word " * 30


def test_a_size_without_room_beside_the_date_is_refused() -> None:
    with pytest.raises(ConfigError, match="no room beside the head"):
        chat({"speaker": "A", "text": "x", "time": "2024-05-08"}, size=ChunkSize(tokens=10, count=len))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"speaker": "Ann"}, "chat.jsonl:1: field 'text': Field required"),
        ({"text": "Hi!"}, "chat.jsonl:1: field 'speaker': Field required"),
        ({"speaker": "Ann", "text": None}, "field 'text': Input should be a valid string, given None"),
        ({"speaker": "Ann", "text": ["Hi!"]}, "field 'text': Input should be a valid string, given ['Hi!']"),
        (
            {"speaker": "Ann", "text": "Hi!", "time": "yesterday"},
            "field 'time': expected an ISO 8601 time like '2024-05-08T09:30:00', given 'yesterday'",
        ),
    ],
)
def test_a_message_in_another_form_is_refused(message: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        chat(message)
    assert expected in str(caught.value)


@given(st.lists(st.text(alphabet="ab .\n", max_size=30), min_size=1, max_size=8).map("\n".join))
def test_the_chunks_of_a_text_joined_are_the_text(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = text_file(tmp_path_factory.mktemp("text"), f"first\n{text}")
    chunks = list(read_text(path, ChunkSize(tokens=20, count=len)))
    joined = "".join(chunk.text for chunk in chunks)
    assert joined.split() == f"first\n{text}".split()
    assert all(len(chunk.text) <= 20 for chunk in chunks)


def test_a_text_chunk_names_its_lines(tmp_path: Path) -> None:
    path = text_file(tmp_path, "one\r\ntwo\r\nthree")
    chunks = list(read_text(path, ChunkSize(tokens=8, count=len)))
    assert [(chunk.text, chunk.source_ids) for chunk in chunks] == [
        ("one\ntwo\n", ("notes.txt:1-2",)),
        ("three\n", ("notes.txt:3",)),
    ]


def test_a_long_line_of_a_text_that_names_its_speaker_keeps_the_name_in_every_chunk(tmp_path: Path) -> None:
    path = text_file(tmp_path, "Ann: I moved. I live in Oslo.\nBob: Oh.")
    chunks = list(read_text(path, ChunkSize(tokens=24, count=len)))
    assert [chunk.text for chunk in chunks] == ["Ann: I moved. ", "Ann: I live in Oslo.\n", "Bob: Oh.\n"]


def test_a_text_of_white_space_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing but white space"):
        list(read_text(text_file(tmp_path, " \n\t\n"), WIDE))


def test_one_line_of_50_mb_is_read_whole(tmp_path: Path) -> None:
    line = "x" * 50_000_000
    size = ChunkSize(tokens=20_000, count=lambda text: -(-len(text) // 4))
    chunks = list(read_text(text_file(tmp_path, line), size))
    assert sum(len(chunk.text) for chunk in chunks) == len(line) + 1
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"role": "user", "content": line}), encoding="utf-8")
    chunks = list(read_chat(read_records(path), size))
    assert sum(len(chunk.text.removeprefix("user: ")) for chunk in chunks) == len(line)
