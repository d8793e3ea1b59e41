"""Files of data sets on the Hugging Face hub or the web, by a pinned commit and, where it is known, a checksum."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from platformdirs import user_cache_path

from memquartet.errors import DownloadError, MissingExtraError

MAX_WEB_BYTES = 64 * 2**20
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a data set repository; `sha256` is checked when given."""

    repo: str
    revision: str
    path: str
    sha256: str | None = None


def fetch(file: HubFile) -> Path:
    """The file on this machine, out of the hub's own cache when it is there.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured.

    Raises:
        DownloadError: the hub is out of reach, has no such file, or gave another one than the pinned.
        MissingExtraError: the hub's client is not installed.
    """
    client = _client()
    try:
        path = Path(client.hf_hub_download(file.repo, file.path, repo_type="dataset", revision=file.revision))
    except (OSError, client.errors.HfHubHTTPError) as error:
        raise DownloadError(
            f"{file.path!r} of the data set {file.repo} cannot be fetched: {_first_line(error)}. Fetch it by other"
            " means and give its path"
        ) from error
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        raise DownloadError(
            f"{file.path!r} of the data set {file.repo} has the checksum {found}, expected {file.sha256}: delete"
            f" {path} and try again"
        )
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFile:
    """A file at an address that always gives the same bytes."""

    url: str
    name: str
    sha256: str


def fetch_web(file: WebFile) -> Path:
    """The file on this machine, out of the user's cache folder when it is there.

    Raises:
        DownloadError: the address is out of reach, gave more than `MAX_WEB_BYTES`, or another file than the pinned.
    """
    path = user_cache_path("memquartet") / "data" / file.sha256[:12] / file.name
    if path.is_file() and sha256_of(path) == file.sha256:
        return path
    try:
        with urllib.request.urlopen(file.url, timeout=_TIMEOUT) as reply:
            content: bytes = reply.read(MAX_WEB_BYTES + 1)
        if len(content) > MAX_WEB_BYTES or hashlib.sha256(content).hexdigest() != file.sha256:
            raise DownloadError(f"{file.url} gave another file than the pinned one: fetch it by other means")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(content)
        new.replace(path)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"{file.url} cannot be fetched: {_first_line(error)}. Fetch it by other means and give its path"
        ) from error
    return path


def list_files(repo: str, revision: str) -> list[str]:
    """The paths of a data set repository.

    Raises:
        DownloadError: the hub is out of reach or has no such repository.
        MissingExtraError: the hub's client is not installed.
    """
    client = _client()
    try:
        return list(client.HfApi().list_repo_files(repo, repo_type="dataset", revision=revision))
    except (OSError, client.errors.HfHubHTTPError) as error:
        raise DownloadError(
            f"the files of the data set {repo} cannot be listed: {_first_line(error)}. Fetch it by other means and"
            " give the folder"
        ) from error


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _client() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "data sets of the hub need its client: pip install 'memquartet[eval]', or give a local path"
        ) from error
    client: ModuleType = huggingface_hub
    return client


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
