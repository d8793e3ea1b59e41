"""The OpenAI chat-completions format: requests written, replies read with suspicion.

llama.cpp, vLLM and OpenAI differ in where they put token ids; `read_completion` knows all three.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from memquartet.core.messages import Message, Speaker, ToolCall
from memquartet.llm.parsing import encodable
from memquartet.llm.protocols import ChatRequest, Completion

MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_LOGPROB = 1e6
"""A log-prob is nearer to 0 than this (vLLM writes -9999 for "impossible"); NaN and the like are none."""


class GarbageReplyError(ValueError):
    """A server's reply is not a chat completion; the message says what it is instead."""


def message_json(message: Message) -> dict[str, object]:
    """One message in OpenAI form; lone surrogates in the text become U+FFFD."""
    found: dict[str, object] = {"role": message.speaker.value, "content": encodable(message.content)}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": encodable(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.speaker is Speaker.TOOL and message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def request_json(request: ChatRequest) -> dict[str, object]:
    """The body of a request, without `model`.

    A `json_schema` together with `tools` is left out: servers refuse or ignore one of the two.
    """
    sampling = request.sampling
    body: dict[str, object] = {
        "messages": [message_json(message) for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.logprobs:
        body["logprobs"] = True
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    elif request.json_schema is not None:
        schema = {"name": "reply", "schema": dict(request.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_completion(raw: bytes, *, model: str) -> Completion:
    """Read the body of a reply.

    `output_ids` and `logprobs` always have the same length when both are given: llama.cpp lists the
    token that completed a stop word among the ids only, and it is left out.

    Raises:
        GarbageReplyError: the body is no JSON, no chat completion, or has neither text nor tool calls.
    """
    if len(raw) > MAX_REPLY_BYTES:
        raise GarbageReplyError(f"the reply has {len(raw)} bytes, more than {MAX_REPLY_BYTES}")
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        raise GarbageReplyError(f"the reply is not JSON: {_glimpse(raw)}") from None
    choices = _mapping(reply).get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise GarbageReplyError(f"the reply has no choices: {_glimpse(raw)}")
    choice = choices[0]
    message = _mapping(choice.get("message"))
    calls = _tool_calls(message.get("tool_calls"))
    text = message.get("content")
    if not isinstance(text, str):
        # A thinking model cut off by max_tokens has content null: that is a reply, an empty one.
        if not calls and choice.get("finish_reason") != "length":
            raise GarbageReplyError(f"the reply has neither text nor tool calls: {_glimpse(raw)}")
        text = ""
    output_ids, logprobs = _tokens(reply, choice)
    usage = _mapping(reply.get("usage"))
    return Completion(
        text=text,
        model=reply["model"] if isinstance(reply.get("model"), str) else model,
        tool_calls=calls,
        prompt_ids=_ids(reply.get("prompt_token_ids")),
        output_ids=output_ids,
        logprobs=logprobs,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        finish_reason=_finish_reason(choice.get("finish_reason"), has_calls=bool(calls)),
    )


def _tokens(
    reply: Mapping[str, object], choice: Mapping[str, object]
) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
    """Ids and log-probs of the output: vLLM's `token_ids`, else llama.cpp's ids in logprobs or __verbose."""
    content = _mapping(choice.get("logprobs")).get("content")
    items = [_mapping(item) for item in content] if isinstance(content, list) else []
    numbers = [item.get("logprob") for item in items]
    logprobs = tuple(
        float(number) for number in numbers if isinstance(number, int | float) and abs(number) < MAX_LOGPROB
    )
    known = logprobs if items and len(logprobs) == len(items) else None
    ids = _ids(choice.get("token_ids"))
    if ids is None and items:
        ids = _ids([item.get("id") for item in items])
    if ids is None:
        ids = _ids(_mapping(reply.get("__verbose")).get("tokens"))
    if ids is not None and known is not None and len(ids) != len(known):
        shorter = min(len(ids), len(known))
        ids, known = ids[:shorter], known[:shorter]
    return ids, known


def _tool_calls(raw: object) -> tuple[ToolCall, ...]:
    found: list[ToolCall] = []
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        function = _mapping(_mapping(item).get("function"))
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str):
            continue
        # Some servers send the arguments as an object instead of its text.
        written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        call_id = _mapping(item).get("id")
        found.append(ToolCall(call_id=str(call_id or f"call_{index}"), name=name, arguments=written))
    return tuple(found)


def _finish_reason(raw: object, *, has_calls: bool) -> str:
    if raw == "length":
        return "length"
    return "tool_calls" if has_calls else "stop"


def _ids(raw: object) -> tuple[int, ...] | None:
    if not isinstance(raw, list) or not all(type(item) is int for item in raw):
        return None
    return tuple(raw)


def _count(raw: object) -> int:
    return raw if isinstance(raw, int) and raw > 0 else 0


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _glimpse(raw: bytes) -> str:
    return repr(raw[:160].decode("utf-8", "replace"))
