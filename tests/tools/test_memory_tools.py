from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.core.memory import Insert, MemoryType, Provenance, Scope
from memquartet.llm.tool_calls import ParsedCall
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.tools.execution import execute
from memquartet.tools.memory_tools import (
    FUNCTION_IMPLS,
    MEMORY_TOOL_SCHEMAS,
    MemoryUpdate,
    NewMemoryInsert,
    memory_tool_schemas,
)
from memquartet.tools.metrics import ToolMetrics, compression
from memquartet.tools.spec import MAX_RESULT_CHARS, ToolMemoryType, ToolResult

ANN = Scope(user_id="ann")
BOB = Scope(user_id="bob")


@pytest.fixture
def memory() -> Memory:
    return Memory(embedder=NoEmbedder())


def call(name: str, **arguments: object) -> ParsedCall:
    return ParsedCall(call_id="call_0", name=name, arguments=arguments)


def told(result: ToolResult) -> dict[str, object]:
    values = json.loads(result.text)
    assert isinstance(values, dict)
    assert values["ok"] is result.ok
    return values


def inserted(memory: Memory, content: str, memory_type: str = "semantic", scope: Scope = ANN) -> str:
    result = execute(call("new_memory_insert", memory_type=memory_type, content=content), memory, scope=scope)
    return str(told(result)["memory_id"])


def error_of(result: ToolResult) -> str:
    assert not result.ok
    return str(told(result)["error"])


def test_the_tools_are_those_of_mem_alpha() -> None:
    assert list(FUNCTION_IMPLS) == ["new_memory_insert", "memory_update", "memory_delete", "search_memory"]
    assert [[one.name for one in tool.parameters()] for tool in FUNCTION_IMPLS.values()] == [
        ["memory_type", "content"],
        ["memory_type", "new_content", "memory_id"],
        ["memory_type", "memory_id"],
        ["memory_type", "query", "search_method", "top_k"],
    ]


def test_a_schema_is_in_openai_form() -> None:
    assert NewMemoryInsert.tool_schema() == {
        "type": "function",
        "function": {
            "name": "new_memory_insert",
            "description": NewMemoryInsert.description,
            "parameters": {
                "type": "object",
                "properties": {one.name: one.schema() for one in NewMemoryInsert.parameters()},
                "required": ["memory_type", "content"],
                "additionalProperties": False,
            },
        },
    }
    assert json.loads(json.dumps(MEMORY_TOOL_SCHEMAS)) == MEMORY_TOOL_SCHEMAS


def test_optional_arguments_are_not_required_in_the_schema() -> None:
    assert [one.name for one in MemoryUpdate.parameters() if not one.required] == ["memory_id"]


@pytest.mark.parametrize(
    ("enabled", "tools", "update_types"),
    [
        ({"core", "semantic", "episodic"}, 4, ["core", "semantic", "episodic"]),
        ({"semantic"}, 4, ["semantic"]),
        ({"core"}, 1, ["core"]),
    ],
)
def test_schemas_offer_only_the_enabled_memories(
    enabled: set[str], tools: int, update_types: list[str]
) -> None:
    schemas = memory_tool_schemas({ToolMemoryType(name) for name in enabled})
    by_name = {schema["function"]["name"]: schema for schema in schemas}  # type: ignore[index]  # OpenAI's form
    assert len(schemas) == tools
    properties = by_name["memory_update"]["function"]["parameters"]["properties"]  # type: ignore[index]  # as above
    assert properties["memory_type"]["enum"] == update_types


def test_no_enabled_memory_leaves_no_tool() -> None:
    assert memory_tool_schemas(set()) == []


