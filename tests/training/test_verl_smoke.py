"""GRPO steps of the whole team through verl's own trainer, on a CPU: two as they should be, four with a fault each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.verl_run import real_run, write_rows
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM

from memquartet.core.samples import Chunk, Sample
from memquartet.core.trajectory import Role
from memquartet.training.checkpoints import merge
from memquartet.training.dataset import Split, build_dataset
from memquartet.training.launch import PLUGIN
from memquartet.training.records import Metrics, read_run
from memquartet.training.report import training_report
from memquartet.training.tiny import tiny_samples

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(700)]

FAULTS = "verl_faults"
GARBAGE_STEP, DEATH_STEP, LONELY_STEP, LONG_STEP = 3, 4, 5, 6
"""As in that module, which only processes of verl can import."""
SESSIONS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended well."""

    folder: Path
    metrics: Metrics

    def step(self, number: int) -> Mapping[str, float]:
        return self.metrics[number]


def train_samples() -> list[tuple[Sample, int]]:
    """Two samples a step, with the number of their episodes."""
    first = tiny_samples(10, seed=1)
    empty = Sample(sample_id="empty", chunks=(), questions=(), metric=first[0].metric)
    lone = replace(first[8], chunks=first[8].chunks[:1], questions=first[8].questions[:1])
    long = replace(first[9], chunks=(Chunk(text="Anna lives in Rome. " * 400, index=0),))
    unscored = replace(first[0], sample_id="unscored", metric="always_nan")
    ordinary = [(sample, SESSIONS) for sample in first[:8]]
    return [*ordinary, (empty, SESSIONS), (lone, 1), (long, SESSIONS), (unscored, SESSIONS)]


