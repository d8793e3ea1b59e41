from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.core.messages import Message, Speaker
from memquartet.errors import ModelServerError
from memquartet.llm.protocols import ChatRequest, Sampling
from memquartet.training.policy import ChatTokens, PolicyModel, SamplingParams, TokenReply


class CharacterTokenizer:
    """Every character is its code point."""

    def apply_chat_template(self, chat: list[dict[str, str]], **_: object) -> list[int]:
        return [ord(character) for message in chat for character in message["content"]]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(map(chr, ids))


class Server:
    """Replies with one word and keeps what it was asked."""

    def __init__(self, reply: str = "yes", stop_reason: str | None = "completed", delay: float = 0.0) -> None:
        self.asked: list[tuple[Sequence[int], SamplingParams]] = []
        self._reply, self._stop_reason, self._delay = reply, stop_reason, delay

    async def generate(self, prompt: Sequence[int], sampling: SamplingParams) -> TokenReply:
        self.asked.append((prompt, sampling))
        await asyncio.sleep(self._delay)
        ids = tuple(map(ord, self._reply))
        return TokenReply(token_ids=ids, logprobs=(-1.0,) * len(ids), stop_reason=self._stop_reason)


def policy(server: Server, *, window: int = 50, seeded: bool = False, timeout: float = 5.0) -> PolicyModel:
    return PolicyModel(
        generate=server.generate,
        tokens=ChatTokens(CharacterTokenizer()),
        sampling={"temperature": 0.7, "top_p": 1.0},
        prompt_length=window,
        response_length=20,
        seeded=seeded,
        timeout=timeout,
    )


def request(text: str) -> ChatRequest:
    message = Message(speaker=Speaker.USER, content=text)
    return ChatRequest(messages=(message,), sampling=Sampling(temperature=0.0, max_tokens=9, seed=7))


async def test_a_reply_keeps_the_tokens_as_they_came() -> None:
    reply = await policy(Server("yes")).complete(request("Is it?"))
    assert (reply.text, reply.prompt_ids) == ("yes", tuple(map(ord, "Is it?")))
    assert (reply.output_ids, reply.logprobs) == (tuple(map(ord, "yes")), (-1.0, -1.0, -1.0))
    assert reply.finish_reason == "stop"


async def test_the_trainer_decides_how_to_explore_and_the_agent_how_long() -> None:
    server = Server()
    await policy(server).complete(request("a"))
    await policy(server, seeded=True).complete(request("a"))
    assert server.asked[0][1] == {"temperature": 0.7, "top_p": 1.0, "max_tokens": 9}
    assert server.asked[1][1]["seed"] == 7


@given(text=st.text(max_size=200), window=st.integers(1, 60))
def test_a_prompt_never_exceeds_the_window(text: str, window: int) -> None:
    server = Server()
    model = policy(server, window=window)
    reply = asyncio.run(model.complete(request(text)))
    assert reply.prompt_ids is not None
    excess = max(0, len(text) - window)
    assert len(reply.prompt_ids) == min(len(text), window)
    assert (model.use.prompts_cut, model.use.tokens_cut) == (int(excess > 0), excess)
    kept = "".join(map(chr, reply.prompt_ids))
    head = window - window // 2
    assert kept[:head] == text[:head]
    assert kept[head:] == (text[head:] if not excess else text[len(text) - window // 2 :])


async def test_an_output_as_long_as_allowed_was_cut() -> None:
    reply = await policy(Server("123456789")).complete(request("a"))
    assert reply.finish_reason == "length"


@pytest.mark.parametrize(
    "server", [Server("", "completed"), Server("half", "aborted"), Server("late", delay=0.5)]
)
async def test_a_server_that_gives_up_is_the_worlds_failure(server: Server) -> None:
    with pytest.raises(ModelServerError):
        await policy(server, timeout=0.05).complete(request("a"))