def test_insert_update_search_and_delete_work_on_a_memory(memory: Memory) -> None:
    memory_id = inserted(memory, "Ann lives in Leeds")
    updated = execute(
        call(
            "memory_update", memory_type="semantic", new_content="Ann lives in Bristol", memory_id=memory_id
        ),
        memory,
        scope=ANN,
    )
    assert updated.receipt is not None
    assert updated.receipt.applied
    found = execute(
        call("search_memory", memory_type="semantic", query="Bristol", search_method="bm25", top_k=3),
        memory,
        scope=ANN,
    )
    shown = told(found)["memories"]
    assert isinstance(shown, list)
    assert [(row["memory_id"], row["content"]) for row in shown] == [(memory_id, "Ann lives in Bristol")]
    assert [hit.entry.entry_id for hit in found.hits] == [memory_id]
    assert execute(call("memory_delete", memory_type="semantic", memory_id=memory_id), memory, scope=ANN).ok
    assert len(memory) == 0


def test_mem_alphas_own_type_and_method_names_are_understood(memory: Memory) -> None:
    inserted(memory, "Ann flew to Lisbon", "episodic_memory")
    assert [entry.memory_type for entry in memory.entries()] == [MemoryType.EPISODIC]
    found = execute(
        call("search_memory", memory_type="episodic_memory", query="Lisbon", search_method="bm25"), memory
    )
    assert len(found.hits) == 1


def test_core_is_the_short_term_state(memory: Memory) -> None:
    result = execute(
        call("memory_update", memory_type="core", new_content="Ann plans a trip."), memory, scope=ANN
    )
    assert told(result) == {"ok": True, "memory_type": "core"}
    assert memory.state(ANN).text == "Ann plans a trip."
    assert memory.state(BOB).text == ""


def test_a_core_text_over_the_budget_is_cut_and_the_model_is_told() -> None:
    memory = Memory(embedder=NoEmbedder(), state_budget=5)
    result = execute(call("memory_update", memory_type="core", new_content="word " * 50), memory)
    assert "cut to 5 tokens" in str(told(result)["warning"])


@pytest.mark.parametrize("name", ["new_memory_insert", "memory_delete", "search_memory"])
def test_core_can_only_be_updated(memory: Memory, name: str) -> None:
    result = execute(call(name, memory_type="core", content="x", memory_id="m1", query="x"), memory)
    assert "'memory_type': Input should be 'semantic' or 'episodic', given 'core'" in error_of(result)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("memory_forget", {}, "there is no tool 'memory_forget'; the tools are new_memory_insert,"),
        ("new_memory_insert", {"memory_type": "semantic"}, "argument 'content' is missing"),
        ("new_memory_insert", {"memory_type": "semantic", "content": ""}, "content is empty"),
        ("new_memory_insert", {"memory_type": "semantic", "content": 7}, "given 7"),
        (
            "new_memory_insert",
            {"memory_type": "semantic", "content": "x", "id": "m1"},
            "there is no argument 'id', only memory_type, content",
        ),
        ("memory_delete", {"memory_type": "semantic", "memory_id": "m99"}, "'m99'"),
        ("memory_update", {"memory_type": "semantic", "new_content": "x"}, "no memory has the id ''"),
        (
            "search_memory",
            {"memory_type": "semantic", "query": "x", "top_k": 0},
            "greater than or equal to 1",
        ),
        ("search_memory", {"memory_type": "semantic", "query": " "}, "the query is empty"),
        ("search_memory", {"memory_type": "semantic", "query": "x", "search_method": "sql"}, "given 'sql'"),
    ],
)
def test_a_wrong_call_changes_nothing_and_says_what_to_do(
    memory: Memory, name: str, arguments: dict[str, object], expected: str
) -> None:
    inserted(memory, "Ann lives in Leeds")
    before = memory.canonical_bytes()
    assert expected in error_of(execute(call(name, **arguments), memory, scope=ANN))
    assert memory.canonical_bytes() == before


def test_the_named_type_must_be_the_entrys_own(memory: Memory) -> None:
    memory_id = inserted(memory, "Ann flew to Lisbon", "episodic")
    result = execute(call("memory_delete", memory_type="semantic", memory_id=memory_id), memory, scope=ANN)
    assert "is episodic, not semantic" in error_of(result)
    assert len(memory) == 1


