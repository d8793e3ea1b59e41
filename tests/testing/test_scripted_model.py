from __future__ import annotations

import asyncio

import pytest

from memquartet.core.messages import Message, Speaker, ToolCall
from memquartet.errors import ModelServerError
from memquartet.llm.protocols import ChatModel, ChatRequest
from memquartet.testing.models import Reply, ScriptedModel, ScriptError, token_ids


def _request(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(speaker=Speaker.USER, content=text),))


async def test_a_list_is_said_in_order_and_runs_out_with_a_clear_error() -> None:
    model: ChatModel = ScriptedModel(["one", Reply(text="two")])
    assert [(await model.complete(_request(text))).text for text in ("a", "b")] == ["one", "two"]
    with pytest.raises(ScriptError, match="has 2 replies, this is call 3: 'c'"):
        await model.complete(_request("c"))


async def test_a_mapping_answers_by_what_the_messages_say() -> None:
    model = ScriptedModel({"cat": "meow", "dog": "woof"})
    assert (await model.complete(_request("my dog"))).text == "woof"
    with pytest.raises(ScriptError, match=r"\['cat', 'dog'\]"):
        await model.complete(_request("my fish"))


async def test_a_callable_gets_the_request() -> None:
    model = ScriptedModel(lambda request: request.messages[-1].content.upper())
    assert (await model.complete(_request("hi"))).text == "HI"


async def test_exceptions_and_tool_calls_can_be_scripted() -> None:
    call = ToolCall(call_id="c", name="f", arguments="{}")
    model = ScriptedModel([ModelServerError("down"), Reply(tool_calls=(call,))])
    with pytest.raises(ModelServerError, match="down"):
        await model.complete(_request("a"))
    completion = await model.complete(_request("b"))
    assert (completion.tool_calls, completion.finish_reason) == ((call,), "tool_calls")
    assert [request.messages[0].content for request in model.requests] == ["a", "b"]


async def test_ids_and_logprobs_are_the_same_every_time() -> None:
    model = ScriptedModel(lambda _: "x y x")
    first, second = await model.complete(_request("p q")), await model.complete(_request("p q"))
    assert first == second
    assert first.output_ids == token_ids("x y x")
    assert first.logprobs is not None
    assert len(first.logprobs) == first.output_tokens == 3
    assert all(logprob < 0 for logprob in first.logprobs)


async def test_thousands_at_once_each_get_their_own_reply() -> None:
    model = ScriptedModel(lambda request: request.messages[-1].content)
    completions = await asyncio.gather(*(model.complete(_request(str(index))) for index in range(3000)))
    assert [completion.text for completion in completions] == [str(index) for index in range(3000)]


async def test_delays_pass_without_blocking_others() -> None:
    model = ScriptedModel([Reply(text="late", delay=0.05), "soon"])
    late = asyncio.create_task(model.complete(_request("a")))
    await asyncio.sleep(0)
    assert (await model.complete(_request("b"))).text == "soon"
    assert not late.done()
    assert (await late).text == "late"
