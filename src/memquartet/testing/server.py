"""A small OpenAI-compatible server on a loopback port, with faults to order, for tests of real clients."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, cast

MAX_BODY = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One reply of the server.

    `drop` closes the connection after this many bytes of the body; `delay` is in seconds and ends early
    when the server stops.
    """

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    delay: float = 0.0
    drop: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request the server got."""

    path: str
    body: Mapping[str, object]
    headers: Mapping[str, str]


Respond = Callable[[Received], Served | str]


def chat_reply(text: str | None, **more: object) -> Served:
    """A chat completion that says `text`; `more` is added to the top of the JSON."""
    message = {"role": "assistant", "content": text}
    return json_reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            **more,
        }
    )


def json_reply(value: object, *, status: int = 200) -> Served:
    """Any JSON value as a reply."""
    return Served(body=json.dumps(value).encode(), status=status)


def error_reply(status: int, message: str = "no", *, retry_after: str | None = None) -> Served:
    """An error as OpenAI's API words it."""
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return Served(body=json.dumps({"error": {"message": message}}).encode(), status=status, headers=headers)


TIMEOUT = Served(delay=30.0)
HTML = Served(body=b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")
TRUNCATED_JSON = Served(body=b'{"choices": [{"message": {"content": "hel')
DROPPED = Served(body=b'{"choices": [{"message": {"content": "hello"}}]}', drop=10)
NO_CHOICES = json_reply({"object": "chat.completion", "choices": []})


class FakeServer:
    """Serve /v1/chat/completions and /v1/embeddings until closed; use it as a context manager.

    Args:
        replies: used up in order of the requests for chat completions, the last one for ever, or a
            callable from the request to a reply; a text is a chat completion that says it.
        dim: length of the embeddings, which are made from a hash of each text.
    """

    def __init__(self, replies: Sequence[Served | str] | Respond = ("ok",), *, dim: int = 8) -> None:
        self._replies = replies
        self._dim = dim
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.requests: list[Received] = []
        self.most_at_once = 0
        self._now = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """The address for a client, ending in /v1."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def close(self) -> None:
        """Stop serving; waiting replies end."""
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, received: Received) -> Served:
        """The reply to one request, after its delay."""
        with self._lock:
            self.requests.append(received)
            chats = sum(request.path.endswith("/chat/completions") for request in self.requests)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            served = self._served(received, chats - 1)
            if served.delay:
                self._stopping.wait(served.delay)
            return served
        finally:
            with self._lock:
                self._now -= 1

    def _served(self, received: Received, index: int) -> Served:
        if received.path.endswith("/embeddings"):
            return self._embeddings(received.body)
        if not received.path.endswith("/chat/completions"):
            return error_reply(404, f"no {received.path}")
        if callable(self._replies):
            served = self._replies(received)
        else:
            served = self._replies[min(index, len(self._replies) - 1)]
        return chat_reply(served) if isinstance(served, str) else served

    def _embeddings(self, body: Mapping[str, object]) -> Served:
        given = body.get("input")
        texts = [given] if isinstance(given, str) else cast("list[str]", given)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(text, self._dim)}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return json_reply({"object": "list", "model": body.get("model"), "data": data, "usage": usage})


def _vector(text: str, dim: int) -> list[float]:
    digest = hashlib.shake_128(text.encode("utf-8", "replace")).digest(dim)
    return [byte / 127.5 - 1.0 for byte in digest]


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY)
            body = json.loads(self.rfile.read(length) or b"{}")
            served = server.answer(Received(path=self.path, body=body, headers=dict(self.headers)))
            try:
                self._send(served)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _send(self, served: Served) -> None:
            self.send_response(served.status)
            self.send_header("Content-Type", served.content_type)
            self.send_header("Content-Length", str(len(served.body)))
            for name, value in served.headers:
                self.send_header(name, value)
            self.end_headers()
            if served.drop is None:
                self.wfile.write(served.body)
                return
            self.wfile.write(served.body[: served.drop])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

        # typing.override is 3.12; `format` is http.server's name.
        def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002
            """Stay quiet."""

    return Handler
