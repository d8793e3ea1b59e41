"""One training episode, whoever draws the tokens: the team lives through a sample and every turn is rewarded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.llm.protocols import ChatModel
from memquartet.memory.memory import Memory
from memquartet.rewards.branch import branch_credit
from memquartet.rewards.credit import CreditMode, EpisodeReward, Evidence, reward_episode
from memquartet.rollout.episode import Rollout, run_episode
from memquartet.training.policy import PolicyModel
from memquartet.training.rows import Row, episode_rows
from memquartet.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """An episode with its rewards and training rows. `seconds` is its wall time, with the model's."""

    episode: Episode
    reward: EpisodeReward
    rows: tuple[Row, ...]
    seconds: float

    @property
    def spoiled(self) -> bool:
        """Whether the world's failures left nothing to train on."""
        return all(row.masked for row in self.rows)


async def live(
    sample: Sample, policy: PolicyModel, settings: TrainingSettings, *, seed: int, filler: int
) -> Lived:
    """Let the team live through a sample, from an empty memory.

    Args:
        sample: chunks and questions.
        policy: the model in training.
        settings: the run's.
        seed: of everything that is drawn.
        filler: a token id for the one masked row of an episode without any turn.
    """
    started = time.perf_counter()
    frozen = settings.frozen
    resting = _frozen_model(frozen.model, frozen.base_url) if frozen.model else None
    rollout = Rollout(
        team=settings.team(policy, resting),
        memory=Memory(state_budget=settings.state_budget),
        settings=settings.episode,
        seed=seed,
    )
    episode = await run_episode(
        sample, rollout.team, rollout.memory, settings=rollout.settings, seed=rollout.seed
    )
    reward = reward_episode(
        episode,
        sample,
        mode=settings.credit,
        mix=settings.mix,
        evidence=await _evidence(rollout, episode, sample, settings),
    )
    return Lived(
        episode=episode,
        reward=reward,
        rows=tuple(episode_rows(episode, reward, trainable=settings.trainable, filler=filler)),
        seconds=time.perf_counter() - started,
    )


async def _evidence(
    rollout: Rollout, episode: Episode, sample: Sample, settings: TrainingSettings
) -> Evidence:
    if settings.credit is not CreditMode.BRANCH:
        return Evidence()
    probed = await branch_credit(rollout, episode, sample, budget=settings.branch_budget, seed=rollout.seed)
    return Evidence(branch=probed.by_turn)


@cache
def _frozen_model(name: str, base_url: str | None) -> ChatModel:
    """One client for all episodes of the process."""
    return OpenAIChatModel(name, base_url)
