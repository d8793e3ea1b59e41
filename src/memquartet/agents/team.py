"""The four agents together."""

from __future__ import annotations

from dataclasses import dataclass

from memquartet.agents.answerer import Answerer
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.summarizer import Summarizer
from memquartet.llm.protocols import ChatModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Who does what. The agents may share one model, with the role told by the prompt, or have one each."""

    extractor: FactExtractor
    manager: MemoryManager
    summarizer: Summarizer
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
