"""The memory's tools in verl's own `tool_agent` loop: one agent, a step of verl's own trainer, on a CPU."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tests.training.verl_run import real_run

from memquartet.training.launch import PLUGIN

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(700)]

SCRIPT = "verl_scripted"
HERE = Path(__file__).parent


def test_a_trajectory_finds_what_it_stored_and_nothing_of_the_others(taught: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.parquet"
    rows = [
        {
            "data_source": "words",
            "prompt": [{"role": "user", "content": f"Remember a word. ({number})"}],
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"index": number},
        }
        for number in range(2)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data)
    tools = resources.files("memquartet.training.configs").joinpath("tool_config.yaml")
    metrics = real_run(
        tmp_path,
        taught,
        data,
        data,
        "trainer.v1.trainer_mode=sync",
        "algorithm.adv_estimator=grpo",
        "actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent",
        "actor_rollout_ref.rollout.multi_turn.enable=true",
        f"actor_rollout_ref.rollout.multi_turn.tool_config_path={tools}",
        "actor_rollout_ref.rollout.multi_turn.max_tool_response_length=1024",
        f"reward.custom_reward_function.path={HERE / SCRIPT}.py",
        "data.max_response_length=2048",
        "trainer.total_training_steps=1",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        environment={
            "VERL_USE_EXTERNAL_MODULES": f"{PLUGIN},{SCRIPT}",
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        },
    )
    step = metrics[1]
    # Half of the trajectories delete what they stored; -1 would be one that found something else.
    assert step["critic/score/max"] == 1.0
    assert step["critic/score/min"] == 0.5
    assert step["critic/score/mean"] == 0.75
    assert step["num_turns/max"] > step["num_turns/min"]
    assert step["actor/grad_norm"] > 0
