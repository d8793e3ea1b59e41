"""One training episode, whoever draws the tokens: the team lives through a sample and every turn is rewarded."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache

from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.errors import ConfigError, InputError
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.llm.protocols import ChatModel
from memquartet.memory.memory import Memory
from memquartet.rewards.branch import branch_credit
from memquartet.rewards.credit import CreditMode, EpisodeReward, Evidence, TurnReward, reward_episode
from memquartet.rollout.episode import Rollout, run_episode
from memquartet.training.clock import ClockedModel
from memquartet.training.policy import PolicyModel
from memquartet.training.rows import Row, episode_rows
from memquartet.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """An episode with its rewards and training rows.

    `seconds` is its wall time, `environment` the part of it in which no model call was under way: parsing, prompts,
    memory, retrieval, rewards. `error` says why there is no reward, where a metric or a part of it gave no number.
    """

    episode: Episode
    reward: EpisodeReward
    rows: tuple[Row, ...]
    seconds: float
    environment: float
    error: str = ""

    @property
    def spoiled(self) -> bool:
        """Whether the world's failures left nothing to train on."""
        return all(row.masked for row in self.rows)


async def live(
    sample: Sample, policy: PolicyModel, settings: TrainingSettings, *, seed: int, filler: int
) -> Lived:
    """Let the team live through a sample, from an empty memory.

    Where a metric or a part of the reward gives no number in [0, 1], as NaN is none, the episode's rows are masked and
    the error is logged: one bad sample does not end a run of hours.

    Args:
        sample: chunks and questions.
        policy: the model in training.
        settings: the run's.
        seed: of everything that is drawn.
        filler: a token id for the one masked row of an episode without any turn.
    """
    started = time.perf_counter()
    frozen = settings.frozen
    resting = (
        ClockedModel(_frozen_model(frozen.model, frozen.base_url), policy.clock) if frozen.model else None
    )
    mix = settings.mix
    rollout = Rollout(
        team=settings.team(policy, resting),
        memory=Memory(state_budget=settings.state_budget),
        settings=settings.episode,
        seed=seed,
    )
    episode = await run_episode(
        sample, rollout.team, rollout.memory, settings=rollout.settings, seed=rollout.seed
    )
    evidence = await _evidence(rollout, episode, sample, settings)
    error = ""
    try:
        reward = reward_episode(episode, sample, mode=settings.credit, mix=mix, evidence=evidence)
    except (ConfigError, InputError) as reason:
        error = str(reason)
        logger.exception("sample %s has no reward; its rows are masked", sample.sample_id)
        reward = _no_reward(episode)
    rows = tuple(episode_rows(episode, reward, trainable=settings.trainable, filler=filler))
    seconds = time.perf_counter() - started
    return Lived(
        episode=episode,
        reward=reward,
        rows=rows,
        seconds=seconds,
        environment=seconds - policy.clock.seconds,
        error=error,
    )


def _no_reward(episode: Episode) -> EpisodeReward:
    turns = (
        TurnReward(index=index, role=turn.role, parts=(), total=None, group="")
        for index, turn in enumerate(episode.turns)
    )
    return EpisodeReward(outcome=None, turns=tuple(turns))


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