@pytest.mark.parametrize("name", ["memory_update", "memory_delete"])
def test_a_call_never_reaches_into_another_scope(memory: Memory, name: str) -> None:
    memory_id = inserted(memory, "Bob's secret", scope=BOB)
    extra = {"new_content": "gone"} if name == "memory_update" else {}
    result = execute(call(name, memory_type="semantic", memory_id=memory_id, **extra), memory, scope=ANN)
    assert memory_id in error_of(result)
    found = execute(call("search_memory", memory_type="semantic", query="secret"), memory, scope=ANN)
    assert found.hits == ()
    assert memory.get(memory_id).content == "Bob's secret"


def test_a_memory_that_is_switched_off_is_refused(memory: Memory) -> None:
    only_semantic = {ToolMemoryType.SEMANTIC}
    result = execute(
        call("new_memory_insert", memory_type="episodic", content="x"), memory, enabled=only_semantic
    )
    assert "'episodic' is switched off, use 'semantic'" in error_of(result)
    core_only = execute(call("search_memory"), memory, enabled={ToolMemoryType.CORE})
    assert "the tools are memory_update" in error_of(core_only)


def test_writes_carry_their_provenance(memory: Memory) -> None:
    why = Provenance(actor="tool", source="Ann: I moved.")
    execute(call("new_memory_insert", memory_type="semantic", content="x"), memory, provenance=why)
    (record,) = memory.journal()
    assert record.provenance == why


def test_a_result_is_bounded_and_says_what_it_left_out(memory: Memory) -> None:
    memory.apply([Insert(content=f"cat {number} " + "long " * 500) for number in range(40)])
    result = execute(call("search_memory", memory_type="semantic", query="cat", top_k=40), memory)
    assert len(result.text) <= MAX_RESULT_CHARS
    shown = told(result)["memories"]
    assert isinstance(shown, list)
    assert shown
    assert told(result)["omitted"] == 40 - len(shown)


def test_an_error_never_repeats_a_huge_argument(memory: Memory) -> None:
    result = execute(call("memory_delete", memory_type="semantic", memory_id="m" * 1_000_000), memory)
    assert len(result.text) < MAX_RESULT_CHARS
    result = execute(call("search_memory", memory_type="x" * 1_000_000, query="x"), memory)
    assert len(result.text) < MAX_RESULT_CHARS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
argument_names = st.sampled_from(["memory_type", "content", "new_content", "memory_id", "query", "top_k"])
values = st.sampled_from(["core", "semantic", "m1", "x"]) | json_values


@given(
    st.sampled_from([*FUNCTION_IMPLS, "other"]),
    st.dictionaries(argument_names | st.text(), values, max_size=5),
)
def test_whatever_a_model_writes_comes_back_as_json_text(name: str, arguments: dict[str, object]) -> None:
    memory = Memory(embedder=NoEmbedder())
    memory.insert("semantic", "Ann lives in Leeds")
    result = execute(ParsedCall(call_id="c", name=name, arguments=arguments), memory)
    assert told(result)["ok"] is result.ok
    result.text.encode()


def test_metrics_count_calls_failures_and_entries_by_tool(memory: Memory) -> None:
    metrics = ToolMetrics()
    calls = [
        call("new_memory_insert", memory_type="semantic", content="Ann has a cat"),
        call("new_memory_insert", memory_type="semantic", content=""),
        call("search_memory", memory_type="semantic", query="cat"),
    ]
    for one in calls:
        metrics.record(one.name, execute(one, memory))
    assert metrics.as_json() == {
        "new_memory_insert": {"calls": 2, "failures": 1, "entries": 1},
        "search_memory": {"calls": 1, "failures": 0, "entries": 1},
    }


def test_compression_compares_memory_with_what_was_read() -> None:
    assert compression(25, 100) == 0.75
    assert compression(150, 100) == -0.5
    assert compression(0, 0) is None
