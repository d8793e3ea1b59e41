from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.core.messages import ToolCall
from memquartet.core.trajectory import TurnStatus
from memquartet.llm.tool_calls import MAX_CALLS, parse_tool_calls

OK, REPAIRED, INVALID = TurnStatus.OK, TurnStatus.REPAIRED, TurnStatus.INVALID

names = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>\0"), max_size=30)
arguments = st.dictionaries(names, st.none() | st.booleans() | st.integers(-9999, 9999) | plain, max_size=3)
calls = st.lists(st.tuples(names, arguments), min_size=1, max_size=4)
modelish = st.text(
    st.sampled_from("<tool_call></tool_call><function=a><parameter=b>{}[]\":,'\n namergut"), max_size=200
)


def _read(text: str) -> list[tuple[str, dict[str, object]]]:
    parsed = parse_tool_calls(text)
    assert parsed.status is OK, parsed
    return [(call.name, call.arguments) for call in parsed.calls]


@given(calls)
def test_hermes_tags_come_back_as_written(wanted: list[tuple[str, dict[str, object]]]) -> None:
    bodies = [json.dumps({"name": name, "arguments": given}) for name, given in wanted]
    assert _read("".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)) == wanted


@given(calls)
def test_plain_json_lists_come_back_as_written(wanted: list[tuple[str, dict[str, object]]]) -> None:
    assert _read(json.dumps([{"name": name, "arguments": given} for name, given in wanted])) == wanted


@given(st.lists(st.tuples(names, st.dictionaries(names, plain, max_size=3)), min_size=1, max_size=3))
def test_qwen_xml_comes_back_as_written(wanted: list[tuple[str, dict[str, str]]]) -> None:
    text = "".join(
        f"<tool_call>\n<function={name}>\n"
        + "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in given.items())
        + "</function>\n</tool_call>"
        for name, given in wanted
    )
    parsed = parse_tool_calls(text)
    assert [call.name for call in parsed.calls] == [name for name, _ in wanted]
    for call, (_, parameters) in zip(parsed.calls, wanted, strict=True):
        assert call.arguments.keys() == parameters.keys()


@given(calls)
def test_native_calls_keep_their_ids(wanted: list[tuple[str, dict[str, object]]]) -> None:
    native = [
        ToolCall(call_id=f"id{index}", name=name, arguments=json.dumps(given))
        for index, (name, given) in enumerate(wanted)
    ]
    parsed = parse_tool_calls("ignored", native)
    assert [(call.call_id, call.name, call.arguments) for call in parsed.calls] == [
        (f"id{index}", name, given) for index, (name, given) in enumerate(wanted)
    ]


@given(st.text() | modelish)
def test_no_text_makes_it_raise(text: str) -> None:
    parsed = parse_tool_calls(text)
    assert bool(parsed.errors) == (parsed.status is not OK)


@given(modelish)
def test_a_tag_never_ends_in_silence(text: str) -> None:
    parsed = parse_tool_calls("<tool_call>" + text)
    assert parsed.calls or parsed.errors


@pytest.mark.parametrize(
    "text",
    ["Hello there.", "", '{"facts": []}', '{"name": "Bob", "age": 3}', "The name: arguments are hard."],
)
def test_text_without_a_call_has_none(text: str) -> None:
    assert parse_tool_calls(text) == parse_tool_calls("")
    assert parse_tool_calls(text).status is OK


@pytest.mark.parametrize(
    ("text", "name", "given_arguments"),
    [
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', "f", {"a": 1}),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}', "f", {"a": 1}),
        ('{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', "f", {"a": 1}),
        ('{"tool_calls": [{"name": "f", "arguments": {}}]}', "f", {}),
        ('{"tool": "f", "args": {"a": 1}}', "f", {"a": 1}),
        ('I call {"name": "f", "arguments": {"a": {"b": 1}} now', "f", {"a": {"b": 1}}),
        (
            "<function=f>\n<parameter=a>\n[1, 2]\n</parameter>\n<parameter=b>\n2024\n",
            "f",
            {"a": [1, 2], "b": "2024"},
        ),
    ],
)
def test_the_forms_models_use_are_read(text: str, name: str, given_arguments: dict[str, object]) -> None:
    [call] = parse_tool_calls(text).calls
    assert (call.name, call.arguments) == (name, given_arguments)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<tool_call>nope</tool_call>", "no JSON"),
        ("<tool_call></tool_call>", "no JSON"),
        ('<tool_call>{"name": "f"}</tool_call>', "name and arguments"),
        ('{"name": "f", "arguments": [1]}', "must be a JSON object"),
        ('{"name": "f", "arguments": {"a": 1, "a": 2}}', "twice"),
        ('{"name": "", "arguments": {}}', "no name"),
        ("<function=f>\n<parameter=a>1</parameter><parameter=a>2</parameter>", "twice"),
        ("<function=", "closing bracket"),
    ],
)
def test_what_looks_like_a_call_and_is_none_is_an_error_for_the_model(text: str, reason: str) -> None:
    parsed = parse_tool_calls(text)
    assert parsed.status is INVALID
    assert parsed.calls == ()
    assert reason in parsed.errors[0]


def test_good_calls_survive_a_bad_neighbour() -> None:
    parsed = parse_tool_calls(
        '<tool_call>{"name": "f", "arguments": {}}</tool_call><tool_call>nope</tool_call>'
    )
    assert [call.name for call in parsed.calls] == ["f"]
    assert parsed.status is INVALID


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit", ["<tool_call>", "<function=", "<function=a>", '{"name":', "<parameter=x>", "["]
)
def test_hostile_text_neither_crashes_nor_hangs(unit: str) -> None:
    assert parse_tool_calls("<tool_call>" + unit * (60_000 // len(unit))).errors


def test_the_number_of_calls_is_limited() -> None:
    parsed = parse_tool_calls('<tool_call>{"name": "f", "arguments": {}}</tool_call>' * (MAX_CALLS + 5))
    assert len(parsed.calls) == MAX_CALLS
    assert parsed.status is INVALID


def test_an_overlong_reply_with_a_call_is_an_error() -> None:
    assert parse_tool_calls("x" * 70_000).status is OK
    assert parse_tool_calls("x" * 70_000 + "<tool_call>").status is INVALID
