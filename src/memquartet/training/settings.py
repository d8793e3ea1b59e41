"""What a run of training is told under the key `memquartet` of verl's configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memquartet.agents.answerer import TOP_K, Answerer
from memquartet.agents.base import AgentSettings
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.prompt_sets import SHIPPED, prompt_set
from memquartet.agents.summarizer import Summarizer
from memquartet.agents.team import Team
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.llm.protocols import ChatModel, Sampling
from memquartet.memory.protocols import SearchMethod
from memquartet.rewards.credit import CreditMode
from memquartet.rewards.mix import RewardMix
from memquartet.rollout.episode import EpisodeSettings
from memquartet.training.policy import PolicyModel


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrozenTeam(_Section):
    """The server of the roles that are not trained."""

    base_url: str | None = None
    model: str | None = None


class TrainingSettings(_Section):
    """The team, its memory and its rewards.

    `prompts` is "shipped", "short" (a line or two, for models that learn their roles by heart) or a folder with
    a file ROLE.md for each role. `max_tokens` bounds a role's output within verl's `response_length`. `seeded` sends a seed with each call, so
    that equal runs draw equal tokens; servers pay for it with speed. `timeout` is in seconds a model call.
    `equal_roles` gives the roles the same weight in the loss however many tokens they write, but a token's weight is
    multiplied by `role_weight_limit` at most; `updates` is the number of optimizer steps a batch makes;
    `branch_budget` bounds the counterfactuals of an episode.
    """

    credit: CreditMode = CreditMode.ROLE
    branch_budget: int = Field(default=8, ge=0)
    trainable: frozenset[Role] = frozenset(Role)
    frozen: FrozenTeam = FrozenTeam()
    fact_top_k: int = Field(default=3, ge=1)
    answer_top_k: int = Field(default=TOP_K, ge=1)
    max_searches: int = Field(default=0, ge=0)
    line_top_k: int = Field(default=0, ge=0)
    method: SearchMethod = SearchMethod.HYBRID
    state_budget: int = Field(default=128, ge=1)
    max_attempts: int = Field(default=1, ge=1)
    prompts: str = SHIPPED
    max_tokens: Mapping[Role, int] = Field(default_factory=dict)
    rewards: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    equal_roles: bool = True
    role_weight_limit: float = Field(default=math.inf, ge=1)
    updates: int = Field(default=1, ge=1)
    seed: int = 0
    seeded: bool = False
    timeout: float = Field(default=600.0, gt=0)

    @classmethod
    def read(cls, section: Mapping[str, object]) -> TrainingSettings:
        """Check the section `memquartet` of a configuration; null is what is not said.

        Raises:
            ConfigError: an unknown key or a value that cannot work; the message names it.
        """
        try:
            settings = cls.model_validate({key: value for key, value in section.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(("memquartet", *map(str, first["loc"])))
            raise ConfigError(f"{key}: {first['msg']}, got {first['input']!r}") from error
        if not settings.trainable:
            raise ConfigError("memquartet.trainable is empty: name at least one role to train")
        if settings.trainable != frozenset(Role) and not settings.frozen.model:
            resting = ", ".join(sorted(frozenset(Role) - settings.trainable))
            raise ConfigError(f"memquartet.frozen.model is missing: it has to play {resting}")
        return settings

    @property
    def mix(self) -> RewardMix:
        """The weights of the reward parts.

        Raises:
            ConfigError: `rewards` names a role, a part or a weight that cannot be.
        """
        return RewardMix.of(self.rewards)

    @property
    def episode(self) -> EpisodeSettings:
        """How memories are retrieved."""
        return EpisodeSettings(
            fact_top_k=self.fact_top_k,
            answer_top_k=self.answer_top_k,
            max_searches=self.max_searches,
            line_top_k=self.line_top_k,
            method=self.method,
        )

    def team(self, policy: PolicyModel, frozen: ChatModel | None) -> Team:
        """The four agents: trained roles on the policy, the others on the frozen model.

        Args:
            policy: the model in training.
            frozen: plays the other roles; may be None when all are trained.
        """

        def model(role: Role) -> ChatModel:
            return policy if role in self.trainable or frozen is None else frozen

        prompts = prompt_set(self.prompts)

        def settings(role: Role) -> AgentSettings:
            longest = policy.response_length
            return AgentSettings(
                sampling=Sampling(max_tokens=min(self.max_tokens.get(role, longest), longest)),
                max_attempts=self.max_attempts,
                logprobs=role in self.trainable,
                prompt=prompts.get(role),
            )

        return Team(
            extractor=FactExtractor(model=model(Role.EXTRACTOR), settings=settings(Role.EXTRACTOR)),
            manager=MemoryManager(model=model(Role.MANAGER), settings=settings(Role.MANAGER)),
            summarizer=Summarizer(model=model(Role.SUMMARIZER), settings=settings(Role.SUMMARIZER)),
            answerer=Answerer(model=model(Role.ANSWERER), settings=settings(Role.ANSWERER)),
        )
