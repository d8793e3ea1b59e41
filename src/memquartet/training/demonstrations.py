"""What the four agents should say on generated episodes, as examples to learn from before any RL."""

from __future__ import annotations

from dataclasses import dataclass

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.prompt_sets import prompt_set
from memquartet.agents.summarizer import Summarizer
from memquartet.agents.team import Team
from memquartet.core.messages import Message
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.systems.oracle import Knowledge, OracleModel
from memquartet.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One prompt and the output it should get."""

    role: Role
    messages: tuple[Message, ...]
    output: str


async def demonstrate(sample: Sample, settings: TrainingSettings) -> list[Demonstration]:
    """Live through a generated sample with the team that knows what is true in it.

    The prompts are those that the trained model will see, to the letter.

    Args:
        sample: from `benchmarks.worlds`.
        settings: those of the training to come: its prompts, retrieval and budgets.

    Raises:
        InputError: the sample carries no truth.
    """
    prompts = prompt_set(settings.prompts)

    def prompted(role: Role) -> AgentSettings:
        return AgentSettings(prompt=prompts.get(role))

    knowledge = Knowledge.of(sample)

    def oracle(role: Role) -> OracleModel:
        return OracleModel(role, knowledge)

    team = Team(
        extractor=FactExtractor(model=oracle(Role.EXTRACTOR), settings=prompted(Role.EXTRACTOR)),
        manager=MemoryManager(model=oracle(Role.MANAGER), settings=prompted(Role.MANAGER)),
        summarizer=Summarizer(model=oracle(Role.SUMMARIZER), settings=prompted(Role.SUMMARIZER)),
        answerer=Answerer(model=oracle(Role.ANSWERER), settings=prompted(Role.ANSWERER)),
    )
    memory = Memory(state_budget=settings.state_budget)
    episode = await run_episode(sample, team, memory, settings=settings.episode)
    return [
        Demonstration(role=turn.role, messages=turn.messages, output=turn.output) for turn in episode.turns
    ]
