"""What the four agents share: a prompt from a file, a call, a parse, and another try when the output is unusable.

Order of one `ask`: call the model, read its output, record the turn; if the output is invalid and tries are
left, the output and what is wrong with it go back to the model. Every call is recorded, also the failed ones.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from string import Template
from typing import Generic, TypeVar

from memquartet.core.messages import Message, Speaker
from memquartet.core.trajectory import Role, Turn, TurnStatus
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion, JsonSchema, Sampling

T = TypeVar("T")
TurnSink = Callable[[Turn], None]
"""Where the turns of a unit of work go, in the order in which the calls return."""

USER_MARK = "\n--- user ---\n"


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
        text: a system part, the line `--- user ---`, and a user part.
        values: one text for each name.
    """
    system, _, user = text.partition(USER_MARK)
    return (
        Message(speaker=Speaker.SYSTEM, content=Template(system).substitute(values).strip()),
        Message(speaker=Speaker.USER, content=Template(user).substitute(values).strip()),
    )


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
        reading = read(completion)
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
