"""A segment as bytes and back: a JSON header and raw little-endian columns behind a checksum. Nothing is executed.

Layout: magic (8 bytes), format version and CRC-32 of all that follows (uint32 each), size of the header (uint64), the
header, then the columns in the order of `_COLUMNS`; header and columns are padded to 8 bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from memquartet.core.memory import MetaValue
from memquartet.errors import StoreError, StoreVersionError
from memquartet.memory.retrieval.segments import Segment
from memquartet.text.terms import TERMS_VERSION

_MAGIC = b"MQINDEX\n"
_FORMAT = 1
_PREFIX = struct.Struct("<8sII")
_SIZE = struct.Struct("<Q")
_ALIGN = 8
_COLUMNS = {
    "starts": "<i8",
    "created": "<i8",
    "updated": "<i8",
    "rows": "<i4",
    "counts": "<i4",
    "lengths": "<i4",
    "vectors": "<f4",
}
_REBUILD = "build the index again from the entries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is saved of an index."""

    dim: int
    language: str
    segment: Segment


class _Header(BaseModel):
    terms_version: int
    dim: int = Field(ge=0)
    language: str
    postings: int = Field(ge=0)
    ids: tuple[str, ...]
    features: list[str | tuple[str, str, MetaValue]]


def pack(snapshot: Snapshot) -> bytes:
    """The snapshot as bytes."""
    segment = snapshot.segment
    header = json.dumps(
        {
            "terms_version": TERMS_VERSION,
            "dim": snapshot.dim,
            "language": snapshot.language,
            "postings": len(segment.rows),
            "ids": segment.ids,
            "features": list(segment.vocabulary),
        },
        separators=(",", ":"),
    ).encode()
    columns = [
        np.ascontiguousarray(getattr(segment, name), kind).tobytes() for name, kind in _COLUMNS.items()
    ]
    body = [_SIZE.pack(len(header)), *(_padded(piece) for piece in (header, *columns))]
    checksum = 0
    for piece in body:
        checksum = zlib.crc32(piece, checksum)
    return b"".join([_PREFIX.pack(_MAGIC, _FORMAT, checksum), *body])


def unpack(data: bytes) -> Snapshot:
    """The snapshot in the bytes; its arrays are read-only views of them.

    Raises:
        StoreError: the bytes are damaged.
        StoreVersionError: another version of the format or of the text analysis wrote them.
    """
    if len(data) < _PREFIX.size + _SIZE.size or not data.startswith(_MAGIC):
        raise StoreError(f"{len(data)} bytes are no saved index; {_REBUILD}")
    _, version, checksum = _PREFIX.unpack_from(data)
    if version != _FORMAT:
        raise StoreVersionError(
            f"the saved index has format {version}, this memquartet reads {_FORMAT}; {_REBUILD}"
        )
    if zlib.crc32(memoryview(data)[_PREFIX.size :]) != checksum:
        raise StoreError(f"the saved index is damaged (wrong checksum); {_REBUILD}")
    (size,) = _SIZE.unpack_from(data, _PREFIX.size)
    start = _PREFIX.size + _SIZE.size
    try:
        header = _Header.model_validate_json(data[start : start + size])
    except ValidationError as error:
        raise StoreError(
            f"the saved index has a damaged header: {error.errors()[0]['msg']}; {_REBUILD}"
        ) from error
    if header.terms_version != TERMS_VERSION:
        raise StoreVersionError(
            f"the saved index holds terms of version {header.terms_version}, expected {TERMS_VERSION}; {_REBUILD}"
        )
    columns = _columns(data, start + size + _padding(size), header)
    segment = Segment(
        ids=header.ids,
        row_of={entry_id: row for row, entry_id in enumerate(header.ids)},
        vocabulary={feature: number for number, feature in enumerate(header.features)},
        vectors=columns.pop("vectors").reshape(len(header.ids), header.dim),
        **columns,
    )
    _check(segment)
    return Snapshot(dim=header.dim, language=header.language, segment=segment)


def _columns(
    data: bytes, start: int, header: _Header
) -> dict[str, NDArray[Any]]:  # `_COLUMNS` names each column's type
    entries = len(header.ids)
    sizes: Mapping[str, int] = {
        "starts": len(header.features) + 1,
        "rows": header.postings,
        "counts": header.postings,
        "vectors": entries * header.dim,
    }
    columns = {}
    for name, kind in _COLUMNS.items():
        count = sizes.get(name, entries)
        length = count * np.dtype(kind).itemsize
        if start + length > len(data):
            raise StoreError(f"the saved index ends within its {name}; {_REBUILD}")
        columns[name] = np.frombuffer(data, kind, count, start)
        start += length + _padding(length)
    return columns


def _check(segment: Segment) -> None:
    """Refuse what would later read outside an array or count an entry twice."""
    entries, starts, rows = len(segment.ids), segment.starts, segment.rows
    sound = (
        len(segment.row_of) == entries
        and len(segment.vocabulary) == len(starts) - 1
        and starts[0] == 0
        and starts[-1] == len(rows)
        and bool((np.diff(starts) >= 0).all())
        and (not len(rows) or (rows.min() >= 0 and rows.max() < entries and segment.counts.min() > 0))
        and bool(np.isfinite(segment.vectors).all())
    )
    if not sound:
        raise StoreError(f"the saved index contradicts itself; {_REBUILD}")


def _padding(size: int) -> int:
    return -size % _ALIGN


def _padded(piece: bytes) -> bytes:
    return piece + bytes(_padding(len(piece)))