@pytest.fixture(scope="module")
def run(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("smoke")
    train = write_rows(folder / "train.parquet", train_samples())
    val = folder / "val.parquet"
    build_dataset(tiny_samples(2, seed=2), val, split=Split.VALIDATION, seed=2)
    metrics = real_run(
        folder,
        taught,
        train,
        val,
        "data.shuffle=false",
        "trainer.total_training_steps=6",
        "trainer.val_before_train=true",
        "trainer.test_freq=6",
        "trainer.save_freq=6",
        "trainer.logger=[console,file,tensorboard,wandb]",
        environment={
            "VERL_USE_EXTERNAL_MODULES": f"{PLUGIN},{FAULTS}",
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        },
    )
    return Run(folder, metrics)


def test_every_step_is_logged_and_the_actor_learns(run: Run) -> None:
    assert list(run.metrics) == [0, 1, 2, 3, 4, 5, 6]
    assert all(run.step(number)["actor/grad_norm"] > 0 for number in (1, 2))


def test_the_rollout_draws_from_the_weights_that_are_trained(run: Run) -> None:
    assert all(run.step(number)["training/rollout_probs_diff_max"] < 1e-3 for number in (1, 2))


@pytest.mark.parametrize("role", Role)
def test_every_role_is_rewarded_and_compared_with_its_own(run: Run, role: Role) -> None:
    steps = [run.step(number) for number in (1, 2)]
    assert all(step[f"role/{role}/rows"] > 0 for step in steps)
    assert all(abs(step[f"role/{role}/adv_mean"]) < 1e-4 for step in steps)
    assert any(step[f"role/{role}/adv_std"] > 0 for step in steps)
    assert all(step[f"role/{role}/masked_rows"] == 0 for step in steps)


def test_a_steps_time_is_split_and_the_environment_has_a_share_of_it(run: Run) -> None:
    for number in (1, 2):
        step = run.step(number)
        parts = [value for name, value in step.items() if name.startswith("timing/")]
        assert all(value >= 0 for value in parts)
        assert sum(parts) == pytest.approx(step["timing_s/step"])
        assert 0 < step["environment/share"] < 1
        assert 0 < step["environment/cpu_share"] < 1


def test_garbage_in_every_role_trains_at_the_floor(run: Run) -> None:
    step = run.step(GARBAGE_STEP)
    assert step["role/extractor/rows"] > 0
    assert step["role/extractor/masked_rows"] == 0
    assert step["role/extractor/reward_mean"] == 0
    assert step["role/extractor/invalid"] == 1
    assert step["role/answerer/part/correctness"] == 0
    assert "actor/grad_norm" in step


def test_what_a_dead_server_left_is_masked_and_not_scored_0(run: Run) -> None:
    step = run.step(DEATH_STEP)
    assert sum(step[f"role/{role}/masked_rows"] for role in Role if f"role/{role}/rows" in step) > 0
    assert step["training/skipped_updates"] == 1
    assert "actor/grad_norm" not in step
    assert "episode/outcome_mean" not in step
    assert not any(name.startswith("role/") and name.endswith("/reward_mean") for name in step)


def test_the_server_that_was_started_anew_draws_from_the_trained_weights(run: Run) -> None:
    assert run.step(LONG_STEP)["training/rollout_probs_diff_max"] < 1e-3


def test_an_empty_group_is_masked_and_a_lone_member_learns_nothing(run: Run) -> None:
    step = run.step(LONELY_STEP)
    assert sum(step.get(f"role/{role}/masked_rows", 0) for role in Role) == SESSIONS
    assert step["role/answerer/rows"] == 1
    assert all(
        step.get(f"role/{role}/adv_mean", 0) == step.get(f"role/{role}/adv_std", 0) == 0 for role in Role
    )


def test_prompts_out_of_length_are_cut_and_counted(run: Run) -> None:
    assert run.step(LONG_STEP)["episode/prompts_cut_mean"] >= 0.5
    assert run.step(LONG_STEP)["prompt_length/max"] <= 192


def test_rewards_that_are_no_number_mask_their_episode_and_no_other(run: Run) -> None:
    step = run.step(LONG_STEP)
    assert step["episode/unrewarded_mean"] == 0.5
    assert step["role/extractor/masked_rows"] > 0
    assert step["role/extractor/rows"] > 0


def test_validation_measures_the_outcome(run: Run) -> None:
    assert all("val-aux/world-stream/outcome/mean@1" in run.step(number) for number in (0, 6))


def whole(weight: torch.Tensor) -> torch.Tensor:
    """A weight that FSDP saved, or any other."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def test_the_weights_changed(run: Run, taught: Path) -> None:
    saved = run.folder / "checkpoints" / "global_step_6" / "actor" / "model_world_size_1_rank_0.pt"
    after = torch.load(saved, weights_only=False)
    before = load_file(taught / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(whole(after[name]), before[name])


def test_a_checkpoint_trained_with_packed_attention_becomes_a_model_that_anybody_can_load(
    run: Run, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "global_step_6"
    shutil.copytree(run.folder / "checkpoints" / "global_step_6", checkpoint)
    config = checkpoint / "actor" / "huggingface" / "config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"attn_implementation": "memquartet_packed"}
    config.write_text(json.dumps(told), encoding="utf-8")
    merge(checkpoint, tmp_path / "merged")
    assert "attn_implementation" not in (tmp_path / "merged" / "config.json").read_text(encoding="utf-8")
    assert "memquartet_packed" in config.read_text(encoding="utf-8")
    weights = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").state_dict()
    saved = torch.load(checkpoint / "actor" / "model_world_size_1_rank_0.pt", weights_only=False)
    name = "model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(weights[name].float(), whole(saved[name]).float(), atol=0.01, rtol=0.01)


def test_a_report_is_made_of_what_the_run_left(run: Run) -> None:
    record = read_run(run.folder)
    assert record.starts
    assert record.transcripts.keys() == {0, 6}
    assert "trainer_mode" in record.config
    page = training_report(record)
    assert all(f"<figcaption>{role}</figcaption>" in page for role in Role)
    assert "Seconds of a step" in page


def test_validation_calls_say_who_made_them_about_what(run: Run) -> None:
    for transcripts in read_run(run.folder).transcripts.values():
        assert {one.sample_id for one in transcripts} == {
            sample.sample_id for sample in tiny_samples(2, seed=2)
        }
        calls = [call for one in transcripts for call in one.calls]
        assert {call.role for call in calls} >= {Role.EXTRACTOR, Role.ANSWERER}
        assert all(call.unit.startswith(("chunk ", "question ")) for call in calls)
        assert all(call.status and call.reward is not None for call in calls)


def test_the_loggers_write_into_the_runs_folder(run: Run) -> None:
    assert list(run.folder.glob("tensorboard/**/events.*"))
    assert list(run.folder.glob("wandb/offline-run-*/*.wandb"))
