"""Chat models for tests: scripted replies, no network, no waiting."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memquartet.core.messages import Message, ToolCall
from memquartet.errors import MemquartetError
from memquartet.llm.protocols import ChatRequest, Completion


class ScriptError(MemquartetError, AssertionError):
    """A scripted model was asked for a reply its script does not hold: the test is wrong, or the code is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted reply. `delay` is in seconds; `fails` is raised in place of a reply."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    delay: float = 0.0
    fails: Exception | None = None
    finish_reason: str | None = None


Scripted = str | Reply | Exception
Script = Sequence[Scripted] | Callable[[ChatRequest], Scripted] | Mapping[str, Scripted]


class ScriptedModel:
    """A `ChatModel` that says what it was told to say, and keeps every request in `requests`.

    A list is used up in order of the calls. A mapping answers with the value whose key first occurs in
    the last message, or anywhere in the messages if none does; keys are tried in the mapping's order. A
    callable gets the request. Token ids and log-probs are made from the words, so that equal texts have
    equal ids. Without a delay a call never yields to the event loop, so thousands at once cost
    microseconds each.

    Args:
        script: see above; an exception in it is raised.
        name: reported as the model's name.
        window: characters that the last message of a prompt may have; None is any number.
        prompts: the set of prompts that it claims to be taught with.
    """

    def __init__(
        self, script: Script, *, name: str = "scripted", window: int | None = None, prompts: str | None = None
    ) -> None:
        self._script = script
        self._name = name
        self._window = window
        self._prompts = prompts
        self.requests: list[ChatRequest] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def prompts(self) -> str | None:
        return self._prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether the last message is within the window."""
        return self._window is None or len(messages[-1].content) <= self._window

    async def complete(self, request: ChatRequest) -> Completion:
        """Give the next reply.

        Raises:
            ScriptError: the script has no reply for this request.
            Exception: whatever the script holds in its place.
        """
        index = len(self.requests)
        self.requests.append(request)
        scripted = self._next(index, request)
        reply = scripted if isinstance(scripted, Reply) else _as_reply(scripted)
        if reply.delay > 0:
            await asyncio.sleep(reply.delay)
        if reply.fails is not None:
            raise reply.fails
        return self._completion(request, reply)

    def _next(self, index: int, request: ChatRequest) -> Scripted:
        script = self._script
        if isinstance(script, Mapping):
            return _matching(script, request.messages)
        if callable(script):
            return script(request)
        if index >= len(script):
            raise ScriptError(
                f"the script of {self._name!r} has {len(script)} replies, this is call {index + 1}: {_last(request)}"
            )
        return script[index]

    def _completion(self, request: ChatRequest, reply: Reply) -> Completion:
        prompt_ids = tuple(token for message in request.messages for token in token_ids(message.content))
        output_ids = token_ids(reply.text)
        return Completion(
            text=reply.text,
            model=self._name,
            tool_calls=reply.tool_calls,
            prompt_ids=prompt_ids,
            output_ids=output_ids,
            logprobs=tuple(-((token % 97) + 1) / 100 for token in output_ids),
            prompt_tokens=len(prompt_ids),
            output_tokens=len(output_ids),
            finish_reason=reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop"),
        )


def token_ids(text: str) -> tuple[int, ...]:
    """Made-up ids in [0, 2**16), one for each word; the same in every process."""
    return tuple(zlib.crc32(word.encode("utf-8", "replace")) & 0xFFFF for word in text.split())


def _as_reply(scripted: str | Exception) -> Reply:
    return Reply(text=scripted) if isinstance(scripted, str) else Reply(fails=scripted)


def _matching(script: Mapping[str, Scripted], messages: tuple[Message, ...]) -> Scripted:
    for searched in (messages[-1:], messages):
        for key, scripted in script.items():
            if any(key in message.content for message in searched):
                return scripted
    raise ScriptError(
        f"none of the keys {list(script)!r} occurs in the messages, the last is: {messages[-1:]!r}"
    )


def _last(request: ChatRequest) -> str:
    return repr(request.messages[-1].content[:300]) if request.messages else "no messages"
