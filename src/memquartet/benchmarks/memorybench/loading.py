"""Finding MemoryBench's data sets on the hub or in a folder: `load_memory_bench`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Literal, overload

from memquartet.benchmarks.hub import HubFile, fetch, list_files
from memquartet.benchmarks.locomo import conversation_chunks
from memquartet.benchmarks.memorybench.catalogue import CATALOGUE, Entry, names_of
from memquartet.benchmarks.memorybench.raw import read_raw
from memquartet.benchmarks.memorybench.records import Part, Task, read_tasks
from memquartet.benchmarks.reading import parse_json, read_records
from memquartet.benchmarks.sessions import Utterance, session_chunks
from memquartet.core.samples import Chunk
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize

REPO = "THUIR/MemoryBench"
REVISION = "3acd60a4bd35b43b408f0e6db4c5f1e88df5e96d"
_SCENE = re.compile(
    r"\[Date: (?P<date>.*?), Session #(?P<number>\d+)\]\n\n(?P<text>.*?)(?=\[Date:|\Z)", re.DOTALL
)
_LINE = re.compile(r"(.*?):\s*(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBenchDataset:
    """A data set: tasks with dialogues to learn from, tasks to be scored on, and the text to be read first, if any."""

    entry: Entry
    train: tuple[Task, ...]
    test: tuple[Task, ...]
    corpus: tuple[Chunk, ...] = ()

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return self.entry.name

    def get_data(self, test_idx: int) -> Task:
        """The task with this number, of either part.

        Raises:
            ConfigError: there is none.
        """
        for task in chain(self.train, self.test):
            if task.test_idx == test_idx:
                return task
        raise ConfigError(f"{self.name} has no task with the test_idx {test_idx}")


@overload
def load_memory_bench(
    dataset_type: Literal["single"], name: str, *, data: Path | None = None, size: ChunkSize | None = None
) -> MemoryBenchDataset: ...
@overload
def load_memory_bench(
    dataset_type: Literal["domain", "task"],
    name: str,
    *,
    data: Path | None = None,
    size: ChunkSize | None = None,
) -> list[MemoryBenchDataset]: ...


def load_memory_bench(
    dataset_type: Literal["single", "domain", "task"],
    name: str,
    *,
    data: Path | None = None,
    size: ChunkSize | None = None,
) -> MemoryBenchDataset | list[MemoryBenchDataset]:
    """A data set, or all of a domain or a task format, under the benchmark's own function name.

    Args:
        dataset_type: "single", "domain" or "task".
        name: as in the benchmark, e.g. "NFCats", "Legal", "Long-Short".
        data: a folder: a copy of the hub's repository, or the raw sources of some sets (see `raw`); None is the hub.
        size: of the chunks of a corpus; None is 512 tokens.

    Raises:
        ConfigError: no such name, or files of a wanted data set are missing; names the set.
        InputError: a file is not in the benchmark's form, or a task stands in both parts.
        DownloadError: the hub is out of reach.
        MissingExtraError: the `eval` extra is not installed.
    """
    wanted = names_of(dataset_type, name)
    files = _Files.of(data)
    loaded = [_load(CATALOGUE[one], files, size or ChunkSize()) for one in wanted]
    return loaded[0] if dataset_type == "single" else loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Paths relative to a folder or repository, and how to get one of them."""

    where: str
    paths: Sequence[str]
    get: Callable[[str], Path]
    folder: Path | None = None

    @classmethod
    def of(cls, data: Path | None) -> _Files:
        if data is None:
            return cls(
                where=REPO,
                paths=list_files(REPO, REVISION),
                get=lambda path: fetch(HubFile(repo=REPO, revision=REVISION, path=path)),
            )
        if not data.is_dir():
            raise ConfigError(f"{data}: MemoryBench is read from a folder, which this is not")
        paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
        return cls(where=str(data), paths=paths, get=data.joinpath, folder=data)

    def of_part(self, name: str, part: Part) -> list[str]:
        """The files of a data set's part, as published (dataset/NFCats/train/data-….arrow) or named after both."""
        return [path for path in self.paths if _belongs(PurePosixPath(path), name, part)]


