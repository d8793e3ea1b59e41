"""verl's trainer `memquartet`: synchronous PPO in which every output keeps its own reward and advantage.

Importing this module registers the trainer and the advantage estimator of the same name. Three things differ
from verl's own trainer: rows are compared within (prompt, advantage group) and not one a session; the roles are
given equal weight; and a batch makes a fixed number of optimizer steps however many rows its episodes have.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import transfer_queue
from omegaconf import DictConfig, OmegaConf, open_dict
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import register_adv_est
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from memquartet.rewards.advantages import Scale, group_advantages, role_weights
from memquartet.rewards.credit import CreditMode
from memquartet.training.clock import EpisodeTime, step_split
from memquartet.training.metrics import CALLS, Trained, call_columns, episode_metrics, role_metrics
from memquartet.training.settings import TrainingSettings

NAME = "memquartet"
POLL_SECONDS = 0.2
_BETWEEN = "\x1f"
"""Joins prompt, group and member into the one string that verl hands to an estimator."""


@register_adv_est(NAME)
def grouped_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: Sequence[str],
    config: Any = None,  # verl's AlgoConfig
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's reward against its group's, spread over its tokens; returns are the same.

    `algorithm.norm_adv_by_std_in_grpo=False` leaves out the division by the deviation (Dr. GRPO).
    """
    keys = [str(key).split(_BETWEEN) for key in index]
    members = [tuple(key) for key in keys] if any(key[2] for key in keys) else None
    by_std = config is None or config.get("norm_adv_by_std_in_grpo", True)
    advantages = group_advantages(
        token_level_rewards.sum(-1).tolist(),
        [tuple(key[:2]) for key in keys],
        (response_mask.sum(-1) == 0).tolist(),
        scale=Scale.STD if by_std else Scale.NONE,
        members=members,
    )
    spread = torch.as_tensor(advantages, dtype=torch.float32).unsqueeze(-1) * response_mask
    return spread, spread


def _alone(groups: Sequence[Hashable], members: Sequence[str], learned: Sequence[bool]) -> float:
    """The share of learned rows that nothing is compared with, so that their advantage is 0.

    A group's rows are compared with one another, or by member where they have one.
    """
    rows = [row for row, counted in enumerate(learned) if counted]
    compared: dict[Hashable, set[Hashable]] = {}
    for row in rows:
        compared.setdefault(groups[row], set()).add(members[row] or row)
    return sum(len(compared[groups[row]]) == 1 for row in rows) / max(1, len(rows))


