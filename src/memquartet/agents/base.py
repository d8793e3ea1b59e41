"""What the four agents share: a prompt from a file, a call, a parse, and another try when the output is unusable.

Order of one `ask`: call the model, read its output, record the turn; if the output is invalid and tries are
left, the output and what is wrong with it go back to the model. Every call is recorded, also the failed ones.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from string import Template
from typing import Generic, TypeVar

from memquartet.core.messages import Message, Speaker
from memquartet.core.trajectory import Role, Turn, TurnStatus
from memquartet.errors import ConfigError
from memquartet.llm.parsing import storable
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion, JsonSchema, Sampling

T = TypeVar("T")
TurnSink = Callable[[Turn], None]
"""Where the turns of a unit of work go, in the order in which the calls return."""

_MARK = re.compile(r"^--- (user|assistant) ---\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How one agent calls its model.

    `max_attempts` bounds the calls for one task: 1 means that an unusable output is not sent back.
    `constrained` asks the backend to force the output into the role's JSON schema. `prompt` replaces the
    shipped prompt text (same `$names`). The sampling's seed is ignored: seeds come from the episode.
    """

    sampling: Sampling = field(default_factory=Sampling)
    max_attempts: int = 2
    constrained: bool = True
    logprobs: bool = False
    prompt: str | None = None

    def within(self, max_tokens: int) -> AgentSettings:
        """The same settings with at most this many output tokens, for a task whose output cannot be longer."""
        bounded = replace(self.sampling, max_tokens=min(self.sampling.max_tokens, max_tokens))
        return replace(self, sampling=bounded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Where and when an agent works: the seed of this unit of work, and where its turns go."""

    seed: int
    record: TurnSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[T]):
    """What a parser made of an output.

    `value` is what could be read, None when nothing could; an INVALID reading may hold a part. `parsed` is
    its JSON-ready form for the transcript; `errors` are sentences meant for the model.
    """

    value: T | None
    status: TurnStatus
    parsed: object = None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[T]):
    """The outcome of `ask`: the last reading's value and its turn."""

    value: T | None
    turn: Turn


@cache
def shipped_prompt(name: str) -> str:
    """The text of `prompts/NAME.md`."""
    return resources.files("memquartet.agents").joinpath(f"prompts/{name}.md").read_text(encoding="utf-8")


def render_prompt(text: str, values: Mapping[str, str]) -> tuple[Message, ...]:
    """Fill a prompt's `$names`; the values are inserted as they are and never expanded again.

    Args:
        text: the system message, then messages behind lines `--- user ---` or `--- assistant ---`: worked
            examples if there are any, and last the user message that carries the task.
        values: one text for each name.

    Raises:
        ConfigError: the text has no user message, or names a value that the agent does not give.
    """
    system, *marked = _MARK.split(text)
    try:
        parts = [Template(part).substitute(values).strip() for part in (system, *marked[1::2])]
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"the prompt names {error}; it may name {', '.join(f'${n}' for n in values)}"
        ) from error
    if marked[-2:-1] != ["user"]:
        raise ConfigError("a prompt ends in a user message: add a line '--- user ---' before the task")
    speakers = [Speaker.SYSTEM, *map(Speaker, marked[::2])]
    return tuple(Message(speaker=who, content=part) for who, part in zip(speakers, parts, strict=True))


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2³¹) that depends on the parts alone, so that equal runs draw equal tokens."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


async def ask(
    model: ChatModel,
    role: Role,
    messages: tuple[Message, ...],
    read: Callable[[Completion], Reading[T]],
    *,
    task: Task,
    settings: AgentSettings,
    schema: JsonSchema | None = None,
    left_out: int = 0,
) -> Reply[T]:
    """Call the model until its output is usable or the tries are used up.

    Raises:
        ModelServerError: the server gave no usable reply; turns recorded so far stay recorded.
    """
    attempt = 0
    while True:
        seed = derive_seed(task.seed, role, attempt)
        request = ChatRequest(
            messages=messages,
            json_schema=schema if settings.constrained else None,
            sampling=replace(settings.sampling, seed=seed),
            logprobs=settings.logprobs,
        )
        started = time.perf_counter()
        completion = await model.complete(request)
        # What is read is stored and searched for; the turn keeps the output as it came.
        reading = read(replace(completion, text=storable(completion.text)))
        turn = Turn(
            role=role,
            messages=messages,
            output=completion.text,
            status=reading.status,
            model=completion.model,
            seed=seed,
            attempt=attempt,
            tool_calls=completion.tool_calls,
            prompt_ids=completion.prompt_ids,
            output_ids=completion.output_ids,
            logprobs=completion.logprobs,
            parsed=reading.parsed,
            errors=reading.errors,
            prompt_tokens=completion.prompt_tokens,
            output_tokens=completion.output_tokens,
            finish_reason=completion.finish_reason,
            seconds=time.perf_counter() - started,
            left_out=left_out,
        )
        task.record(turn)
        attempt += 1
        if reading.status is not TurnStatus.INVALID or attempt >= settings.max_attempts:
            return Reply(value=reading.value, turn=turn)
        messages = (*messages, _echo(completion), _complaint(reading.errors))


def _echo(completion: Completion) -> Message:
    return Message(speaker=Speaker.ASSISTANT, content=completion.text, tool_calls=completion.tool_calls)


def _complaint(errors: tuple[str, ...]) -> Message:
    text = "That reply could not be used:\n" + "\n".join(f"- {error}" for error in errors)
    return Message(
        speaker=Speaker.USER, content=text + "\nReply again in the form asked for, and nothing else."
    )