def _belongs(path: PurePosixPath, name: str, part: Part) -> bool:
    if not {".arrow", ".parquet", ".jsonl", ".json"} & set(path.suffixes):
        return False
    if path.parent.name == part.value and path.parent.parent.name == name:
        return path.suffix != ".json"  # beside the rows lie dataset_info.json and state.json
    if path.parent.name == name:
        return part.value in re.split(r"[-_.]", path.name)
    named = (f"{name}-{part.value}", f"{name}_{part.value}", f"{name}.{part.value}")
    return path.parts[0] != "corpus" and path.name.startswith(named)


def _load(entry: Entry, files: _Files, size: ChunkSize) -> MemoryBenchDataset:
    parts = {part: files.of_part(entry.name, part) for part in Part}
    if not any(parts.values()) and files.folder is not None:
        raw = read_raw(entry.name, files.folder)
        if raw is not None:
            return MemoryBenchDataset(entry=entry, train=raw[Part.TRAIN], test=raw[Part.TEST])
    if missing := [part.value for part in Part if not parts[part]]:
        raise ConfigError(
            f"{files.where}: no files of {entry.name!r} for {' and '.join(missing)}: expected e.g."
            f" dataset/{entry.name}/{missing[0]}/data-00000-of-00001.arrow"
        )
    tasks = {
        part: tuple(read_tasks(chain.from_iterable(read_records(files.get(path)) for path in paths), part))
        for part, paths in parts.items()
    }
    both = {task.test_idx for task in tasks[Part.TRAIN]} & {task.test_idx for task in tasks[Part.TEST]}
    if both:
        raise InputError(f"{files.where}: {entry.name} has the test_idx {min(both)} in train and in test")
    corpus = tuple(_corpus(entry, files, size)) if entry.corpus else ()
    return MemoryBenchDataset(entry=entry, train=tasks[Part.TRAIN], test=tasks[Part.TEST], corpus=corpus)


def _corpus(entry: Entry, files: _Files, size: ChunkSize) -> Iterator[Chunk]:
    wanted = f"corpus/{entry.name}.jsonl"
    found = next((path for path in files.paths if path in (wanted, f"{wanted}.gz")), None)
    if found is None:
        raise ConfigError(f"{files.where}: {entry.name!r} needs its corpus {wanted}")
    record = next(iter(read_records(files.get(found))), None)
    text = record.value.get("text") if record is not None else None
    if record is None or not isinstance(text, str) or not text.strip():
        raise InputError(f'{found}: expected one row with a "text" that is not empty')
    if entry.name.startswith("DialSim"):
        return _scenes(text, record.place, size)
    value = parse_json(text, f"{record.place}, field 'text'")
    conversation = value.get("conversation") if isinstance(value, dict) else None
    if not isinstance(conversation, dict):
        raise InputError(f"{record.place}, field 'text': expected LoCoMo's JSON with a \"conversation\"")
    return iter(conversation_chunks(conversation, record.place, size))


def _scenes(text: str, place: str, size: ChunkSize) -> Iterator[Chunk]:
    """A script's sessions in their order; lines that name no speaker are left out, as officially."""
    start = 0
    for scene in _SCENE.finditer(text):
        lines = enumerate(scene["text"].strip().split("\n"), start=1)
        said = [
            Utterance(
                text=f"{match[1].strip()}: {match[2].strip()}", source_id=f"D{scene['number']}:{number}"
            )
            for number, line in lines
            if (match := _LINE.match(line))
        ]
        for chunk in session_chunks(said, head=f"[{scene['date']}]", size=size, start=start):
            start = chunk.index + 1
            yield chunk
    if start == 0:
        raise InputError(f"{place}, field 'text': no session begins with a line like [Date: ..., Session #1]")
