from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from memquartet.training.launch import CONFIGS, plan, presets
from memquartet.training.settings import TrainingSettings

pytestmark = pytest.mark.train


def composed(names: list[str], *overrides: str) -> DictConfig:
    launch = plan(
        names, overrides, train=[Path("/d/it's, a.parquet")], val=[Path("/d/v.parquet")], model="/m"
    )
    given = list(launch.command[launch.command.index("memquartet") + 1 :])
    with initialize_config_module(CONFIGS, version_base=None):
        return compose("memquartet", overrides=given)


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_makes_a_whole_configuration(name: str) -> None:
    config = composed([name])
    assert OmegaConf.missing_keys(config) <= {
        "reward.reward_model.rollout.name",
        "actor_rollout_ref.rollout.name",
    }
    assert config.trainer.v1.trainer_mode == "memquartet"
    assert config.data.train_files == ["/d/it's, a.parquet"]
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert actor.loss_agg_mode == "token-mean"
    settings = TrainingSettings.read(OmegaConf.to_container(config.memquartet, resolve=True))
    assert settings.prompts == ("short" if name == "smoke" else "shipped")


def test_later_presets_and_overrides_win() -> None:
    config = composed(
        ["grpo", "dapo", "cpu"], "actor_rollout_ref.actor.clip_ratio_high=0.3", "memquartet.credit=branch"
    )
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.3
    assert not config.actor_rollout_ref.actor.use_kl_loss
    assert config.actor_rollout_ref.rollout.name == "in_process"
    assert config.memquartet.credit == "branch"


def test_presets_differ_where_their_methods_do() -> None:
    assert composed(["dr_grpo"]).algorithm.norm_adv_by_std_in_grpo is False
    assert composed(["ppo"]).algorithm.adv_estimator == "gae"
    assert composed(["lora"]).actor_rollout_ref.model.lora_rank == 32
    assert composed(["grpo", "fsdp"]).actor_rollout_ref.actor.strategy == "fsdp"
