"""A file server on a loopback port that speaks ranges, package indexes and the hub's checksums, and can fail."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class FakeFiles:
    """Serve `files` (path to content) until closed; use it as a context manager.

    A path with "/resolve/" behaves like the Hugging Face hub: it redirects to the content, and the
    redirect carries the SHA-256. "/simple/NAME/" lists the wheels among the files as a package index.

    Args:
        files: path, with its leading slash, to content.
        cut: close the connection after this many bytes of content, in each of the first `cuts` replies.
        cuts: how often to do so.
        ranges: whether a Range header is honoured.
        hub_checksum: claimed in place of the true one.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        cut: int | None = None,
        cuts: int = 1,
        ranges: bool = True,
        hub_checksum: str | None = None,
    ) -> None:
        self.files = dict(files)
        self.ranges = ranges
        self.hub_checksum = hub_checksum
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self._cut = cut
        self._cuts = cuts if cut is not None else 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def allowance(self) -> int | None:
        """Bytes of content the next reply may send; None is all."""
        with self._lock:
            if self._cuts == 0:
                return None
            self._cuts -= 1
            return self._cut

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeFiles

    def do_GET(self) -> None:
        self.fake.requests.append((self.path, dict(self.headers)))
        if self.path.startswith("/simple/"):
            self._index()
        elif self.path not in self.fake.files:
            self.send_error(404)
        elif "/resolve/" in self.path:
            self._redirect()
        else:
            self._content(self.fake.files[self.path])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _index(self) -> None:
        wheels = [path for path in self.fake.files if path.endswith(".whl")]
        listed = [{"filename": path.rsplit("/", 1)[1], "url": path, "hashes": {}} for path in wheels]
        self._send(200, json.dumps({"files": listed}).encode(), {})

    def _redirect(self) -> None:
        content = self.fake.files[self.path]
        stored = f"/stored{self.path.replace('/resolve/', '/')}"
        self.fake.files[stored] = content
        checksum = self.fake.hub_checksum or hashlib.sha256(content).hexdigest()
        self._send(302, b"", {"Location": stored, "X-Linked-Etag": f'"{checksum}"'})

    def _content(self, content: bytes) -> None:
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.fake.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
        else:
            self._send(206 if start else 200, content[start:], {}, self.fake.allowance())

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])

    # typing.override is 3.12; `format` is http.server's name.
    def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002
        """Stay quiet."""
