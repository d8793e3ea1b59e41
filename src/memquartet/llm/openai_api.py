"""A chat model behind any OpenAI-compatible server: bounded concurrency, retries, no trust in replies."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from memquartet.core.messages import Message
from memquartet.errors import ConfigError, MissingExtraError, ModelServerError
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.llm.wire import GarbageReplyError, read_completion, request_json

if TYPE_CHECKING:
    import openai

OPENAI_URL = "https://api.openai.com/v1"
MAX_WAIT = 60.0
"""Seconds; a server's Retry-After above this is cut, so that one call cannot sleep for an hour."""

_log = logging.getLogger(__name__)
_RETRIED = frozenset({408, 409, 425, 429})
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(slots=True)
class _Session:
    """A client and its limit; both belong to one event loop."""

    client: openai.AsyncOpenAI
    places: asyncio.Semaphore


@dataclass(slots=True)
class _Dialect:
    """What this server was found not to take; learned from its first refusal."""

    without: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    unbound: bool = False

    def adapt(self, body: dict[str, object]) -> dict[str, object]:
        """`body` in the words this server takes."""
        adapted = {key: value for key, value in body.items() if key not in self.without}
        if "max_tokens" in self.without and "max_tokens" in body:
            adapted["max_completion_tokens"] = body["max_tokens"]
        return adapted

    def learn(self, body: Mapping[str, object], refusal: str) -> bool:
        """Whether the refusal names something that can be left out; it is left out from then on."""
        refusal = refusal.lower()
        for key, signs in _REFUSALS.items():
            if key in body and key not in self.without and any(sign in refusal for sign in signs):
                self.without.add(key)
                self.warnings.append(
                    f"the server refused {key!r}; it is left out from now on: {refusal[:200]}"
                )
                _log.warning("%s", self.warnings[-1])
                return True
        return False

    def unbind(self, body: dict[str, object], refusal: str) -> bool:
        """Whether the server has no room for the reply that `body` allows; its bound is then taken out, this time only.

        The window ends the reply, and earlier than the bound would have. Another request may have the room, so
        nothing is learned; the first one is told as a warning, and each in the log.
        """
        bounds = [key for key in _BOUNDS if key in body]
        if not bounds or not _TOO_MUCH_ASKED.search(refusal):
            return False
        asked = body.pop(bounds[0])
        note = f"the server has no room for a reply of {asked} tokens; asked again for one that ends with its window"
        _log.log(logging.INFO if self.unbound else logging.WARNING, "%s", note)
        if not self.unbound:
            self.warnings.append(f"{note}: {refusal[:200]}")
        self.unbound = True
        return True


_REFUSALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "response_format": ("response_format", "json_schema", "guided", "grammar", "structured output"),
        "max_tokens": ("max_completion_tokens",),
        "seed": ("seed",),
        "logprobs": ("logprobs",),
    }
)
_TOO_MUCH_ASKED = re.compile(
    r"max_(?:completion_)?tokens\b.{0,60}(?:is too large|cannot be greater)"
    r"|requested \d+ output tokens|\d+ in the completion",
    re.IGNORECASE | re.DOTALL,
)
"""How vLLM, old and new, and OpenAI say that a reply as long as `max_tokens` has no room in the model's window."""
_BOUNDS = ("max_tokens", "max_completion_tokens")


