"""The model in training as a `ChatModel`: messages to token ids, a token server, token ids to text.

Tokens are what is trained on, so the prompt's ids are built once, here, and what the server returns is kept as
it came. A prompt is never longer than the window: agents leave memories out until it fits, and what is still
too long is cut in the middle, because the instructions stand at its start and the cue to reply at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from memquartet.core.messages import Message
from memquartet.errors import ModelServerError
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.training.clock import CallClock

SamplingParams = Mapping[str, object]
"""By vLLM's names: temperature, top_p, top_k, max_tokens, seed, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReply:
    """What a token server drew. `logprobs` are in nats, None where it was not asked for them."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    stop_reason: str | None = None


Generate = Callable[[Sequence[int], SamplingParams], Awaitable[TokenReply]]
"""One call of a token server. Its failures are `ModelServerError`."""


class ChatTokens:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: object, template: Mapping[str, object] | None = None) -> None:
        """Wrap a Hugging Face tokenizer.

        Args:
            tokenizer: a `PreTrainedTokenizerBase` that has a chat template.
            template: further arguments for `apply_chat_template`.
        """
        self._tokenizer = tokenizer
        self._template = dict(template or {})
        # Agents ask whether a prompt fits and then send it.
        self._last: tuple[Sequence[Message], tuple[int, ...]] | None = None

    def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The prompt's ids, ending with the cue to reply."""
        if self._last is not None and self._last[0] == messages:
            return self._last[1]
        chat = [{"role": m.speaker.value, "content": m.content} for m in messages]
        ids = self._tokenizer.apply_chat_template(  # type: ignore[attr-defined]  # typed object: no stubs
            chat, add_generation_prompt=True, tokenize=True, return_dict=False, **self._template
        )
        self._last = (messages, tuple(ids))
        return self._last[1]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an output, without special tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)  # type: ignore[attr-defined]  # as above
        return text


@dataclass(slots=True, kw_only=True)
class PolicyUse:
    """What happened to the prompts of one episode."""

    calls: int = 0
    prompts_cut: int = 0
    tokens_cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyModel:
    """A chat model over a token server, for one episode.

    `sampling` overrules what the agents ask for, as the trainer decides how to explore; only `max_tokens` and,
    if `seeded`, the seed come from the request. Lengths are in tokens.
    """

    generate: Generate
    tokens: ChatTokens
    sampling: SamplingParams
    prompt_length: int
    response_length: int
    seeded: bool = False
    timeout: float = 600.0
    name: str = "policy"
    use: PolicyUse = field(default_factory=PolicyUse)
    clock: CallClock = field(default_factory=CallClock)

    @property
    def prompts(self) -> None:
        """The run's settings choose them."""

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a prompt is within the window."""
        return len(self.tokens.encode(messages)) <= self.prompt_length

    async def complete(self, request: ChatRequest) -> Completion:
        """Draw one output.

        Raises:
            ModelServerError: the server failed, gave up on the request or took too long.
        """
        prompt = self._within_window(self.tokens.encode(request.messages))
        limit = min(request.sampling.max_tokens, self.response_length)
        sampling = {**self.sampling, "max_tokens": limit}
        if self.seeded:
            sampling["seed"] = request.sampling.seed
        try:
            async with asyncio.timeout(self.timeout):
                with self.clock.call():
                    reply = await self.generate(prompt, sampling)
        except TimeoutError:
            raise ModelServerError(f"{self.name}: no reply within {self.timeout:g} s") from None
        if not reply.token_ids or reply.stop_reason in ("abort", "aborted"):
            raise ModelServerError(f"{self.name}: the server ended the request without an output")
        return Completion(
            text=self.tokens.decode(reply.token_ids),
            model=self.name,
            prompt_ids=prompt,
            output_ids=reply.token_ids,
            logprobs=reply.logprobs,
            prompt_tokens=len(prompt),
            output_tokens=len(reply.token_ids),
            finish_reason="length" if len(reply.token_ids) >= limit else "stop",
        )

    def _within_window(self, prompt: tuple[int, ...]) -> tuple[int, ...]:
        self.use.calls += 1
        excess = len(prompt) - self.prompt_length
        if excess <= 0:
            return prompt
        self.use.prompts_cut += 1
        self.use.tokens_cut += excess
        tail = self.prompt_length // 2
        return (*prompt[: self.prompt_length - tail], *prompt[len(prompt) - tail :])
