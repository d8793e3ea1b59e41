"""What the four agents should say on generated episodes, as examples to learn from before any RL.

The demonstrators speak through the same episode as every model, so an example's prompt is exactly the prompt
that the trained model will see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.summarizer import Summarizer
from memquartet.agents.team import Team
from memquartet.benchmarks.synthetic import read_topic
from memquartet.core.messages import Message
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision, Role
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.training.settings import TrainingSettings, role_prompts

UNKNOWN = "no information available"
_FACT = re.compile(r"Fact (\d+): (.*)")
_MEMORY = re.compile(r"(?:\[(\d+)\]|-) (?:\([\d-]+\) )?(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One prompt and the output it should get."""

    role: Role
    messages: tuple[Message, ...]
    output: str


async def demonstrate(sample: Sample, settings: TrainingSettings) -> list[Demonstration]:
    """Live through a generated sample with a team that does everything right.

    Args:
        sample: from `benchmarks.synthetic`; text of other origin is taken for small talk.
        settings: those of the training to come: its prompts, retrieval and budgets.
    """
    prompts = role_prompts(settings.prompts)

    def agent(role: Role) -> dict[str, Any]:  # keyword arguments of four classes
        return {"model": Demonstrator(role), "settings": AgentSettings(prompt=prompts.get(role))}

    team = Team(
        extractor=FactExtractor(**agent(Role.EXTRACTOR)),
        manager=MemoryManager(**agent(Role.MANAGER)),
        summarizer=Summarizer(**agent(Role.SUMMARIZER)),
        answerer=Answerer(**agent(Role.ANSWERER)),
    )
    memory = Memory(state_budget=settings.state_budget)
    episode = await run_episode(sample, team, memory, settings=settings.episode)
    return [
        Demonstration(role=turn.role, messages=turn.messages, output=turn.output) for turn in episode.turns
    ]


class Demonstrator:
    """A chat model that plays one role by reading the prompt's lines."""

    def __init__(self, role: Role) -> None:
        """Choose the role."""
        self._reply = {
            Role.EXTRACTOR: _extract,
            Role.MANAGER: _decide,
            Role.SUMMARIZER: _summarize,
            Role.ANSWERER: _answer,
        }[role]
        self.name = f"demonstrator:{role}"

    async def complete(self, request: ChatRequest) -> Completion:
        """Give the right reply."""
        lines = request.messages[-1].content.splitlines()
        return Completion(text=self._reply(lines), model=self.name)


def _extract(lines: Sequence[str]) -> str:
    said = lines[lines.index("Text:") + 1 :]
    facts = [line for line in said if read_topic(line)]
    rest = [line for line in said if line.strip() and not read_topic(line)]
    return _compact({"semantic": facts, "episodic": [], "unimportant": rest})


def _decide(lines: Sequence[str]) -> str:
    decisions: list[dict[str, object]] = []
    fact = ""
    for line in lines:
        if found := _FACT.fullmatch(line):
            fact = found[2]
            decisions.append({"fact": int(found[1]), "op": Decision.ADD})
        elif (found := _MEMORY.fullmatch(line)) and decisions[-1]["op"] is Decision.ADD:
            decisions[-1] |= _choice(fact, found[1], found[2])
    return _compact({"decisions": decisions})


def _choice(fact: str, short: str, memory: str) -> dict[str, object]:
    new, old = read_topic(fact), read_topic(memory)
    if new is None or old is None or (new.subject, new.relation) != (old.subject, old.relation):
        return {}
    return {"op": Decision.NOOP if new.value == old.value else Decision.UPDATE, "id": short}


def _summarize(lines: Sequence[str]) -> str:
    remarks = [line.removeprefix("- ") for line in lines[lines.index("New remarks:") + 1 :]]
    return f"Small talk. Last: {remarks[-1]}"


def _answer(lines: Sequence[str]) -> str:
    asked = read_topic(lines[-1].removeprefix("Question: "))
    known = [read_topic(found[2]) for line in lines if (found := _MEMORY.fullmatch(line))]
    values = [
        topic.value
        for topic in known
        if topic and asked and (topic.subject, topic.relation) == (asked.subject, asked.relation)
    ]
    return values[-1] if values else UNKNOWN


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
