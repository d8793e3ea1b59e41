from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.core.trajectory import TurnStatus
from memquartet.llm.parsing import MAX_CHARS, MAX_DEPTH, encodable, nesting, parse_json

OK, REPAIRED, INVALID = TurnStatus.OK, TurnStatus.REPAIRED, TurnStatus.INVALID

# Half an emoji and NULs are the ones that do not come back.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, min_size=1, max_size=4)
modelish = st.text(
    st.sampled_from("{}[]\":,'\\/`\n aeu0.-NIt<>=") | st.sampled_from(string.ascii_letters), max_size=200
)


@given(values)
def test_valid_json_comes_back_as_it_was(value: object) -> None:
    parsed = parse_json(json.dumps(value))
    assert (parsed.value, parsed.status, parsed.errors) == (value, OK, ())


@given(objects)
def test_an_object_in_a_fence_is_found(value: object) -> None:
    parsed = parse_json(f"Here it is:\n```json\n{json.dumps(value)}\n```\nDone.")
    assert parsed.value == value
    assert parsed.status is REPAIRED


@given(texts | modelish)
def test_no_text_makes_it_raise_and_the_status_agrees_with_the_errors(text: str) -> None:
    parsed = parse_json(text)
    assert bool(parsed.errors) == (parsed.status is not OK)
    if parsed.status is INVALID:
        assert parsed.value is None


@given(objects, st.integers(0, 10_000))
def test_a_truncated_object_is_never_ok(value: object, cut: int) -> None:
    whole = json.dumps(value)
    part = whole[: cut % len(whole)]
    assert parse_json(part).status is not OK


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("{'a': 'b'}", {"a": "b"}),
        ('Sure! {"a": [1, 2]} Hope it helps.', {"a": [1, 2]}),
        ('see {name} and [1]: {"a": {"b": 2}}', {"a": {"b": 2}}),
        ('{"facts": [{"text": "x", "important": true}, {"text": "y', {"facts": [{"text": "x", "important": True}, {"text": "y"}]}),
        ('[1] says {"facts": [{"text": "abc"', {"facts": [{"text": "abc"}]}),
        ('{"text": "two\nlines"}', {"text": "two\nlines"}),
        ('```json\n{"a": [{"b": 1}, {"c": 2}\n```', {"a": [{"b": 1}, {"c": 2}]}),
        ('\ufeff{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_what_small_models_write_is_repaired(text: str, value: object) -> None:
    assert parse_json(text).value == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('[Infinity, "x"]', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ("no value here", "no JSON"),
        ("", "no JSON"),
        ("{" * 40, "not valid JSON"),
    ],
)
def test_what_has_no_safe_reading_is_invalid_and_says_why(text: str, reason: str) -> None:
    parsed = parse_json(text)
    assert parsed.status is INVALID
    assert reason in parsed.errors[0]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"a" ' * 3_000,
        "[{" * 30 + '"' * 15_900,
        '"\\' * 30_000,
        "{" * 60 + "'" * 15_000,
        '{"k": "' + 'a"b ' * 3_900,
        "```" * 20_000,
        "```" + " " * 60_000 + "{",
        "```\n" * 15_000,
        "[] " * 20_000,
        '{"a":1} ' * 8_000,
        "9" * 60_000,
        "(" * 15_000 + '{"a":',
    ],
    ids=range(15),
)
def test_hostile_text_neither_crashes_nor_hangs(text: str) -> None:
    assert parse_json(text).status in TurnStatus


def test_size_and_depth_have_limits() -> None:
    assert "characters" in parse_json(" " * (MAX_CHARS + 1)).errors[0]
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(deepest).status is OK
    assert parse_json(f"[{deepest}]").status is INVALID


def test_brackets_inside_strings_are_not_nesting() -> None:
    assert nesting('{"a": "[[[[{{{{"}') == 1
    assert nesting('{"a": "\\"[["}') == 1
    assert parse_json(json.dumps({"a": "[" * 500})).status is OK


def test_half_an_emoji_never_reaches_the_disk() -> None:
    value = parse_json('{"a": "x\\ud83d"}').value
    assert value == {"a": "x\ufffd"}
    assert parse_json('{"a": "\\ud83d\\ude00"}').value == {"a": "\U0001f600"}
    assert encodable("a\ud83db").encode() == "a\ufffdb".encode()


@pytest.mark.parametrize(
    "text",
    [r'{"a": "x\u0000y"}', '{"a": "x\0y"}', r"{'a': 'x\x00y'}", r"{'a': 'x\u0000y',}", r'{"a": "x\u0000y'],
)
def test_a_nul_becomes_a_blank_however_it_is_written(text: str) -> None:
    assert parse_json(text).value == {"a": "x y"}


def test_a_backslash_before_u0000_is_text_of_its_own() -> None:
    assert parse_json(r'{"a": "x\\u0000y"}').value == {"a": r"x\u0000y"}
    assert parse_json(r'{"a": "x\\\u0000y"}').value == {"a": "x\\ y"}
