from __future__ import annotations

import gc
import json
from importlib import resources
from typing import Any

import pytest
from verl.tools.tool_registry import initialize_tools_from_config

from memquartet.tools.memory_tools import FUNCTION_IMPLS
from memquartet.training.verl_tools import KEEPINGS, MemoryTool

pytestmark = pytest.mark.train


class AgentData:
    """What verl passes along with each call of a trajectory."""


@pytest.fixture
def tools() -> dict[str, Any]:
    path = resources.files("memquartet.training.configs").joinpath("tool_config.yaml")
    return {tool.name: tool for tool in initialize_tools_from_config(str(path))}


async def call(tool: MemoryTool, data: object, **arguments: object) -> dict[str, Any]:
    """One call as verl makes it: an instance of its own, released at once."""
    instance, _ = await tool.create(create_kwargs={})
    response, _, _ = await tool.execute(instance, arguments, agent_data=data)
    await tool.release(instance)
    found: dict[str, Any] = json.loads(response.text)
    return found


def test_the_configuration_makes_all_four_with_their_schemas(tools: dict[str, Any]) -> None:
    assert tools.keys() == FUNCTION_IMPLS.keys()
    for name, tool in tools.items():
        parameters = tool.tool_schema.model_dump(exclude_none=True)["function"]["parameters"]
        assert "memory_type" in parameters["properties"]
        assert tool.tool_schema.function.name == name


async def test_a_trajectorys_calls_share_a_memory_and_trajectories_do_not(tools: dict[str, Any]) -> None:
    one, other = AgentData(), AgentData()
    stored = await call(
        tools["new_memory_insert"], one, memory_type="semantic", content="Anna lives in Oslo."
    )
    changed = await call(
        tools["memory_update"],
        one,
        memory_type="semantic",
        memory_id=stored["memory_id"],
        new_content="Anna lives in Rome.",
    )
    assert changed["memory_id"] == stored["memory_id"]
    query = {"memory_type": "semantic", "query": "Where does Anna live?"}
    mine = await call(tools["search_memory"], one, **query)
    assert [m["content"] for m in mine["memories"]] == ["Anna lives in Rome."]
    assert (await call(tools["search_memory"], other, **query))["memories"] == []
    await call(tools["memory_delete"], one, memory_type="semantic", memory_id=stored["memory_id"])
    assert (await call(tools["search_memory"], one, **query))["memories"] == []


async def test_without_agent_data_the_instance_id_names_the_trajectory(tools: dict[str, Any]) -> None:
    insert, search = tools["new_memory_insert"], tools["search_memory"]
    for tool in (insert, search):
        assert (await tool.create("t1"))[0] == "t1"
    await insert.execute("t1", {"memory_type": "semantic", "content": "Anna has a cat."})
    await insert.execute("t1", {"memory_type": "nonsense", "content": "?"})
    assert await insert.calc_reward("t1") == 0.5
    response, _, _ = await search.execute("t1", {"memory_type": "semantic", "query": "cat"})
    assert "Anna has a cat." in response.text
    await insert.release("t1")
    response, _, _ = await search.execute("t1", {"memory_type": "semantic", "query": "cat"})
    assert "Anna has a cat." not in response.text
    await search.release("t1")


async def test_a_trajectorys_memory_goes_with_its_data(tools: dict[str, Any]) -> None:
    data = AgentData()
    await call(tools["new_memory_insert"], data, memory_type="semantic", content="Anna has a cat.")
    before = len(KEEPINGS._by_data)
    del data
    gc.collect()
    assert len(KEEPINGS._by_data) == before - 1


async def test_wrong_arguments_go_back_as_text(tools: dict[str, Any]) -> None:
    told = await call(tools["memory_update"], AgentData(), memory_type="semantic")
    assert "new_content" in json.dumps(told)
