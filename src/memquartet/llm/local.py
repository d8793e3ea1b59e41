"""A chat model in this process: llama.cpp through `xllamacpp`, with grammars and continuous batching.

llama.cpp runs its own threads and, behind a random key, a server on a loopback port; requests go
through that port because a closed connection is the one way to cancel a generation, and because it
also tokenizes. One thread here waits for each request in a slot; the rest queue.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import secrets
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from memquartet.core.messages import Message
from memquartet.errors import (
    ConfigError,
    DownloadError,
    InputError,
    MissingExtraError,
    ModelServerError,
    StoreError,
)
from memquartet.llm import DEFAULT_MODEL
from memquartet.llm.models import cache_dir, files_of
from memquartet.llm.protocols import ChatRequest, Completion, JsonSchema, Sampling
from memquartet.llm.wire import GarbageReplyError, read_completion, request_json
from memquartet.text.tokens import default_counter

if TYPE_CHECKING:
    import xllamacpp

PROMPT_CACHE_MIB = 512
"""Finished prompts kept in memory, so that a role's long fixed prompt is read once (llama.cpp's own: 8 GiB)."""

OUTPUT_ROOM = 256
"""Tokens that a prompt has to leave free."""
TEMPLATE_TOKENS = 8
"""What a chat template adds to a message, about."""

_QUIET = -1
_JSON_OPENINGS = frozenset({"", "{", "[", '"', "-", *"0123456789", *"tfn"})


class LocalChatModel:
    """A `ChatModel` that runs a GGUF file with llama.cpp.

    The model is loaded by the first request, or by `load`. `parallel` requests are generated together,
    token by token in one batch; further ones wait. A JSON schema becomes a grammar, so the output is a
    prefix of valid JSON, and whole unless `finish_reason` is "length". Log-probs are the model's own
    (temperature 1, before grammar and sampling), and ids include the end-of-turn token. The same seed
    gives the same text as long as the batch has the same company: rounding differs with its size.

    A prompt that does not fit is refused, never cut; an output that fills the context ends with
    `finish_reason` "length".

    Args:
        path_or_name: a catalogued name such as "smollm2-135m", a GGUF file's path, or one of both with an adapter
            (see `models.files_of`).
        threads: CPU threads; None is one for each core this process may use.
        parallel: requests generated at once.
        context: tokens of prompt and output together, for each request.
        prompts: the set of prompts that the model was taught the roles with, where its name does not say so.
    """

    def __init__(
        self,
        path_or_name: str | Path = DEFAULT_MODEL,
        *,
        threads: int | None = None,
        parallel: int = 4,
        context: int = 4096,
        prompts: str | None = None,
    ) -> None:
        if parallel < 1 or context < 64 or (threads is not None and threads < 1):
            raise ConfigError(
                f"expected parallel >= 1, context >= 64 and threads >= 1, "
                f"given {parallel!r}, {context!r} and {threads!r}"
            )
        files = files_of(path_or_name)
        self._path, self._name, self._adapter = files.path, files.name, files.adapter
        self._prompts = prompts or files.prompts
        self._threads = threads or _usable_cores()
        self._parallel = parallel
        self._context = context
        self._lock = threading.Lock()
        self._workers: ThreadPoolExecutor | None = None
        self._engine: _Engine | None = None

    @property
    def name(self) -> str:
        """The name or path it was asked for by; with an adapter also a piece of the adapter's checksum."""
        return self._name

    @property
    def prompts(self) -> str | None:
        """The set of prompts that the model was taught the roles with."""
        return self._prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a prompt leaves room for an output; counted by another tokenizer, hence with a margin."""
        count = default_counter().count
        tokens = sum(count(message.content) + TEMPLATE_TOKENS for message in messages)
        return tokens * 1.1 + OUTPUT_ROOM <= self._context

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer one request; cancelling it frees its slot at the next token.

        Raises:
            MissingExtraError: `xllamacpp` is not installed.
            ConfigError: the JSON schema cannot become a grammar.
            ModelServerError: the file cannot be loaded, or the prompt does not fit the context.
        """
        exchange = _Exchange()
        workers = self._pool()
        future = workers.submit(self._answer, request, exchange, workers)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            exchange.cancel()
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                raise self._closed() from None
            raise

    def load(self) -> None:
        """Load the model now; llama.cpp holds Python's lock meanwhile, about half a second for 100 MB.

        A base and its adapter are joined first, into a file in the cache, which takes some seconds once.

        Raises:
            MissingExtraError: `xllamacpp` is not installed.
            ModelServerError: the file cannot be loaded.
        """
        self._running(self._pool())

    def close(self) -> None:
        """Free the model; running requests end with an error. A later request loads it again."""
        with self._lock:
            workers, self._workers = self._workers, None
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()
        if workers is not None:
            workers.shutdown(wait=True, cancel_futures=True)

    async def aclose(self) -> None:
        """`close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self._parallel, thread_name_prefix="memquartet-llama")
            return self._workers

    def _running(self, workers: ThreadPoolExecutor) -> _Engine:
        with self._lock:
            if workers is not self._workers:
                raise self._closed()
            if self._engine is None:
                self._engine = self._started()
            return self._engine

    def _answer(self, request: ChatRequest, exchange: _Exchange, workers: ThreadPoolExecutor) -> Completion:
        engine = self._running(workers)
        body = {
            **request_json(request),
            **_llama_sampling(request.sampling),
            "verbose": True,
            "return_tokens": True,
        }
        if request.logprobs:
            body["top_logprobs"] = 1
        if body.pop("response_format", None) is not None:
            body["grammar"] = _grammar(request.json_schema)
        raw = engine.post("/v1/chat/completions", body, exchange)
        try:
            completion = read_completion(raw, model=self._name)
            if "grammar" in body and not _kept_grammar(completion):
                raise ConfigError(
                    f"{self._describe()}: llama.cpp cannot make a grammar of the JSON schema "
                    f"{json.dumps(request.json_schema)[:500]}; check its types, patterns and references"
                )
            prompt = json.loads(raw)["__verbose"]["prompt"]
            tokens = json.loads(
                engine.post("/tokenize", {"content": prompt, "parse_special": True}, exchange)
            )
            return replace(completion, model=self._name, prompt_ids=tuple(tokens["tokens"]))
        except (GarbageReplyError, KeyError, TypeError) as error:
            raise ModelServerError(f"{self._describe()}: unexpected reply of llama.cpp: {error}") from error

    def _started(self) -> _Engine:
        _import_xllamacpp()
        merged = self._merged()
        if merged is not None:
            try:
                return _Engine(self._parameters(merged, None), self._describe())
            except ModelServerError:
                merged.unlink(missing_ok=True)  # damaged since it was made: it is made again next time
        return _Engine(self._parameters(self._path, self._adapter), self._describe())

    def _parameters(self, path: Path, adapter_path: Path | None) -> xllamacpp.CommonParams:
        xllamacpp = _import_xllamacpp()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self._path.stem}
        params.n_parallel = self._parallel
        params.n_ctx = self._context * self._parallel
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        params.n_threads_http = self._parallel + 2
        params.cache_ram_mib = PROMPT_CACHE_MIB
        params.verbosity = _QUIET
        params.api_keys = [secrets.token_hex(16)]
        params.endpoint_slots = False
        params.ui = False
        if adapter_path is not None:
            adapter = xllamacpp.CommonAdapterLoraInfo()
            adapter.path = str(adapter_path)
            adapter.scale = 1.0
            params.lora_adapters = [adapter]
        return params

    def _merged(self) -> Path | None:
        """The one file of base and adapter; None where there is no adapter, or llama.cpp has to apply it itself."""
        if self._adapter is None:
            return None
        try:
            from memquartet.llm.merged import merged_file

            return merged_file(self._path, self._adapter, cache_dir() / "merged")
        # What is damaged llama.cpp names better; a full disk, or a missing `gguf`, only costs time.
        except (InputError, StoreError, DownloadError, ImportError):
            return None

    def _closed(self) -> ModelServerError:
        return ModelServerError(f"{self._describe()}: closed before the request was answered")

    def _describe(self) -> str:
        return f"local model {self._name!r} ({self._path})"


class _Engine:
    """A loaded model and its loopback server; stops when dropped, and at the latest at exit."""

    def __init__(self, params: xllamacpp.CommonParams, description: str) -> None:
        self._description = description
        self._key = params.api_keys[0]
        try:
            server = _import_xllamacpp().Server(params)
        except RuntimeError as error:
            raise ModelServerError(
                f"{description}: llama.cpp cannot load it ({error}). "
                f"Check that it is a GGUF model and that {params.n_ctx} tokens of context fit in memory."
            ) from error
        address = urlsplit(server.listening_address)
        self._host, self._port = address.hostname, address.port
        self._exchanges: weakref.WeakSet[_Exchange] = weakref.WeakSet()
        # Dropping the last reference stops llama.cpp's threads; the finalizer also runs at exit.
        self._stop: Callable[[], object] = weakref.finalize(self, [server].clear)

    def post(self, path: str, body: dict[str, object], exchange: _Exchange) -> bytes:
        """POST a body and return the reply's.

        Raises:
            ModelServerError: the server refused, or the exchange was cancelled or cut.
        """
        connection = http.client.HTTPConnection(str(self._host), self._port)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._exchanges.add(exchange)
        try:
            connection.connect()
            exchange.use(connection.sock)
            connection.request("POST", path, json.dumps(body).encode(), headers)
            reply = connection.getresponse()
            raw = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise ModelServerError(f"{self._description}: the request was cut off: {error!r}") from error
        finally:
            exchange.use(None)
            connection.close()
        if reply.status != 200:
            raise ModelServerError(f"{self._description}: {_refusal(raw)}")
        return raw

    def stop(self) -> None:
        """Cut the running requests and free the model."""
        for exchange in list(self._exchanges):
            exchange.cancel()
        self._stop()


class _Exchange:
    """One request's connection, which another thread may cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cancelled = False

    def use(self, connected: socket.socket | None) -> None:
        """Set or forget the connection.

        Raises:
            ConnectionAbortedError: it was cancelled before.
        """
        with self._lock:
            self._socket = connected
            if self._cancelled and connected is not None:
                raise ConnectionAbortedError("cancelled")

    def cancel(self) -> None:
        """Cut the connection, now or as soon as there is one."""
        with self._lock:
            self._cancelled = True
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


