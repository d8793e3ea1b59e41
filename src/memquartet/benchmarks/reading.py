"""Files from outside: text line by line as UTF-8, JSON, JSONL, parquet, Arrow; plain or gzip, with limits and exact complaints."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from memquartet.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pyarrow import RecordBatch

MAX_LINE_BYTES = 64 * 2**20
"""One line of a text or JSONL file; in characters, one item of a JSON array."""

_BOM = b"\xef\xbb\xbf"
_PARQUET = b"PAR1"
_ARROW_FILE = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"
_NO_SPACE = re.compile(r"\S")
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*+\\u0000")
_SHOWN_ERRORS = 3
_ROWS = 16
_BLOCK_BYTES = 4 * 2**20
_SHOWN_CHARS = 100

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
    """The objects of a JSON array, of a JSONL file (blank lines are passed over), or of a table, in order.

    Tables are parquet, and Arrow as files or streams.

    Raises:
        InputError: as `read_lines`; or a line is no JSON object; or a table is damaged.
        MissingExtraError: a table without pyarrow.
    """
    if is_table(path):
        yield from _table_records(path)
        return
    if beginning(path).startswith("["):
        for index, text in enumerate(_array_items(path)):
            place = f"{path}[{index}]"
            yield Record(place=place, value=_object(parse_json(text, place), place))
        return
    for number, text in read_lines(path):
        if text.strip():
            place = f"{path}:{number}"
            yield Record(place=place, value=_object(parse_json(text, place), place))


def beginning(path: Path) -> str:
    """The first characters of a file's text after white space; "" of a file without any.

    What is no UTF-8 is left to the reader that the format has, which names the line.

    Raises:
        InputError: the file cannot be read.
    """
    return next((text for block in _blocks(path, errors="replace") if (text := block.lstrip())), "")[
        :_SHOWN_CHARS
    ]


def is_table(path: Path) -> bool:
    """Whether a file begins like parquet or Arrow.

    Raises:
        InputError: the file cannot be read.
    """
    return _magic(path).startswith((_PARQUET, _ARROW_FILE, _ARROW_STREAM))


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


def _blocks(path: Path, errors: Literal["strict", "replace"] = "strict") -> Iterator[str]:
    """The text of a file in pieces, for JSON that does not keep to lines."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors)
    done = 0
    try:
        with _open(path) as stream:
            while raw := stream.read(_BLOCK_BYTES):
                yield decoder.decode(raw)
                done += len(raw)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 after byte {done:,}: convert the file to UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {_reason(error)}") from error


def _array_items(path: Path) -> Iterator[str]:
    """The texts of a JSON array's items, one at a time, so that a file of any size can be read."""
    array = _Array(path)
    array.take("[")
    index = 0
    while array.next_mark() != "]":
        if index:
            array.take(",")
        yield array.item(f"{path}[{index}]")
        index += 1
    array.take("]")
    if array.next_mark():
        raise InputError(f"{path}: expected nothing after the JSON array, given {shown(array.next_mark())}")


class _Array:
    """A JSON array's text, read block by block; `_at` is how far it was taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = _blocks(path)
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def next_mark(self) -> str:
        """The next character that is no white space; "" at the end of the file."""
        while (found := _NO_SPACE.search(self._text, self._at)) is None:
            self._at = len(self._text)
            if not self._read_on():
                return ""
        self._at = found.start()
        return found[0]

    def take(self, mark: str) -> None:
        """Pass over a character.

        Raises:
            InputError: another one is next.
        """
        if (found := self.next_mark()) != mark:
            given = shown(found) if found else "the end of the file"
            raise InputError(f"{self._path}: expected a JSON array that goes on with {mark!r}, given {given}")
        self._at += 1

    def item(self, place: str) -> str:
        """The next item's text; what is no JSON is left to the parser, which says why.

        Raises:
            InputError: the item is no JSON, or longer than `MAX_LINE_BYTES` characters.
        """
        self.next_mark()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > MAX_LINE_BYTES:
                    raise InputError(
                        f"{place}: the item is longer than {MAX_LINE_BYTES:,} characters, or no JSON"
                    ) from None
                if not self._read_on():
                    rest = self._text[self._at :]
                    parse_json(rest, place)
                    raise InputError(f"{place}: expected JSON, given {shown(rest)}") from None
                continue
            item = self._text[self._at : end]
            self._at = end
            return item

    def _read_on(self) -> bool:
        """Read a block, forgetting what was taken; False at the end of the file."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self._text, self._at = self._text[self._at :] + block, 0
        return True


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_ARROW_FILE))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {_reason(error)}") from error


def _table_records(path: Path) -> Iterator[Record]:
    """Row by row, so that only some rows of a large file are held as Python values."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: parquet and Arrow need pyarrow: pip install 'memquartet[eval]', or convert the file to JSONL"
        ) from error
    number = 0
    try:
        for batch in _batches(path):
            for start in range(0, batch.num_rows, _ROWS):
                for value in batch.slice(start, _ROWS).to_pylist():
                    place = f"{path} row {number}"
                    yield Record(place=place, value=_object(value, place))
                    number += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: a damaged table: {error}") from error


def _batches(path: Path) -> Iterator[RecordBatch]:
    import pyarrow.ipc
    import pyarrow.parquet

    magic = _magic(path)
    if magic.startswith(_PARQUET):
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_ROWS)
    elif magic.startswith(_ARROW_FILE):
        with pyarrow.ipc.open_file(path) as file:
            yield from (file.get_batch(index) for index in range(file.num_record_batches))
    else:
        with path.open("rb") as stream, pyarrow.ipc.open_stream(stream) as batches:
            yield from batches


def _object(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected a JSON object, given {shown(value)}")
    return value


def _field_path(parts: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return repr(path.removeprefix("."))
