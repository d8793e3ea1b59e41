from __future__ import annotations

import math

import pytest
import torch
from omegaconf import OmegaConf

from memquartet.errors import ConfigError
from memquartet.training.settings import TrainingSettings
from memquartet.training.trainer import _BETWEEN, QuartetTrainer, _alone, grouped_advantage

pytestmark = pytest.mark.train


def advantages(
    rewards: list[float], keys: list[tuple[str, str, str]], masked: int = -1, **config: bool
) -> list[float]:
    mask = torch.ones(len(rewards), 3)
    if masked >= 0:
        mask[masked] = 0
    scores = torch.zeros(len(rewards), 3)
    scores[:, -1] = torch.tensor(rewards)
    index = [_BETWEEN.join(key) for key in keys]
    spread, returns = grouped_advantage(scores, mask, index=index, config=OmegaConf.create(config))
    assert torch.equal(spread, returns)
    assert all(len(set(row.tolist())) == 1 for row in spread)
    return spread[:, 0].tolist()


def test_rows_are_compared_within_prompt_and_group() -> None:
    keys = [("u", "a", ""), ("u", "a", ""), ("u", "b", ""), ("u", "b", ""), ("v", "a", "")]
    found = advantages([1.0, 0.0, 0.2, 0.2, 9.0], keys)
    assert found == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5), 0, 0, 0], abs=1e-4)


def test_without_deviation_differences_keep_their_size() -> None:
    found = advantages([1.0, 0.0], [("u", "a", "")] * 2, norm_adv_by_std_in_grpo=False)
    assert found == pytest.approx([0.5, -0.5])


def test_a_masked_row_neither_learns_nor_counts() -> None:
    found = advantages([1.0, 0.0, 50.0], [("u", "a", "")] * 3, masked=2)
    assert found == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5), 0], abs=1e-4)


def test_a_masked_row_may_have_no_number_but_a_trained_one_must() -> None:
    assert advantages([1.0, math.nan], [("u", "a", "")] * 2, masked=1) == [0.0, 0.0]
    with pytest.raises(ConfigError, match=r"finite|mask"):
        advantages([1.0, math.nan], [("u", "a", "")] * 2)


def test_an_episode_counts_once_where_its_reward_is_broadcast() -> None:
    keys = [("u", "g", "0"), ("u", "g", "0"), ("u", "g", "0"), ("u", "g", "1")]
    found = advantages([1.0, 1.0, 1.0, 0.0], keys)
    assert found == pytest.approx([math.sqrt(0.5)] * 3 + [-math.sqrt(0.5)], abs=1e-4)


def test_rows_without_company_are_counted_among_the_learned_ones() -> None:
    nobody = [""] * 4
    assert _alone(["a", "a", "b", "c"], nobody, [True, True, True, False]) == pytest.approx(1 / 3)
    assert _alone(["a", "a"], nobody, [True, False]) == 1.0
    assert _alone(["a"], nobody, [False]) == 0.0
    assert _alone(["a", "a", "b", "b"], ["0", "0", "1", "2"], [True] * 4) == 0.5


def test_no_rows_give_no_advantages() -> None:
    empty = torch.zeros(0, 3)
    assert grouped_advantage(empty, empty, index=[])[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("workers", "samples", "updates", "multiple"), [(1, 4, 1, 4), (2, 4, 1, 4), (3, 4, 2, 24)]
)
def test_rows_are_padded_to_what_workers_and_updates_need(
    workers: int, samples: int, updates: int, multiple: int
) -> None:
    trainer = object.__new__(QuartetTrainer)
    actor = OmegaConf.create({"ppo_mini_batch_size": 1})
    trainer.config = OmegaConf.create({"actor_rollout_ref": {"rollout": {"n": samples}}})
    trainer._settings = TrainingSettings(updates=updates)
    assert trainer._get_required_batch_multiple(workers) == multiple
    trainer._fit_mini_batch(actor, [None] * multiple * 5)
    assert actor.ppo_mini_batch_size * samples * updates == multiple * 5
