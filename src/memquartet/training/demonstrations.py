"""What the four agents should say on generated episodes, as examples to learn from before any RL."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from typing_extensions import override

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.prompt_sets import prompt_set
from memquartet.agents.summarizer import Summarizer
from memquartet.agents.team import Team
from memquartet.benchmarks.worlds.truth import FactKind
from memquartet.core.messages import Message
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision, Episode, Role
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.systems.oracle import UNKNOWN, Knowledge, OracleModel
from memquartet.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One prompt and the output it should get."""

    role: Role
    messages: tuple[Message, ...]
    output: str


async def demonstrate(
    sample: Sample,
    settings: TrainingSettings,
    *,
    slips: float = 0.0,
    lapses: float = 0.0,
    random: Random | None = None,
) -> list[Demonstration]:
    """Live through a generated sample with the team that knows what is true in it.

    The prompts are those that the trained model will see, to the letter.

    Args:
        sample: from `benchmarks.worlds`.
        settings: those of the training to come: its prompts, retrieval and budgets.
        slips: the probability in [0, 1] that an UPDATE is carried out as an ADD, so that the old memory stays beside
            the new one. What is demonstrated is right by what is shown: of two values the newer, but of a value that
            was withdrawn perhaps the one before it, where that was left.
        lapses: the probability in [0, 1] that an important fact is overlooked, so that only the text's own line says
            it; what the extractor should have said is demonstrated all the same.
        random: draws slips and lapses.

    Raises:
        InputError: the sample carries no truth.
    """
    prompts = prompt_set(settings.prompts)

    def prompted(role: Role) -> AgentSettings:
        return AgentSettings(prompt=prompts.get(role))

    knowledge = Knowledge.of(sample)

    def oracle(role: Role) -> OracleModel:
        return OracleModel(role, knowledge)

    draw = random or Random(sample.sample_id)
    extractor = _FaultyOracle(Role.EXTRACTOR, knowledge, lambda told: _overlooking(told, lapses, draw))
    manager = _FaultyOracle(Role.MANAGER, knowledge, lambda told: _slipping(told, slips, draw))
    team = Team(
        extractor=FactExtractor(model=extractor, settings=prompted(Role.EXTRACTOR)),
        manager=MemoryManager(model=manager, settings=prompted(Role.MANAGER)),
        summarizer=Summarizer(model=oracle(Role.SUMMARIZER), settings=prompted(Role.SUMMARIZER)),
        answerer=Answerer(model=oracle(Role.ANSWERER), settings=prompted(Role.ANSWERER)),
    )
    memory = Memory(state_budget=settings.state_budget)
    episode = await run_episode(sample, team, memory, settings=settings.episode)
    right = {Role.EXTRACTOR: extractor.right, Role.MANAGER: manager.right}
    doubtful = _doubtful(episode, sample) if settings.line_top_k else frozenset()
    return [
        Demonstration(
            role=turn.role,
            messages=turn.messages,
            output=right[turn.role][turn.messages] if turn.role in right else turn.output,
        )
        for turn in episode.turns
        if turn.messages not in doubtful
    ]


def _doubtful(episode: Episode, sample: Sample) -> frozenset[Sequence[Message]]:
    """Prompts to which the oracle knew no answer although somebody said it.

    A line that was shown may say it in half a sentence, which the oracle does not understand and a learner should.
    """
    return frozenset(
        turn.messages
        for answer, question in zip(episode.answers, sample.questions, strict=True)
        if question.answers and answer.text == UNKNOWN
        for turn in answer.trajectory.turns
    )


class _FaultyOracle(OracleModel):
    """The oracle in a role in which it makes mistakes; `right` has what it should have said to each prompt."""

    def __init__(self, role: Role, knowledge: Knowledge, spoil: Callable[[str], str]) -> None:
        super().__init__(role, knowledge)
        self._spoil = spoil
        self.right: dict[Sequence[Message], str] = {}

    @override
    async def complete(self, request: ChatRequest) -> Completion:
        """Note what is right, and say it as it is spoiled."""
        told = await super().complete(request)
        self.right[tuple(request.messages)] = told.text
        return Completion(text=self._spoil(told.text), model=self.name)


def _overlooking(extraction: str, share: float, random: Random) -> str:
    """An extraction in which this share of the important facts is overlooked, so that their lines alone say them."""
    seen = {
        kind: [
            text for text in texts if kind == FactKind.UNIMPORTANT or not share or random.random() >= share
        ]
        for kind, texts in json.loads(extraction).items()
    }
    return json.dumps(seen, ensure_ascii=False)


def _slipping(decisions: str, share: float, random: Random) -> str:
    """Decisions of which this share of the updates is not seen to replace a memory.

    Without such slips nobody would ever be shown two values of one thing, and a learner would not know that the later
    one holds.
    """
    made = [
        {"fact": one["fact"], "op": Decision.ADD}
        if one["op"] == Decision.UPDATE and random.random() < share
        else one
        for one in json.loads(decisions)["decisions"]
    ]
    return json.dumps({"decisions": made})
