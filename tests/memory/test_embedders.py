from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from memquartet.errors import ConfigError, MissingExtraError, ModelServerError
from memquartet.memory.embedders import (
    NoEmbedder,
    SentenceTransformersEmbedder,
    StaticEmbedder,
    make_embedder,
)
from memquartet.memory.openai_embedder import OpenAIEmbedder

STATIC = StaticEmbedder()


def test_static_vectors_are_unit_rows() -> None:
    rows = STATIC.embed(["a red bicycle", "", "...!?", "who am I"])
    assert rows.shape == (4, STATIC.dim)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0, 0, 1])
    assert STATIC.embed([]).shape == (0, STATIC.dim)


def test_static_vectors_put_like_beside_like() -> None:
    dog, puppy, tax = STATIC.embed(["my dog is ill", "the puppy was sick", "annual tax declaration"])
    assert dog @ puppy > dog @ tax + 0.2


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_a_text_has_the_same_static_vector_alone_and_in_a_batch(texts: list[str]) -> None:
    together = STATIC.embed(texts)
    assert all(
        np.array_equal(STATIC.embed([text])[0], row) for text, row in zip(texts, together, strict=True)
    )


def test_static_pooling_is_exact_beyond_one_piece() -> None:
    once, often = STATIC.embed(["bread and butter", "bread and butter " * 5000])
    assert once == pytest.approx(often, abs=1e-3)


def test_static_embedders_share_their_table_across_threads() -> None:
    texts = [f"note number {n} about gardening" for n in range(100)]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: StaticEmbedder().embed([text])[0], texts))
    assert np.array_equal(np.stack(rows), STATIC.embed(texts))


def test_no_embedder_gives_no_columns() -> None:
    assert NoEmbedder().embed(["a", "b"]).shape == (2, 0)


def test_specs_name_embedders() -> None:
    assert make_embedder("static").identity == "static:l2-supercat-256@1"
    assert make_embedder("none").dim == 0
    assert make_embedder("sentence-transformers:org/model").identity == "sentence-transformers:org/model"
    assert make_embedder("openai:m@http://localhost:1/v1").identity == "openai:m"
    assert make_embedder("openai:org/m:tag").identity == "openai:org/m:tag"


@pytest.mark.parametrize(
    "spec", ["", "magic", "static:x", "openai:", "openai:@http://x", "sentence-transformers:"]
)
def test_an_unknown_spec_lists_the_forms(spec: str) -> None:
    with pytest.raises(ConfigError, match="sentence-transformers:NAME"):
        make_embedder(spec)


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"memquartet\[embed\]"):
        SentenceTransformersEmbedder("any").embed(["text"])
    with pytest.raises(MissingExtraError, match=r"memquartet\[openai\]"):
        OpenAIEmbedder("any", "http://localhost:1/v1", dim=3).embed(["text"])


# ---------------------------------------------------------------- an OpenAI-compatible server

Reply = tuple[int, object]


class Server:
    """A real HTTP server on a free port; `answer` turns the texts of a request into status and body."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.answer: Callable[[list[str]], Reply] = honest
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
                outer.requests.append(texts)
                status, body = outer.answer(texts)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            @override
            def log_message(self, *_: object) -> None:
                pass

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def vectors(rows: list[list[float]]) -> dict[str, object]:
    return {"data": [{"index": number, "embedding": row} for number, row in enumerate(rows)]}


def honest(texts: list[str]) -> Reply:
    reply = vectors([[float(len(text)), 1.0, 0.0] for text in texts])
    return 200, {"data": list(reversed(reply["data"]))}  # type: ignore[call-overload]  # out of order on purpose


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def embedder(server: Server, **options: object) -> OpenAIEmbedder:
    return OpenAIEmbedder("m", server.url, "key", **{"max_retries": 0, **options})  # type: ignore[arg-type]  # shorthand


def test_a_server_is_asked_in_batches_and_blank_texts_are_not_sent(server: Server) -> None:
    rows = embedder(server, batch_size=2, dim=3).embed(["aaa", " ", "b", "cc"])
    assert server.requests == [["aaa", "b"], ["cc"]]
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0, 1, 1])
    assert rows[0] == pytest.approx([3 / 10**0.5, 1 / 10**0.5, 0])


def test_an_unknown_length_is_asked_for_once(server: Server) -> None:
    asking = embedder(server)
    assert (asking.dim, asking.dim) == (3, 3)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "OpenAI's form"),
        (b"", "OpenAI's form"),
        ({"data": []}, "0 vectors for 1 texts"),
        (vectors([[1, 2, 3], [1, 2, 3]]), "2 vectors for 1 texts"),
        (vectors([[1, 2]]), "length 2, expected 3"),
        (b'{"data": [{"index": 0, "embedding": [NaN, 1, 2]}]}', "OpenAI's form|not finite"),
        (vectors([[1e999, 1, 2]]), "OpenAI's form|not finite"),
        ({"data": [{"index": 0, "embedding": ["x", None]}]}, "OpenAI's form"),
    ],
)
def test_garbage_from_a_server_is_noticed(server: Server, body: object, message: str) -> None:
    server.answer = lambda _texts: (200, body)
    with pytest.raises(ModelServerError, match=message):
        embedder(server, dim=3).embed(["text"])


def test_a_busy_server_is_tried_again(server: Server) -> None:
    server.answer = lambda texts: honest(texts) if len(server.requests) > 1 else (503, {})
    assert embedder(server, dim=3, max_retries=1).embed(["text"]).shape == (1, 3)
    assert len(server.requests) == 2


def test_tries_are_bounded(server: Server) -> None:
    server.answer = lambda _texts: (500, {})
    with pytest.raises(ModelServerError, match="after 2 tries"):
        embedder(server, dim=3, max_retries=1).embed(["text"])
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_the_worlds_failure() -> None:
    with pytest.raises(ModelServerError, match="no embeddings from"):
        OpenAIEmbedder("m", "http://127.0.0.1:9/v1", dim=3, max_retries=0, timeout=2).embed(["text"])


@pytest.mark.parametrize(
    ("status", "message"), [(401, "OPENAI_API_KEY"), (404, "model's name"), (400, "model's name")]
)
def test_a_refused_request_is_the_callers_mistake(server: Server, status: int, message: str) -> None:
    server.answer = lambda _texts: (status, {"error": {"message": "no"}})
    with pytest.raises(ConfigError, match=message):
        embedder(server, dim=3).embed(["text"])


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="dim"):
        OpenAIEmbedder("m", dim=0)
    with pytest.raises(ConfigError, match="batch_size"):
        OpenAIEmbedder("m", batch_size=0)