class _TryAgainError(Exception):
    """This try failed in a way that may pass."""

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class OpenAIChatModel:
    """A `ChatModel` over an OpenAI-compatible server.

    Timeouts, lost connections, 408, 409, 425, 429, 5xx and replies that are no chat completion are
    tried again with exponential backoff and jitter, or after the server's Retry-After. What a server
    refuses once (a JSON schema, `seed`, `logprobs`, `max_tokens`) is left out from then on and noted in
    `warnings`. A request whose `max_tokens` has no room in the server's window is asked again without
    that bound: its reply has the room there is, and the finish reason "length" where that cut it. One
    instance may serve several event loops, also in turn.

    Token ids come back from llama.cpp with log-probs, and from vLLM with
    `extra_body={"return_token_ids": True}`.

    Args:
        model: the name the server knows.
        base_url: such as "http://localhost:8000/v1"; None is OpenAI's own.
        api_key: None reads OPENAI_API_KEY; a server of your own may need none.
        concurrency: requests in flight at most, in each event loop.
        timeout: seconds for one try.
        max_retries: further tries after the first.
        extra_body: keys added to every request's body.
        prompts: the set of prompts that the model was taught the roles with; None if it was not taught.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        concurrency: int = 16,
        timeout: float = 60.0,
        max_retries: int = 4,
        extra_body: Mapping[str, object] = _NOTHING,
        prompts: str | None = None,
    ) -> None:
        if not model:
            raise ConfigError("model is '', expected the name of a model the server knows")
        if concurrency < 1 or timeout <= 0 or max_retries < 0:
            raise ConfigError(
                f"expected concurrency >= 1, timeout > 0 and max_retries >= 0, "
                f"given {concurrency!r}, {timeout!r} and {max_retries!r}"
            )
        self._model = model
        self._base_url = base_url or OPENAI_URL
        self._api_key = api_key
        self._concurrency = concurrency
        self._timeout = timeout
        self._max_retries = max_retries
        self._extra_body = dict(extra_body)
        self._prompts = prompts
        self._dialect = _Dialect()
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Session] = WeakKeyDictionary()
        self._jitter = random.Random()

    @property
    def name(self) -> str:
        """The model's name, as the server knows it."""
        return self._model

    @property
    def prompts(self) -> str | None:
        """The set of prompts that the model was taught the roles with."""
        return self._prompts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server was found not to support."""
        return tuple(self._dialect.warnings)

    def fits(self, messages: Sequence[Message]) -> bool:
        """Always: a server does not tell its window; what does not fit comes back as an error."""
        return True

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer one request.

        Raises:
            MissingExtraError: the `openai` package is not installed.
            ModelServerError: the server refused the request, or gave no usable reply in all tries.
        """
        session = self._session()
        body = {**request_json(request), **self._extra_body}
        async with session.places:
            for attempt in range(self._max_retries + 1):
                try:
                    return await self._try_once(session.client, body)
                except _TryAgainError as error:
                    if attempt == self._max_retries:
                        raise self._failure(
                            f"no usable reply in {attempt + 1} tries, at last: {error}"
                        ) from error
                    wait = min(error.wait if error.wait is not None else 0.5 * 2.0**attempt, MAX_WAIT)
                await asyncio.sleep(wait * self._jitter.uniform(1.0, 1.25))
        raise AssertionError("unreachable: the last try returns or raises")

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later call opens new ones."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.client.close()

    async def _try_once(self, client: openai.AsyncOpenAI, body: dict[str, object]) -> Completion:
        import openai

        body = dict(body)
        while True:
            adapted = self._dialect.adapt(body)
            messages = adapted.pop("messages")
            try:
                reply = await client.chat.completions.with_raw_response.create(
                    model=self._model,
                    messages=messages,
                    extra_body=adapted,
                )
                return read_completion(reply.content, model=self._model)
            except openai.APITimeoutError:
                raise _TryAgainError(f"no reply within {self._timeout:g} s") from None
            except openai.APIConnectionError as error:
                raise _TryAgainError(f"no connection: {error.__cause__ or error}") from error
            except GarbageReplyError as error:
                raise _TryAgainError(str(error)) from error
            except openai.APIStatusError as error:
                status, text = error.status_code, error.response.text
                if status in _RETRIED or status >= 500:
                    wait = _retry_after(error.response.headers)
                    raise _TryAgainError(f"status {status}: {text[:200]!r}", wait=wait) from error
                if status not in {400, 422} or not (
                    self._dialect.unbind(body, text) or self._dialect.learn(adapted, text)
                ):
                    raise self._failure(f"status {status}: {text[:500]!r}", status) from error

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = _Session(self._client(), asyncio.Semaphore(self._concurrency))
            self._sessions[loop] = session
        return session

    def _client(self) -> openai.AsyncOpenAI:
        try:
            import openai
        except ImportError:
            raise MissingExtraError(
                "the 'openai' package is not installed; run: pip install 'memquartet[openai]'"
            ) from None
        key = self._api_key
        if key is None and self._base_url != OPENAI_URL:
            # The client insists on a key; a server of one's own mostly wants none.
            key = os.environ.get("OPENAI_API_KEY") or "none"
        try:
            return openai.AsyncOpenAI(
                base_url=self._base_url, api_key=key, timeout=self._timeout, max_retries=0
            )
        except openai.OpenAIError as error:
            raise ConfigError(
                f"no API key for {self._base_url!r}: set OPENAI_API_KEY, or pass api_key"
            ) from error

    def _failure(self, reason: str, status: int | None = None) -> ModelServerError:
        step = _NEXT_STEPS.get(status, "Check that the server runs and that base_url is right.")
        return ModelServerError(f"model {self._model!r} at {self._base_url!r}: {reason}. {step}")


_NEXT_STEPS: Mapping[int | None, str] = MappingProxyType(
    {
        400: "The server does not take this request; see its message.",
        401: "Set OPENAI_API_KEY to a key this server knows.",
        403: "The key may not use this model.",
        404: "Check the model's name and that base_url ends as the server wants, mostly in /v1.",
        422: "The server does not take this request; see its message.",
    }
)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After in seconds or as a date; None when there is none to read."""
    raw = headers.get("retry-after", "")
    try:
        return max(0.0, float(raw))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(raw).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
