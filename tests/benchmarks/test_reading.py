from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from memquartet.benchmarks import reading
from memquartet.benchmarks.reading import Record, Row, checked, parse_json, read_lines, read_records
from memquartet.errors import InputError


def write(folder: Path, content: bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(read_lines(path))
    return str(caught.value)


def test_lines_are_numbered_from_1_and_come_without_their_ends(tmp_path: Path) -> None:
    path = write(tmp_path, b"one\r\ntwo\n\nfour")
    assert list(read_lines(path)) == [(1, "one"), (2, "two"), (3, ""), (4, "four")]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path, b"\xef\xbb\xbfone"))) == [(1, "one")]


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path, gzip.compress("é\n".encode())))) == [(1, "é")]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"")
    assert complaint(path) == f"{path}: the file is empty, expected text or JSON"


def test_invalid_utf8_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, b"fine\nna\xefve\n")
    assert complaint(path).startswith(f"{path}:2: not UTF-8 at byte 3 of the line (0xef): convert the file")


def test_utf16_is_named(tmp_path: Path) -> None:
    assert "this is UTF-16, expected UTF-8" in complaint(write(tmp_path, "one".encode("utf-16")))


def test_a_nul_byte_is_refused_with_its_place(tmp_path: Path) -> None:
    assert ":2: NUL byte at byte 3 of the line" in complaint(write(tmp_path, b"one\ntw\0o\n"))


def test_a_line_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 10)
    assert ":2: the line is longer than 10 bytes" in complaint(write(tmp_path, b"0123456\n01234567890\n"))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "nowhere.txt: cannot be read: No such file" in complaint(tmp_path / "nowhere.txt")
    assert "cannot be read: Is a directory" in complaint(tmp_path)


def test_a_cut_off_gzip_file_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"one two three four five six seven eight\n" * 100)
    assert "cannot be read" in complaint(write(tmp_path, packed[:-20]))


def test_records_come_from_jsonl_and_from_an_array_alike(tmp_path: Path) -> None:
    lines = write(tmp_path, b'\n{"a": 1}\n\n{"a": 2}\n', "lines.jsonl")
    array = write(tmp_path, b'[\n {"a": 1},\n {"a": 2}\n]', "array.json")
    assert [record.value for record in read_records(lines)] == [{"a": 1}, {"a": 2}]
    assert [record.value for record in read_records(array)] == [{"a": 1}, {"a": 2}]
    assert [record.place for record in read_records(lines)] == [f"{lines}:2", f"{lines}:4"]
    assert [record.place for record in read_records(array)] == [f"{array}[0]", f"{array}[1]"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": 1', ":1: expected JSON, EOF while parsing"),
        (b"7", ":1: expected a JSON object, given 7"),
        (b'{"a": NaN}', ":1: expected JSON"),
        (b'{"a": "x\\u0000"}', ":1: a string holds a NUL character"),
        (b'{"a": "\\ud800"}', ":1: expected JSON"),
        (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", ":1: expected JSON, recursion limit exceeded"),
        (b"[" * 10_000, "[0]: expected JSON, recursion limit exceeded"),
        (b"[1]", "[0]: expected a JSON object, given 1"),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place(tmp_path: Path, line: bytes, expected: str) -> None:
    path = write(tmp_path, line)
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    assert f"{path}{expected}" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert parse_json(r'"\\u0000"', "here") == r"\u0000"


class Example(Row):
    name: str
    tags: list[str] = []  # noqa: RUF012  # pydantic copies it


def test_a_complaint_names_place_field_expected_and_given() -> None:
    record = Record(place="x.json:3", value={"name": "a", "tags": ["b", 7]})
    with pytest.raises(InputError) as caught:
        checked(Example, record)
    assert str(caught.value) == "x.json:3: field 'tags[1]': Input should be a valid string, given 7"


def test_a_missing_field_is_named_without_the_whole_record() -> None:
    with pytest.raises(InputError) as caught:
        checked(Example, Record(place="x.json:3", value={"other": "y" * 1000}))
    assert str(caught.value) == "x.json:3: field 'name': Field required"


def test_of_many_faults_the_first_are_told_and_the_rest_counted() -> None:
    record = Record(place="x", value={"name": "a", "tags": [1, 2, 3, 4, 5]})
    with pytest.raises(InputError, match="and 2 more"):
        checked(Example, record)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": 1}', ": expected a JSON array that goes on with ',', given the end of the file"),
        (b'[{"a": 1} {"a": 2}]', ": expected a JSON array that goes on with ',', given '{'"),
        (b'[{"a": 1},]', "[1]: expected JSON"),
        (b'[{"a": 1}] x', ": expected nothing after the JSON array, given 'x'"),
        (b'[{"a": "na\xefve"}]', ": not UTF-8 after byte 0"),
        (b'[{"a": 1}, {"a": "unended', "[1]: expected JSON"),
    ],
)
def test_a_broken_array_is_refused_with_its_place(tmp_path: Path, content: bytes, expected: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    assert f"{path}{expected}" in str(caught.value)


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_an_array_is_read_item_by_item_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(reading, "_BLOCK_BYTES", block)
    values = [{"a": 'é]}\\"[{,'}, {}, {"b": [1, [2]], "c": {"d": None}}]
    path = write(tmp_path, b"\xef\xbb\xbf \n" + json.dumps(values, ensure_ascii=False, indent=1).encode())
    assert [record.value for record in read_records(path)] == values
    assert list(read_records(write(tmp_path, b" [ ] "))) == []


def test_an_item_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 8)
    path = write(tmp_path, b'[{"a": 1}, {"a": "%s"}]' % (b"x" * 50))
    with pytest.raises(InputError, match=r"\[1\]: the item is longer than 10 characters"):
        list(read_records(path))
