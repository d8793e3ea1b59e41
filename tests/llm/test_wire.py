from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.llm.wire import GarbageReplyError, read_completion

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "logprobs",
                    "usage",
                    "tool_calls",
                    "function",
                    "id",
                    "model",
                ]
            ),
            inner,
        )
    ),
    max_leaves=15,
)


def _reply(message: object, **choice: object) -> dict[str, object]:
    return {"choices": [{"message": message, **choice}]}


def _read(reply: dict[str, object]) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
    completion = read_completion(json.dumps(reply).encode(), model="m")
    return completion.output_ids, completion.logprobs


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_completion_or_garbage(raw: bytes) -> None:
    with contextlib.suppress(GarbageReplyError):
        assert read_completion(raw, model="m").finish_reason in {"stop", "length", "tool_calls"}


def test_ids_are_found_where_each_server_puts_them() -> None:
    said = {"content": "ab"}
    scored = {"content": [{"id": 5, "token": "a", "logprob": -0.5}, {"id": 6, "token": "b", "logprob": -1}]}
    assert _read(_reply(said, logprobs=scored)) == ((5, 6), (-0.5, -1.0))
    assert _read(_reply(said, token_ids=[7, 8])) == ((7, 8), None)
    assert _read({**_reply(said), "__verbose": {"tokens": [9]}}) == ((9,), None)
    assert _read(_reply(said)) == (None, None)


def test_ids_and_logprobs_keep_the_same_length() -> None:
    scored = {"content": [{"token": "a", "logprob": -0.5}]}
    assert _read({**_reply({"content": "a"}, logprobs=scored), "__verbose": {"tokens": [5, 6]}}) == (
        (5,),
        (-0.5,),
    )


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1" + "0" * 400])
def test_a_logprob_that_is_no_number_to_train_on_is_missing(number: str) -> None:
    scored = {"content": [{"id": 5, "token": "a", "logprob": 0.25}]}
    raw = json.dumps(_reply({"content": "a"}, logprobs=scored)).replace("0.25", number).encode()
    completion = read_completion(raw, model="m")
    assert (completion.output_ids, completion.logprobs) == ((5,), None)


def test_a_prompt_s_ids_come_from_vllm() -> None:
    reply = {**_reply({"content": "a"}), "prompt_token_ids": [1, 2, 3]}
    assert read_completion(json.dumps(reply).encode(), model="m").prompt_ids == (1, 2, 3)


def test_an_empty_answer_cut_off_by_the_limit_is_an_answer() -> None:
    reply = json.dumps(_reply({"content": None}, finish_reason="length")).encode()
    assert (read_completion(reply, model="m").text, read_completion(reply, model="m").finish_reason) == (
        "",
        "length",
    )
    with pytest.raises(GarbageReplyError, match="neither text nor tool calls"):
        read_completion(json.dumps(_reply({"content": None}, finish_reason="stop")).encode(), model="m")


def test_a_deep_reply_is_garbage_and_no_crash() -> None:
    with pytest.raises(GarbageReplyError):
        read_completion(b'{"choices":' + b"[" * 100_000, model="m")
