from __future__ import annotations

import asyncio
import threading

import pytest

from memquartet.core.messages import Message, Speaker, ToolCall
from memquartet.errors import ModelServerError
from memquartet.llm import openai_api
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.llm.protocols import ChatRequest, Sampling
from memquartet.testing.server import (
    DROPPED,
    HTML,
    NO_CHOICES,
    TIMEOUT,
    TRUNCATED_JSON,
    FakeServer,
    Received,
    Served,
    chat_reply,
    error_reply,
    json_reply,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def _request(text: str = "hi", **more: object) -> ChatRequest:
    message = Message(speaker=Speaker.USER, content=text)
    return ChatRequest(messages=(message,), **more)  # type: ignore[arg-type]  # the test's own keywords


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the waits between tries by a list of their seconds."""
    waits: list[float] = []
    real = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr(openai_api.asyncio, "sleep", note)  # type: ignore[attr-defined]  # a module's import
    return waits


async def test_a_reply_becomes_a_completion() -> None:
    with FakeServer([chat_reply("hello")]) as server:
        model = OpenAIChatModel("m", server.base_url)
        completion = await model.complete(_request(sampling=Sampling(seed=7, stop=("x",), max_tokens=5)))
        await model.aclose()
    assert (completion.text, completion.prompt_tokens, completion.output_tokens) == ("hello", 3, 2)
    body = server.requests[0].body
    assert {key: body[key] for key in ("model", "max_tokens", "seed", "stop", "temperature")} == {
        "model": "m",
        "max_tokens": 5,
        "seed": 7,
        "stop": ["x"],
        "temperature": 0.0,
    }


@pytest.mark.parametrize(
    "fault",
    [
        error_reply(500),
        error_reply(503),
        error_reply(429),
        error_reply(408),
        HTML,
        TRUNCATED_JSON,
        DROPPED,
        NO_CHOICES,
        chat_reply(None),
        json_reply([1, 2]),
        json_reply({"choices": "none"}),
        TIMEOUT,
    ],
    ids=["500", "503", "429", "408", "html", "cut", "drop", "empty", "null", "list", "text", "timeout"],
)
async def test_a_fault_that_may_pass_is_tried_again(fault: Served, quick: list[float]) -> None:
    with FakeServer([fault, fault, "at last"]) as server:
        model = OpenAIChatModel("m", server.base_url, timeout=0.3)
        assert (await model.complete(_request())).text == "at last"
        await model.aclose()
    assert len(quick) == 2
    assert 0.5 <= quick[0] < quick[1] * 1.25


async def test_a_fault_that_stays_names_the_server_and_the_tries(quick: list[float]) -> None:
    with FakeServer([HTML]) as server:
        model = OpenAIChatModel("m", server.base_url, max_retries=2)
        with pytest.raises(ModelServerError, match="3 tries") as caught:
            await model.complete(_request())
        await model.aclose()
    assert server.base_url in str(caught.value)
    assert "not JSON" in str(caught.value)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("given", "waited"), [("3", 3.0), ("100000", openai_api.MAX_WAIT), ("soon", 0.5)])
async def test_the_servers_retry_after_is_kept_within_reason(
    given: str, waited: float, quick: list[float]
) -> None:
    with FakeServer([error_reply(429, retry_after=given), "ok"]) as server:
        model = OpenAIChatModel("m", server.base_url)
        await model.complete(_request())
        await model.aclose()
    assert waited <= quick[0] <= waited * 1.25


@pytest.mark.parametrize(("status", "step"), [(400, "its message"), (401, "OPENAI_API_KEY"), (404, "/v1")])
async def test_a_refusal_is_final_and_says_the_next_step(status: int, step: str, quick: list[float]) -> None:
    with FakeServer([error_reply(status, "refused")]) as server:
        model = OpenAIChatModel("m", server.base_url)
        with pytest.raises(ModelServerError, match=f"status {status}") as caught:
            await model.complete(_request())
        await model.aclose()
    assert step in str(caught.value)
    assert server.base_url in str(caught.value)
    assert (len(server.requests), quick) == (1, [])


async def test_no_server_at_all_is_a_model_server_error(quick: list[float]) -> None:
    with FakeServer() as server:
        address = server.base_url
    model = OpenAIChatModel("m", address, max_retries=1)
    with pytest.raises(ModelServerError, match="no connection"):
        await model.complete(_request())
    await model.aclose()


async def test_a_server_without_json_schemas_is_asked_once() -> None:
    def respond(received: Received) -> Served | str:
        return (
            error_reply(400, "response_format is not supported")
            if "response_format" in received.body
            else "ok"
        )

    with FakeServer(respond) as server:
        model = OpenAIChatModel("m", server.base_url)
        for _ in range(3):
            assert (await model.complete(_request(json_schema=SCHEMA))).text == "ok"
        await model.aclose()
    assert ["response_format" in request.body for request in server.requests] == [True, False, False, False]
    assert len(model.warnings) == 1


async def test_a_server_that_renamed_max_tokens_is_followed() -> None:
    def respond(received: Received) -> Served | str:
        if "max_tokens" in received.body:
            return error_reply(400, "Unsupported parameter: use 'max_completion_tokens' instead")
        return str(received.body["max_completion_tokens"])

    with FakeServer(respond) as server:
        model = OpenAIChatModel("m", server.base_url)
        assert (await model.complete(_request(sampling=Sampling(max_tokens=9)))).text == "9"
        await model.aclose()


@pytest.mark.parametrize(
    "refusal",
    [
        "max_tokens=8704 cannot be greater than max_model_len=8192. Please request fewer output tokens.",
        "This model's maximum context length is 8192 tokens. However, you requested 8704 output tokens and your prompt"
        " contains at least 1 input tokens, for a total of at least 8705 tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 8704. This model's maximum context length is 8192 tokens"
        " and your request has 9 input tokens (8704 > 8192 - 9).",
        "This model's maximum context length is 8192 tokens. However, you requested 8713 tokens (9 in the messages, 8704"
        " in the completion).",
    ],
)
async def test_a_reply_longer_than_the_window_is_asked_for_without_a_bound(refusal: str) -> None:
    def respond(received: Received) -> Served | str:
        return error_reply(400, refusal) if received.body.get("max_tokens", 0) == 8704 else "ok"

    with FakeServer(respond) as server:
        model = OpenAIChatModel("m", server.base_url)
        for tokens in (8704, 8704, 20):
            assert (await model.complete(_request(sampling=Sampling(max_tokens=tokens)))).text == "ok"
        await model.aclose()
    bounds = [request.body.get("max_tokens") for request in server.requests]
    assert bounds == [8704, None, 8704, None, 20]
    assert len(model.warnings) == 1
    assert "8704" in model.warnings[0]


async def test_a_prompt_longer_than_the_window_is_refused_in_the_end(quick: list[float]) -> None:
    refusal = "This model's maximum context length is 8192 tokens. However, you requested 20 output tokens and more."
    with FakeServer([error_reply(400, refusal)]) as server:
        model = OpenAIChatModel("m", server.base_url)
        with pytest.raises(ModelServerError, match="maximum context length"):
            await model.complete(_request())
        await model.aclose()
    assert (len(server.requests), quick) == (2, [])


async def test_concurrency_is_bounded() -> None:
    with FakeServer([Served(body=chat_reply("ok").body, delay=0.02)]) as server:
        model = OpenAIChatModel("m", server.base_url, concurrency=3)
        await asyncio.gather(*(model.complete(_request()) for _ in range(12)))
        await model.aclose()
    assert server.most_at_once <= 3
    assert len(server.requests) == 12


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_one_model_serves_event_loops_in_turn() -> None:
    async def ask(model: OpenAIChatModel) -> str:
        text = (await model.complete(_request())).text
        await model.aclose()
        return text

    with FakeServer() as server:
        model = OpenAIChatModel("m", server.base_url)
        assert [asyncio.run(ask(model)) for _ in range(3)] == ["ok"] * 3


async def test_cancelling_frees_the_place() -> None:
    arrived = threading.Event()

    def respond(_: Received) -> Served | str:
        if arrived.is_set():
            return "ok"
        arrived.set()
        return TIMEOUT

    with FakeServer(respond) as server:
        model = OpenAIChatModel("m", server.base_url, concurrency=1)
        waiting = asyncio.create_task(model.complete(_request()))
        await asyncio.to_thread(arrived.wait)
        waiting.cancel()
        assert (await model.complete(_request())).text == "ok"
        await model.aclose()
    assert waiting.cancelled()


async def test_tool_calls_and_their_results_cross_the_wire() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    reply = json_reply({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    wanted = ToolCall(call_id="c1", name="f", arguments='{"a": 1}')
    with FakeServer([reply]) as server:
        model = OpenAIChatModel("m", server.base_url)
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        completion = await model.complete(_request(tools=(tool,), json_schema=SCHEMA))
        history = (
            Message(speaker=Speaker.ASSISTANT, content="", tool_calls=completion.tool_calls),
            Message(speaker=Speaker.TOOL, content="done", tool_call_id="c1"),
        )
        await model.complete(ChatRequest(messages=history))
        await model.aclose()
    assert (completion.tool_calls, completion.finish_reason) == ((wanted,), "tool_calls")
    assert server.requests[0].body["tools"] == [tool]
    assert "response_format" not in server.requests[0].body
    assert server.requests[1].body["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
    ]


async def test_text_that_utf8_cannot_hold_is_sent_all_the_same() -> None:
    with FakeServer() as server:
        model = OpenAIChatModel("m", server.base_url)
        await model.complete(_request("a\ud83d\x00b"))
        await model.aclose()
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "a\ufffd\x00b"}]
