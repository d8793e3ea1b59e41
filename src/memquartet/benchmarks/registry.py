"""Data sets by name or path; the format of a file is told by its content."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from memquartet.benchmarks import chatlog, dataset, locomo, longmemeval
from memquartet.benchmarks.demo import load_demo
from memquartet.benchmarks.memoryagentbench import records as memoryagentbench
from memquartet.benchmarks.reading import Record, beginning, is_table, read_lines, read_records
from memquartet.benchmarks.worlds.catalog import is_world_name, named_world
from memquartet.core.samples import Chunk, Sample
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize

# Notes and logs begin with "[" as well: "[2024-05-08] Ann: Hello!".
_ARRAY_OF_OBJECTS = re.compile(r"\[\s*(?:[\[{\]]|$)")
LoadSamples = Callable[[], list[Sample]]


class Format(StrEnum):
    """What a file can hold."""

    SAMPLES = "samples"
    """Our own `memquartet.sample/1`."""
    LOCOMO = "locomo"
    LONGMEMEVAL = "longmemeval"
    MEMORYAGENTBENCH = "memoryagentbench"
    CHAT = "chat"
    """JSONL, one message a line; no questions."""
    TEXT = "text"
    """Any UTF-8 text; no questions."""


@dataclass(frozen=True, slots=True)
class _Reader:
    matches: Callable[[Mapping[str, object]], bool]
    read: Callable[[Iterable[Record], ChunkSize], Iterator[Sample]]


# The order is the one of the detection: samples name their format, chats are told by two keys only.
_READERS = {
    Format.SAMPLES: _Reader(dataset.matches, lambda records, _: dataset.read(records)),
    Format.LOCOMO: _Reader(locomo.matches, locomo.read),
    Format.LONGMEMEVAL: _Reader(longmemeval.matches, longmemeval.read),
    Format.MEMORYAGENTBENCH: _Reader(memoryagentbench.matches, memoryagentbench.read),
}
_NAMED: dict[str, LoadSamples] = {"demo": load_demo}


def register_dataset(name: str, load: LoadSamples) -> None:
    """Make a data set known to `load_dataset` by name.

    Raises:
        ConfigError: the name is taken.
    """
    if name in _NAMED:
        raise ConfigError(f"a data set {name!r} is already registered: choose another name")
    _NAMED[name] = load


def dataset_names() -> list[str]:
    """The registered names, in order of registration."""
    return list(_NAMED)


def load_dataset(
    source: str | Path, form: Format | None = None, size: ChunkSize | None = None
) -> list[Sample]:
    """The samples of a registered data set, of a generated world ("world:conflict?seed=1&n=4"), or of a file.

    A name wins over a file of the same name.

    A chat or a text becomes one sample without questions. `size` matters for files that are not cut
    into chunks already.

    Raises:
        ConfigError: neither a name nor a file.
        InputError: the file cannot be read as its format, or two samples have one id.
    """
    if isinstance(source, str) and source in _NAMED and form is None:
        return _NAMED[source]()
    if isinstance(source, str) and is_world_name(source):
        return named_world(source)
    path = Path(source)
    if not path.exists():
        raise ConfigError(
            f"no data set {str(source)!r}: give a file, or one of the names {', '.join(map(repr, _NAMED))}"
        )
    size = size or ChunkSize()
    form = form or detect_format(path)
    if form in _READERS:
        samples = list(_READERS[form].read(read_records(path), size))
    else:
        chunks = tuple(read_chunks(path, form, size))
        samples = [Sample(sample_id=path.stem, chunks=chunks, questions=(), source=form.value)]
    twice = [sample_id for sample_id, times in Counter(one.sample_id for one in samples).items() if times > 1]
    if twice:
        raise InputError(f"{path}: sample ids must differ, given {twice[0]!r} more than once")
    return samples


def read_chunks(path: Path, form: Format | None = None, size: ChunkSize | None = None) -> Iterator[Chunk]:
    """The chunks of a file as a stream, numbered from 0, questions left out; for `ingest`.

    Raises:
        InputError: the file cannot be read as its format.
    """
    size = size or ChunkSize()
    form = form or detect_format(path)
    if form is Format.TEXT:
        yield from chatlog.read_text(path, size)
    elif form is Format.CHAT:
        yield from chatlog.read_chat(read_records(path), size)
    else:
        samples = _READERS[form].read(read_records(path), size)
        chunks = (chunk for sample in samples for chunk in sample.chunks)
        for index, chunk in enumerate(chunks):
            yield replace(chunk, index=index)


def detect_format(path: Path) -> Format:
    """The format of a file, by its first JSON object; what does not begin like JSON is text.

    Raises:
        InputError: the file cannot be read, or is JSON in no known form.
    """
    if not is_table(path) and not _ARRAY_OF_OBJECTS.match(beginning(path)):
        first = next((text for _, text in read_lines(path) if text.strip()), "").lstrip()
        if not first.startswith("{"):
            return Format.TEXT
    record = next(iter(read_records(path)), None)
    if record is not None:
        for form, reader in _READERS.items():
            if reader.matches(record.value):
                return form
        if chatlog.matches(record.value):
            return Format.CHAT
    keys = sorted(record.value)[:8] if record is not None else []
    raise InputError(
        f"{path}: JSON in no known form, its first object has the keys {keys}, expected one of {', '.join(Format)};"
        ' a line of a chat has "speaker" and "text"'
    )
