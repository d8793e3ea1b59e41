import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.agents.decisions import Choice, read_choices
from memquartet.core.messages import ToolCall
from memquartet.core.trajectory import Decision

FACTS = ["Jon sold his car", "Mel likes chicken pizza"]
SHOWN = [["3"], ["1"]]


def read(
    output: object, calls: tuple[ToolCall, ...] = ()
) -> tuple[list[tuple[str, str | None, str | None] | None], tuple[str, ...]]:
    text = output if isinstance(output, str) else json.dumps(output)
    found = read_choices(text, calls, FACTS, SHOWN)
    return [None if c is None else (c.decision.value, c.short, c.text) for c in found.by_fact], found.errors


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            {
                "decisions": [
                    {"fact": 1, "op": "NOOP", "id": "1"},
                    {"fact": 0, "op": "UPDATE", "id": 3, "text": "x"},
                ]
            },
            [("UPDATE", "3", "x"), ("NOOP", "1", None)],
        ),
        (["UPDATE 3: Jon has no car", "ADD"], [("UPDATE", "3", "Jon has no car"), ("ADD", None, None)]),
        ([{"op": "none", "id": "[3]"}, {"op": "no operation"}], [("NOOP", "3", None), ("NOOP", None, None)]),
        (
            {"decisions": [{"op": "DELETE", "id": "3", "text": ""}, {"op": "INSERT"}]},
            [("DELETE", "3", ""), ("ADD", None, None)],
        ),
    ],
)
def test_our_form_is_read_in_all_its_spellings(
    output: object, expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert read(output) == (expected, ())


def test_the_echo_of_memory_r1_is_matched_to_facts_by_ids_and_words() -> None:
    echo = [
        {"id": "3", "text": "Jon owns a car", "event": "DELETE"},
        {
            "id": "1",
            "text": "Mel likes chicken and cheese pizza",
            "event": "UPDATE",
            "old_memory": "Mel likes cheese pizza",
        },
    ]
    assert read({"memory": echo}) == (
        [("DELETE", "3", None), ("UPDATE", "1", "Mel likes chicken and cheese pizza")],
        (),
    )


def test_a_delete_beside_an_add_is_one_decision_about_one_fact() -> None:
    echo = [
        {"id": "3", "text": "Jon owns a car", "event": "DELETE"},
        {"id": "7", "text": "Jon sold his car", "event": "ADD"},
        {"id": "1", "text": "Mel likes chicken pizza", "event": "NONE"},
    ]
    assert read({"memory": echo})[0] == [("DELETE", "3", "Jon sold his car"), ("NOOP", "1", None)]


def test_native_and_written_tool_calls_are_decisions_too() -> None:
    arguments = {"memory_type": "semantic", "memory_id": "3", "new_content": "Jon has no car"}
    call = ToolCall(call_id="c1", name="memory_update", arguments=json.dumps(arguments))
    written = f"<tool_call>{json.dumps({'name': 'memory_update', 'arguments': arguments})}</tool_call>"
    expected = [("UPDATE", "3", "Jon has no car"), None]
    assert read("", (call,))[0] == expected
    assert read(written)[0] == expected


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ({"decisions": [{"fact": 0, "op": "ADD"}, {"fact": 0, "op": "NOOP"}]}, "decided twice"),
        ({"decisions": [{"fact": 9, "op": "ADD"}]}, "the facts are 0 to 1"),
        ({"decisions": [{"fact": 0, "op": "FORGET"}]}, "must be ADD, UPDATE, DELETE or NOOP"),
        ({"decisions": {"0": "ADD"}}, "expected"),
        ({"memory": [{"id": "0", "event": "EXPLODE"}]}, "NONE"),
        ({"memory": [{"id": "99", "event": "DELETE"}]}, "belongs to no fact"),
        ("I would rather not.", "no JSON"),
    ],
)
def test_what_cannot_be_used_is_reported(output: object, complaint: str) -> None:
    choices, errors = read(output)
    assert None in choices
    assert any(complaint in error for error in errors)


@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["decisions", "memory", "op", "event", "id", "fact", "text"]),
                inner,
                max_size=4,
            )
        ),
    ).map(json.dumps)
)
def test_any_output_gives_one_slot_a_fact_and_never_raises(output: str) -> None:
    found = read_choices(output, (), FACTS, SHOWN)
    assert len(found.by_fact) == len(FACTS)
    assert all(c is None or isinstance(c, Choice) for c in found.by_fact)


def test_every_decision_has_a_word_a_model_may_use() -> None:
    for decision in Decision:
        assert read([f"{decision.value} 3"])[0][0] == (decision.value, "3", None)
