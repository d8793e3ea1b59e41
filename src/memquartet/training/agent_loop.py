"""verl's agent loop `memquartet`: one whole episode of the team, one output for each model call.

verl takes a list of outputs from a session, but writes the last one's reward over the others'. `TurnOutput`
puts its own back when it is turned into columns, and adds the columns `adv_group` and `role` for the trainer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from omegaconf import OmegaConf
from ray.exceptions import RayError
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
    register,
)

from memquartet.agents.base import derive_seed
from memquartet.errors import ModelServerError
from memquartet.training.clock import EpisodeTime
from memquartet.training.dataset import AGENT_NAME, Split, decode_sample
from memquartet.training.episodes import live
from memquartet.training.metrics import CALLS, episode_measures, told_calls
from memquartet.training.policy import ChatTokens, Generate, PolicyModel, SamplingParams, TokenReply
from memquartet.training.rows import Row
from memquartet.training.settings import TrainingSettings


class TurnOutput(AgentLoopOutput):
    """The output of one model call, with its own reward, its role and its advantage group."""

    own_reward: float
    adv_group: str
    role: str

    def as_dict(self) -> dict[str, Any]:  # verl's row: tensors and plain values
        """The row's columns."""
        self.reward_score = self.own_reward
        row: dict[str, Any] = super().as_dict()  # as above
        del row["own_reward"]
        return row


@register(AGENT_NAME)
class MemoryAgentLoop(AgentLoopBase):
    """Runs the team on the sample of one data row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # verl passes its own objects through
        """Take verl's arguments; the key `memquartet` of the configuration is checked here."""
        super().__init__(*args, **kwargs)
        section = OmegaConf.to_container(OmegaConf.select(self.config, "memquartet") or {}, resolve=True)
        self._settings = TrainingSettings.read(section)
        self._tokens = ChatTokens(self.tokenizer, self.apply_chat_template_kwargs)

    async def run(self, sampling_params: Mapping[str, Any], **row: Any) -> list[TurnOutput]:  # verl's row
        """Live through the episode and hand in its rows.

        A validation episode that the world spoiled hands in nothing, so that it is not measured as a zero.
        """
        cpu_start = time.thread_time()
        sample = decode_sample(row["extra_info"]["sample"])
        server = _Server(self.server_manager, step=row["global_steps"])
        policy = self._policy(server.generate, sampling_params)
        seed = derive_seed(self._settings.seed, sample.sample_id, row["global_steps"], row["session_id"])
        lived = await live(sample, policy, self._settings, seed=seed, filler=self.tokenizer.eos_token_id)
        validating = row["extra_info"].get("split") == Split.VALIDATION
        if lived.spoiled and validating:
            return []
        shared = {
            **server.extra_fields,
            "turn_scores": [],
            "tool_rewards": [],
            "reward_extra_info": {
                **episode_measures(lived, policy.use),
                **({CALLS: told_calls(lived)} if validating else {}),
            },
            "time": asdict(
                EpisodeTime.of(seconds=lived.seconds, environment=lived.environment, cpu_start=cpu_start)
            ),
        }
        return [self._output(r, shared, turns=len(lived.rows)) for r in lived.rows]

    def _policy(self, generate: Generate, sampling: SamplingParams) -> PolicyModel:
        return PolicyModel(
            generate=generate,
            tokens=self._tokens,
            sampling=sampling,
            prompt_length=self.rollout_config.prompt_length,
            response_length=self.rollout_config.response_length,
            seeded=self._settings.seeded,
            timeout=self._settings.timeout,
        )

    def _output(self, row: Row, shared: Mapping[str, Any], *, turns: int) -> TurnOutput:  # verl's fields
        return TurnOutput(
            prompt_ids=list(row.prompt_ids),
            response_ids=list(row.response_ids),
            response_mask=row.mask,
            response_logprobs=list(row.logprobs),
            reward_score=row.reward,
            own_reward=row.reward,
            adv_group=row.group,
            role=row.role.value,
            num_turns=turns,
            metrics=AgentLoopMetrics(generate_sequences=row.seconds),
            extra_fields={
                **shared,
                "parts": dict(row.parts),
                "status": row.status,
                "left_out": row.left_out,
            },
        )


class _Server:
    """verl's client as a `Generate`, for one session; it remembers which weights answered.

    verl wants the version of the weights with every output. A session whose server never answered says that
    it used those of the current step.
    """

    def __init__(self, client: Any, *, step: int) -> None:  # verl's LLMServerClient
        self._client = client
        self._fields: dict[str, Any] = {}  # verl's, passed through
        self._step = step

    async def generate(self, prompt: Sequence[int], sampling: SamplingParams) -> TokenReply:
        try:
            output = await self._client.generate(
                request_id=uuid4().hex, prompt_ids=list(prompt), sampling_params=dict(sampling)
            )
        except (RayError, RuntimeError, ConnectionError) as error:
            raise ModelServerError(f"the rollout server failed: {str(error)[-400:]}") from error
        self._remember(output.extra_fields)
        logprobs = tuple(output.log_probs) if output.log_probs else None
        return TokenReply(
            token_ids=tuple(output.token_ids), logprobs=logprobs, stop_reason=output.stop_reason
        )

    def _remember(self, fields: Mapping[str, Any]) -> None:  # verl's fields
        known = self._fields or dict(fields)
        for name, pick in (("min_global_steps", min), ("max_global_steps", max)):
            known[name] = pick(known[name], fields[name])
        self._fields = known

    @property
    def extra_fields(self) -> Mapping[str, Any]:  # verl's fields
        names = ("global_steps", "min_global_steps", "max_global_steps")
        return self._fields or dict.fromkeys(names, self._step)