@register_trainer(NAME)
class QuartetTrainer(PPOTrainerSync):
    """PPO over the rows of the team's episodes.

    A step whose rows are all masked, because every server was down, updates nothing and the run goes on.
    """

    _idle = False

    def __init__(self, config: DictConfig) -> None:
        """Check the key `memquartet` and go on as verl's synchronous trainer."""
        self._settings = TrainingSettings.read(
            OmegaConf.to_container(OmegaConf.select(config, "memquartet") or {}, resolve=True)
        )
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"  # verl compares with this word
        super().__init__(config)

    def _build_replay_buffer(self) -> Any:  # verl's ReplayBuffer
        """Look more often than verl does whether the batch is there: a step of a small model takes seconds."""
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = POLL_SECONDS
        return buffer

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        """Rows divide evenly over workers and optimizer steps, with as little padding as that takes."""
        return math.lcm(dp_size, self.config.actor_rollout_ref.rollout.n) * self._settings.updates

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:  # verl's metrics
        if self._idle:
            return batch
        self._fit_mini_batch(self.config.actor_rollout_ref.actor, batch)
        return super()._update_actor(batch, metrics)

    def _update_critic(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:  # verl's metrics
        if self._idle:
            return batch
        self._fit_mini_batch(self.config.critic, batch)
        return super()._update_critic(batch, metrics)

    def _fit_mini_batch(self, section: DictConfig, batch: KVBatchMeta) -> None:
        """Size the mini-batch: verl multiplies the key by n and counts it in rows."""
        steps = self.config.actor_rollout_ref.rollout.n * self._settings.updates
        section.ppo_mini_batch_size = len(batch) // steps

    def _compute_advantage(
        self, batch: KVBatchMeta, metrics: dict[str, Any]
    ) -> KVBatchMeta:  # verl's metrics
        columns = _columns(batch, "uid", "adv_group", "response_mask")
        self._idle = not any(mask.any() for mask in columns["response_mask"].unbind())
        if self._idle:
            self._show_one_token(batch, columns["response_mask"].unbind())
            metrics["training/skipped_updates"] = 1.0
        uids, groups = list(columns["uid"]), list(columns["adv_group"])
        if self._settings.credit is CreditMode.BROADCAST:
            members = [key.rsplit("_", 1)[0] for key in batch.keys]
        else:
            members = [""] * len(uids)
        keys = [_BETWEEN.join(parts) for parts in zip(uids, groups, members, strict=True)]
        metrics["training/rows_alone"] = _alone(
            list(zip(uids, groups, strict=True)),
            members,
            [bool(mask.any()) for mask in columns["response_mask"].unbind()],
        )
        _put(batch, uid=NonTensorStack(*keys))
        batch = super()._compute_advantage(batch, metrics)
        _put(batch, uid=NonTensorStack(*uids))
        if self._settings.equal_roles:
            self._weigh_roles(batch)
        return batch

    def _show_one_token(self, batch: KVBatchMeta, masks: Sequence[torch.Tensor]) -> None:
        """Unmask a token in a batch that nothing is learned from: verl's statistics fail on none."""
        shown = [mask.clone() for mask in masks]
        shown[0][0] = 1
        _put(batch, response_mask=torch.nested.as_nested_tensor(shown, layout=torch.jagged))

    def _weigh_roles(self, batch: KVBatchMeta) -> None:
        columns = _columns(batch, "role", "advantages", "response_mask")
        sizes = [int(mask.sum()) for mask in columns["response_mask"].unbind()]
        weights = role_weights(
            list(columns["role"]),
            [size == 0 for size in sizes],
            sizes,
            limit=self._settings.role_weight_limit,
        )
        advantages = [
            row * weight for row, weight in zip(columns["advantages"].unbind(), weights.tolist(), strict=True)
        ]
        _put(batch, advantages=torch.nested.as_nested_tensor(advantages, layout=torch.jagged))

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: Mapping[str, float],
        *args: Any,
        **rest: Any,
    ) -> None:  # verl's
        columns = _columns(batch, "role", "rm_scores", "advantages", "response_mask", "extra_fields")
        rows = _trained(batch, columns)
        metrics.update(role_metrics([replace(row, tokens=0) for row in rows] if self._idle else rows))
        episodes = _episodes(batch, columns)
        metrics.update(episode_metrics([one["reward_extra_info"] for one in episodes]))
        metrics.update(step_split(timing_raw, [EpisodeTime(**one["time"]) for one in episodes]))
        super()._compute_metrics(batch, metrics, timing_raw, *args, **rest)

    def _dump_generations(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        gts: Sequence[object],
        scores: Sequence[float],
        reward_extra_infos_dict: Mapping[str, Sequence[Any]],
        dump_path: str,
    ) -> None:  # verl's
        """Write who made each call beside what verl dumps."""
        columns = dict(reward_extra_infos_dict)
        told = columns.pop(CALLS, None)
        if told is not None:
            columns |= call_columns(columns["uid"], told)
        super()._dump_generations(inputs, outputs, gts, scores, columns, dump_path)


def _trained(batch: KVBatchMeta, columns: TensorDict) -> list[Trained]:
    """The batch's rows, without those that only pad it."""
    rows = zip(
        batch.tags,
        list(columns["role"]),
        columns["rm_scores"].unbind(),
        columns["advantages"].unbind(),
        columns["response_mask"].unbind(),
        list(columns["extra_fields"]),
        strict=True,
    )
    return [
        Trained(
            role=role,
            reward=float(scores.sum()),
            advantage=float(advantages[0]),
            tokens=int(mask.sum()),
            status=extra["status"],
            left_out=extra["left_out"],
            parts=extra["parts"],
        )
        for tag, role, scores, advantages, mask, extra in rows
        if not tag.get("is_padding", False)
    ]


def _episodes(batch: KVBatchMeta, columns: TensorDict) -> list[Mapping[str, Any]]:  # verl's extra fields
    """The extra fields of each episode's last row; what is about the episode stands in all of them."""
    found = {
        key.rsplit("_", 1)[0]: extra
        for key, tag, extra in zip(batch.keys, batch.tags, list(columns["extra_fields"]), strict=True)
        if not tag.get("is_padding", False)
    }
    return list(found.values())


def _columns(batch: KVBatchMeta, *names: str) -> TensorDict:
    return transfer_queue.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=list(names)
    )


def _put(batch: KVBatchMeta, **columns: object) -> None:
    transfer_queue.kv_batch_put(
        keys=batch.keys,
        partition_id=batch.partition_id,
        fields=TensorDict(columns, batch_size=[len(batch)]),
    )
