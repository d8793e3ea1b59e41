"""What the rest of the package asks of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from memquartet.core.messages import Message, ToolCall

JsonSchema = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw tokens. `temperature` 0 is greedy; `max_tokens` bounds the output; `seed` fixes the draw."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    stop: tuple[str, ...] = ()


GREEDY = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One call: `json_schema` asks for constrained output and `tools` (OpenAI form) for native tool calls.

    A backend that can do neither ignores both; the caller parses the text anyway.
    """

    messages: tuple[Message, ...]
    tools: tuple[JsonSchema, ...] = ()
    json_schema: JsonSchema | None = None
    sampling: Sampling = field(default=GREEDY)
    logprobs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's reply. Ids and log-probs (nats) are None where the backend does not give them.

    `prompt_tokens` and `output_tokens` are the backend's counts, 0 when unknown. `finish_reason` is
    "stop", "length" or "tool_calls".
    """

    text: str
    model: str
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_ids: tuple[int, ...] | None = None
    output_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str = "stop"


class ChatModel(Protocol):
    """A language model: one coroutine, and what it can take in."""

    @property
    def name(self) -> str:
        """The model's name, as it is written into journals and transcripts."""
        ...

    @property
    def prompts(self) -> str | None:
        """The set of prompts that it was taught the roles with, by name or folder; None if it was not taught."""
        ...

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a prompt leaves room for an output in the model's window; True where the window is unknown."""
        ...

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer one request.

        Raises:
            ModelServerError: no usable reply within the allowed tries.
        """
        ...
