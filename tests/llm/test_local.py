"""The real model; `memquartet model pull smollm2-135m` fetches it once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memquartet.core.messages import Message, Speaker, ToolCall
from memquartet.core.trajectory import TurnStatus
from memquartet.errors import ConfigError, ModelServerError
from memquartet.llm.local import LocalChatModel
from memquartet.llm.models import pull
from memquartet.llm.parsing import parse_json
from memquartet.llm.protocols import ChatRequest, JsonSchema, Sampling

FACTS: JsonSchema = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string", "maxLength": 40}, "important": {"type": "boolean"}},
                "required": ["text", "important"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}


def _request(
    text: str = "I moved to Paris with my 2 cats.",
    *,
    tokens: int = 12,
    schema: JsonSchema | None = None,
    logprobs: bool = False,
    seed: int | None = None,
    stop: tuple[str, ...] = (),
) -> ChatRequest:
    sampling = Sampling(max_tokens=tokens, temperature=0.0 if seed is None else 1.0, seed=seed, stop=stop)
    message = Message(speaker=Speaker.USER, content=text)
    return ChatRequest(messages=(message,), sampling=sampling, json_schema=schema, logprobs=logprobs)


@pytest.fixture(scope="module")
def model() -> Iterator[LocalChatModel]:
    pull("smollm2-135m")
    loaded = LocalChatModel("smollm2-135m", parallel=4, context=512)
    yield loaded
    loaded.close()


@pytest.mark.model
async def test_a_reply_has_ids_and_logprobs_of_every_token(model: LocalChatModel) -> None:
    completion = await model.complete(_request(logprobs=True))
    assert completion.text
    assert completion.prompt_ids is not None
    assert completion.output_ids is not None
    assert completion.logprobs is not None
    assert len(completion.output_ids) == len(completion.logprobs) == completion.output_tokens
    assert len(completion.prompt_ids) == completion.prompt_tokens
    assert all(logprob <= 0 for logprob in completion.logprobs)
    assert completion.finish_reason == "length"


@pytest.mark.model
@pytest.mark.parametrize("tokens", [1, 3, 10, 25, 200])
async def test_a_schema_holds_and_a_cut_output_is_still_repairable(
    model: LocalChatModel, tokens: int
) -> None:
    completion = await model.complete(_request(schema=FACTS, tokens=tokens))
    if completion.finish_reason == "stop":
        assert json.loads(completion.text).keys() == {"facts"}
        assert "\n" not in completion.text
    else:
        parsed = parse_json(completion.text)
        assert parsed.status is not TurnStatus.OK
        assert completion.text == "" or completion.text.startswith("{")


@pytest.mark.model
@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"type": "string", "pattern": "(("}, {"$ref": "#/nowhere"}]
)
async def test_a_schema_without_a_grammar_is_a_config_error(
    model: LocalChatModel, schema: JsonSchema
) -> None:
    with pytest.raises(ConfigError, match="grammar"):
        await model.complete(_request(schema=schema))


@pytest.mark.model
async def test_the_same_seed_says_the_same(model: LocalChatModel) -> None:
    said = [(await model.complete(_request(seed=seed))).text for seed in (7, 7, 8)]
    assert said[0] == said[1] != said[2]


@pytest.mark.model
async def test_a_stop_word_ends_the_text_before_it(model: LocalChatModel) -> None:
    plain = (await model.complete(_request(tokens=20))).text
    word = plain.split()[2]
    completion = await model.complete(_request(tokens=20, stop=(word,), logprobs=True))
    assert word not in completion.text
    assert plain.startswith(completion.text)
    assert completion.finish_reason == "stop"


@pytest.mark.model
async def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(model: LocalChatModel) -> None:
    with pytest.raises(ModelServerError, match=r"prompt has \d+ tokens and the context 512"):
        await model.complete(_request("word " * 2000))


@pytest.mark.model
async def test_an_output_that_fills_the_context_ends_with_length(model: LocalChatModel) -> None:
    completion = await model.complete(_request("word " * 440, tokens=100))
    assert completion.finish_reason in {"length", "stop"}
    assert completion.prompt_tokens + completion.output_tokens <= 512


@pytest.mark.model
async def test_odd_text_and_tool_messages_do_not_break_it(model: LocalChatModel) -> None:
    assert (await model.complete(_request("a\x00b \ud83d 日本語 <|im_end|>", tokens=3))).output_tokens
    call = ToolCall(call_id="c1", name="f", arguments="{}")
    messages = (
        Message(speaker=Speaker.USER, content="go"),
        Message(speaker=Speaker.ASSISTANT, content="", tool_calls=(call,)),
        Message(speaker=Speaker.TOOL, content="done", tool_call_id="c1"),
    )
    assert (
        await model.complete(ChatRequest(messages=messages, sampling=Sampling(max_tokens=3)))
    ).output_tokens


@pytest.mark.model
async def test_a_cancelled_request_frees_its_slot(model: LocalChatModel) -> None:
    tasks = [
        asyncio.create_task(model.complete(_request("Tell a story.", tokens=400, seed=index)))
        for index in range(8)
    ]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert (await model.complete(_request(tokens=2))).output_tokens == 2


@pytest.mark.model
async def test_closing_ends_running_and_queued_requests_and_a_later_one_loads_again() -> None:
    # Not the taught model, whose story is two words long.
    model = LocalChatModel("smollm2-135m", parallel=1, context=512)
    await asyncio.to_thread(model.load)
    waiting = [
        asyncio.create_task(model.complete(_request("Tell a story.", tokens=480, seed=1))) for _ in range(3)
    ]
    await asyncio.sleep(0.2)
    await model.aclose()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, ModelServerError)
    assert model._engine is None
    assert (await model.complete(_request(tokens=2))).output_tokens == 2
    await model.aclose()


@pytest.mark.model
def test_a_process_that_never_closes_its_model_ends_quietly() -> None:
    program = (
        "import asyncio; from memquartet.llm.local import LocalChatModel; from memquartet.llm.protocols import *; "
        "from memquartet.core.messages import *; model = LocalChatModel(context=256); "
        "request = ChatRequest(messages=(Message(speaker=Speaker.USER, content='hi'),)); "
        "print([asyncio.run(model.complete(request)).finish_reason for _ in range(2)])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "['stop', 'stop']\n", "")


@pytest.mark.model
def test_a_file_that_is_no_model_is_a_model_server_error(tmp_path: Path) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(b"GGUF, not really")
    with pytest.raises(ModelServerError, match="cannot load"):
        LocalChatModel(file).load()


@pytest.mark.parametrize("wrong", [{"parallel": 0}, {"context": 1}, {"threads": 0}])
def test_limits_that_cannot_work_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    file = tmp_path / "any.gguf"
    file.touch()
    with pytest.raises(ConfigError, match="expected"):
        LocalChatModel(file, **wrong)  # type: ignore[arg-type]  # wrong on purpose
