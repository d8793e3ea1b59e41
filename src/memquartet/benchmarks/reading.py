"""Files from outside: text line by line as UTF-8, JSON, JSONL, parquet; plain or gzip, with limits and exact complaints."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from memquartet.errors import InputError, MissingExtraError

MAX_LINE_BYTES = 64 * 2**20
"""One line of a text or JSONL file."""
MAX_DOCUMENT_BYTES = 512 * 2**20
"""A JSON file that is one array."""

_BOM = b"\xef\xbb\xbf"
_PARQUET = b"PAR1"
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*+\\u0000")
_SHOWN_ERRORS = 3
_PARQUET_ROWS = 16

Checked = TypeVar("Checked", bound="Row")


class Row(BaseModel):
    """Base of what a reader expects in a JSON object; keys it does not name are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One JSON object of a file; `place` is the file and the line or the array place, for messages."""

    place: str
    value: dict[str, object]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without their ends (LF or CR LF), counted from 1; a byte order mark is dropped.

    Only one line is held in memory at a time.

    Raises:
        InputError: the file cannot be read or is empty, or a line is longer than `MAX_LINE_BYTES`, is
            no UTF-8, or holds a NUL byte.
    """
    number = 0
    try:
        with _open(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise InputError(
                        f"{path}:{number}: the line is longer than {MAX_LINE_BYTES:,} bytes: break it into lines"
                    )
                yield number, _decoded(raw, f"{path}:{number}", first=number == 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {_reason(error)}") from error
    if number == 0:
        raise InputError(f"{path}: the file is empty, expected text or JSON")


def read_records(path: Path) -> Iterator[Record]:
    """The objects of a JSON array, of a JSONL file (blank lines are passed over) or of a parquet file, in order.

    Raises:
        InputError: as `read_lines`; or a line is no JSON object; or the parquet file is damaged.
        MissingExtraError: a parquet file without pyarrow.
    """
    if is_parquet(path):
        yield from _parquet_records(path)
        return
    first = next((text for _, text in read_lines(path) if text.strip()), "")
    if first.lstrip().startswith("["):
        yield from _array_records(path)
        return
    for number, text in read_lines(path):
        if text.strip():
            place = f"{path}:{number}"
            yield Record(place=place, value=_object(parse_json(text, place), place))


def is_parquet(path: Path) -> bool:
    """Whether a file begins like parquet.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(len(_PARQUET)) == _PARQUET
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {_reason(error)}") from error


def parse_json(text: str, place: str) -> object:
    """One JSON value.

    Raises:
        InputError: no JSON, nested deeper than about 200 levels, or with a NUL character in a string.
    """
    try:
        value: object = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InputError(f"{place}: expected JSON, {error}; given {shown(text)}") from None
    if _NUL_ESCAPE.search(text):
        raise InputError(f"{place}: a string holds a NUL character (\\u0000): remove it")
    return value


def checked(row: type[Checked], record: Record) -> Checked:
    """The record as a `row`.

    Raises:
        InputError: a field is missing or has another type; names place, field, expected and given.
    """
    try:
        return row.model_validate(record.value)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        told = "; ".join(
            f"field {_field_path(fault['loc'])}: {fault['msg']}"
            + ("" if fault["type"] == "missing" else f", given {shown(fault['input'])}")
            for fault in faults[:_SHOWN_ERRORS]
        )
        more = f"; and {len(faults) - _SHOWN_ERRORS} more" if len(faults) > _SHOWN_ERRORS else ""
        raise InputError(f"{record.place}: {told}{more}") from None


def shown(value: object, limit: int = 60) -> str:
    """A short form of a value for a message."""
    text = repr(value[: limit + 1] if isinstance(value, str) else value)
    return text if len(text) <= limit else text[:limit] + "…"


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")


def _decoded(raw: bytes, place: str, *, first: bool) -> str:
    if first and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{place}: this is UTF-16, expected UTF-8: convert it with `iconv -f UTF-16 -t UTF-8`"
        )
    if first:
        raw = raw.removeprefix(_BOM)
    if b"\0" in raw:
        raise InputError(f"{place}: NUL byte at byte {raw.index(0) + 1} of the line: is this a text file?")
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 at byte {error.start + 1} of the line (0x{raw[error.start]:02x}): convert the"
            " file, e.g. with `iconv -f LATIN1 -t UTF-8`"
        ) from None


def _reason(error: OSError | EOFError | zlib.error) -> str:
    return getattr(error, "strerror", None) or str(error)


def _array_records(path: Path) -> Iterator[Record]:
    lines: list[str] = []
    size = 0
    for _, text in read_lines(path):
        lines.append(text)
        size += len(text)
        if size > MAX_DOCUMENT_BYTES:
            raise InputError(
                f"{path}: a JSON array of more than {MAX_DOCUMENT_BYTES:,} characters: store one object a line"
            )
    values = parse_json("\n".join(lines), str(path))
    assert isinstance(values, list)  # it starts with "[" and is JSON
    for index, value in enumerate(values):
        place = f"{path}[{index}]"
        yield Record(place=place, value=_object(value, place))


def _parquet_records(path: Path) -> Iterator[Record]:
    """Row by row, so that only one batch of a large file is held as Python values."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: parquet needs pyarrow: pip install 'memquartet[eval]', or convert the file to JSONL"
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for value in batch.to_pylist():
                    yield Record(place=f"{path} row {number}", value=_object(value, f"{path} row {number}"))
                    number += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: a damaged parquet file: {error}") from error


def _object(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected a JSON object, given {shown(value)}")
    return value


def _field_path(parts: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return repr(path.removeprefix("."))
