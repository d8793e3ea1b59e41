"""Our own sample format, `memquartet.sample/1`: JSONL, one `Sample` a line.

A line holds the fields of `Sample` under their names, and "format". Times are ISO 8601 with a zone.
Unknown fields are refused, so that a misspelt one is not lost.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from memquartet.benchmarks.reading import Record, Row, checked, read_records
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError, StoreError

FORMAT: Literal["memquartet.sample/1"] = "memquartet.sample/1"


class _Strict(Row):
    # Times and tuples arrive as JSON texts and lists, which strict checking would refuse.
    model_config = ConfigDict(strict=False, frozen=True, extra="forbid")


class _Chunk(_Strict):
    text: str
    index: int = Field(ge=0)
    time: AwareDatetime | None = None
    source_ids: tuple[str, ...] = ()
    query: str = ""


class _Question(_Strict):
    question_id: str
    text: str
    answers: tuple[str, ...]
    category: str = ""
    evidence: tuple[str, ...] = ()
    time: AwareDatetime | None = None
    extra: dict[str, object] = Field(default_factory=dict)


class _Sample(_Strict):
    format: Literal["memquartet.sample/1"]
    sample_id: str
    chunks: tuple[_Chunk, ...]
    questions: tuple[_Question, ...]
    source: str = ""
    metric: str = "f1"
    extra: dict[str, object] = Field(default_factory=dict)


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object says that it is one of our samples, of this or another version."""
    return str(record.get("format", "")).startswith("memquartet.sample/")


def read(records: Iterable[Record]) -> Iterator[Sample]:
    """One sample a record.

    Raises:
        InputError: a record is not in our format.
    """
    for record in records:
        row = checked(_Sample, record)
        yield Sample(
            sample_id=row.sample_id,
            chunks=tuple(Chunk(**dict(chunk)) for chunk in row.chunks),
            questions=tuple(Question(**dict(question)) for question in row.questions),
            source=row.source,
            metric=row.metric,
            extra=row.extra,
        )


def load_samples(path: str | Path) -> list[Sample]:
    """The samples of a file that `save_samples` wrote, plain or gzip.

    Raises:
        InputError: the file cannot be read or is not in our format.
    """
    return list(read(read_records(Path(path))))


def save_samples(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write samples; the file appears complete or, on any failure, stays as it was.

    Raises:
        InputError: a sample holds what JSON cannot, or a time without a zone.
        StoreError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            temporary = Path(stream.name)
            for sample in samples:
                stream.write(_line(sample) + "\n")
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise StoreError(f"{path}: the samples cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _line(sample: Sample) -> str:
    try:
        values = {"format": FORMAT, **asdict(sample)}
        return json.dumps(values, ensure_ascii=False, allow_nan=False, default=_json_value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"sample {sample.sample_id!r} cannot be written as JSON: {error}") from error


def _json_value(value: object) -> object:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is no JSON value")
    if value.tzinfo is None:
        raise ValueError(f"the time {value.isoformat()} needs a zone, e.g. +00:00")
    return value.isoformat()