def _llama_sampling(sampling: Sampling) -> dict[str, object]:
    """Switch off llama.cpp's own defaults (top_k 40, min_p 0.05): `Sampling` says all there is."""
    return {"top_k": 1 if sampling.temperature == 0 else 0, "min_p": 0.0, "cache_prompt": True}


def _grammar(schema: JsonSchema | None) -> str:
    """The grammar of compact JSON: without free whitespace a small model needs half the tokens."""
    compact = {**(schema or {}), "x-guidance": {"whitespace_flexible": False}}
    return str(_import_xllamacpp().json_schema_to_grammar(compact))


def _kept_grammar(completion: Completion) -> bool:
    """Whether the text can be JSON: llama.cpp drops a grammar it cannot compile without a word."""
    if completion.finish_reason == "length":
        return completion.text.lstrip()[:1] in _JSON_OPENINGS
    try:
        json.loads(completion.text)
    except ValueError:
        return False
    return True


def _refusal(raw: bytes) -> str:
    try:
        error = json.loads(raw)["error"]
        if error.get("type") == "exceed_context_size_error":
            return (
                f"the prompt has {error['n_prompt_tokens']} tokens and the context {error['n_ctx']}. "
                f"Send less, or pass a larger `context`."
            )
        return f"llama.cpp refused the request: {str(error['message'])[:500]}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"llama.cpp refused the request: {raw[:500]!r}"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_xllamacpp() -> ModuleType:
    # OpenMP reads this when it is loaded. By default its threads spin so long at each barrier that one
    # other busy process makes generation 15 times slower; with this, 3 times, and a free machine loses nothing.
    spins = None if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys() else "2000"
    if spins is not None:
        os.environ["GOMP_SPINCOUNT"] = spins
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtraError(
            "the 'xllamacpp' package is not installed; run: pip install 'memquartet[local]'"
        ) from None
    finally:
        if spins is not None:
            del os.environ["GOMP_SPINCOUNT"]
    module: ModuleType = xllamacpp
    return module
