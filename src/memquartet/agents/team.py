"""The four agents together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Reply, Task
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.summarizer import Summarizer
from memquartet.core.memory import Fact, MemoryState
from memquartet.llm.protocols import ChatModel


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
        """Four agents with the default settings on one model."""
        return cls(
            extractor=FactExtractor(model=model),
            manager=MemoryManager(model=model),
            summarizer=Summarizer(model=model),
            answerer=Answerer(model=model),
        )
