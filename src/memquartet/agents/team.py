"""The four agents together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Reply, Task
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.prompt_sets import SHIPPED, prompt_set
from memquartet.agents.summarizer import Summarizer
from memquartet.core.memory import Fact, MemoryState
from memquartet.core.trajectory import Role
from memquartet.llm.protocols import ChatModel

A = TypeVar("A", FactExtractor, MemoryManager, Summarizer, Answerer)


class Folds(Protocol):
    """What keeps the short-term memory: `Summarizer`, or something that needs no model."""

    async def fold(self, state: MemoryState, facts: Sequence[Fact], *, task: Task) -> Reply[str]:
        """The new state's text; None keeps the old one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Who does what. The agents may share one model, with the role told by the prompt, or have one each."""

    extractor: FactExtractor
    manager: MemoryManager
    summarizer: Folds
    answerer: Answerer

    @classmethod
    def of(cls, model: ChatModel) -> Team:
        """Four agents with the default settings on one model, prompted as it was taught.

        Raises:
            ConfigError: the model names a set of prompts that is not there.
        """
        prompts = prompt_set(model.prompts or SHIPPED)

        def prompted(agent: A, role: Role) -> A:
            return replace(agent, settings=replace(agent.settings, prompt=prompts.get(role)))

        return cls(
            extractor=prompted(FactExtractor(model=model), Role.EXTRACTOR),
            manager=prompted(MemoryManager(model=model), Role.MANAGER),
            summarizer=prompted(Summarizer(model=model), Role.SUMMARIZER),
            answerer=prompted(Answerer(model=model), Role.ANSWERER),
        )
