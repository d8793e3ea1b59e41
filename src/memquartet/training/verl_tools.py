"""The memory's four tools for verl's own `tool_agent` loop: one agent that keeps its memory by tool calls.

verl makes a tool instance for each call and releases it right after; what has to last is the trajectory's memory.
It is kept for the `agent_data` that verl passes along, or for the `instance_id` of a caller who has none, and
is shared by the four tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from memquartet.core.scores import RewardPart
from memquartet.llm.tool_calls import ParsedCall
from memquartet.memory.memory import STATE_BUDGET, Memory
from memquartet.tools.execution import execute
from memquartet.tools.memory_tools import FUNCTION_IMPLS
from memquartet.tools.metrics import ToolMetrics


@dataclass(slots=True, kw_only=True)
class Keeping:
    """One trajectory's memory and what the tools did to it."""

    memory: Memory
    metrics: ToolMetrics = field(default_factory=ToolMetrics)

    @property
    def success(self) -> RewardPart:
        """Share of the calls that were carried out; None before the first."""
        counts = self.metrics.tools.values()
        calls = sum(tool.calls for tool in counts)
        good = calls - sum(tool.failures for tool in counts)
        return RewardPart(name="operations", value=good / calls if calls else None)


class _Keepings:
    """The memories of the running trajectories of this process."""

    def __init__(self) -> None:
        self._by_data: WeakKeyDictionary[object, Keeping] = WeakKeyDictionary()
        self._by_id: dict[str, Keeping] = {}

    def of(self, instance_id: str, data: object, budget: int) -> Keeping:
        """The trajectory's keeping, made at its first call. verl's data go when the trajectory ends."""
        found = self._by_id.get(instance_id) if data is None else self._by_data.get(data)
        if found is None:
            found = Keeping(memory=Memory(state_budget=budget))
            if data is None:
                self._by_id[instance_id] = found
            else:
                self._by_data[data] = found
        return found

    def get(self, instance_id: str) -> Keeping | None:
        return self._by_id.get(instance_id)

    def forget(self, instance_id: str) -> None:
        self._by_id.pop(instance_id, None)


KEEPINGS = _Keepings()


class MemoryTool(BaseTool):
    """One of the memory's tools; subclasses name it.

    `config` may hold `state_budget`, the tokens of the short-term memory.
    """

    function: ClassVar[str]

    def __init__(
        self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None = None
    ) -> None:  # YAML
        """Take verl's arguments; the schema is the tool's own unless the configuration gives one."""
        self._budget = int(config.get("state_budget", STATE_BUDGET))
        super().__init__(config, tool_schema or self.get_openai_tool_schema())

    def get_openai_tool_schema(self) -> OpenAIFunctionToolSchema:
        """The tool in OpenAI's form."""
        return OpenAIFunctionToolSchema.model_validate(FUNCTION_IMPLS[self.function].tool_schema())

    async def create(self, instance_id: str | None = None, **_: object) -> tuple[str, ToolResponse]:
        """Name the trajectory: tools that are given the same `instance_id` share its memory."""
        return instance_id or str(uuid4()), ToolResponse()

    async def execute(
        self,
        instance_id: str,
        parameters: Mapping[str, Any],
        **kwargs: Any,  # a model's JSON; verl's own
    ) -> tuple[ToolResponse, float, dict[str, float]]:
        """Run the tool on the trajectory's memory; what is wrong with the call goes back as text."""
        keeping = KEEPINGS.of(instance_id, kwargs.get("agent_data"), self._budget)
        result = execute(
            ParsedCall(call_id=instance_id, name=self.function, arguments=dict(parameters)), keeping.memory
        )
        keeping.metrics.record(self.function, result)
        return ToolResponse(text=result.text), 0.0, {"ok": float(result.ok)}

    async def calc_reward(self, instance_id: str, **_: object) -> float:
        """Share of the trajectory's calls that were carried out; 0 before the first, as verl wants a number."""
        keeping = KEEPINGS.get(instance_id)
        return (keeping.success.value or 0.0) if keeping else 0.0

    async def release(self, instance_id: str, **_: object) -> None:
        """Forget the memory of a trajectory without `agent_data`."""
        KEEPINGS.forget(instance_id)


class NewMemoryInsertTool(MemoryTool):
    """ADD."""

    function = "new_memory_insert"


class MemoryUpdateTool(MemoryTool):
    """UPDATE."""

    function = "memory_update"


class MemoryDeleteTool(MemoryTool):
    """DELETE."""

    function = "memory_delete"


class SearchMemoryTool(MemoryTool):
    """Search."""

    function = "search_memory"
