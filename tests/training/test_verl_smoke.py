"""Two GRPO steps of the whole team through verl's own trainer, on a CPU."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from memquartet.core.trajectory import Role
from memquartet.training.dataset import Split, build_dataset
from memquartet.training.launch import note_start, plan
from memquartet.training.records import read_run
from memquartet.training.report import training_report
from memquartet.training.tiny import tiny_samples

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(400)]

BOUND = 330
"""Seconds: Ray waits in silence when it starves. Two idle cores need about 100."""


@pytest.fixture(scope="module")
def run(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the log of a run that ended well."""
    folder = tmp_path_factory.mktemp("smoke")
    build_dataset(tiny_samples(8, seed=1), folder / "train.parquet", split=Split.TRAIN, seed=1)
    build_dataset(tiny_samples(2, seed=2), folder / "val.parquet", split=Split.VALIDATION, seed=2)
    launch = plan(
        ["grpo", "cpu", "smoke"],
        [],
        train=[folder / "train.parquet"],
        val=[folder / "val.parquet"],
        model=str(taught),
        out=folder,
    )
    note_start(launch, folder)
    log = folder / "log.txt"
    with log.open("wb") as stream:
        ended = subprocess.run(
            launch.command,
            env=launch.full_environment({"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}),
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=BOUND,
            check=False,
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    assert ended.returncode == 0, text[-4000:]
    return folder, text


def steps_of(log: str) -> list[dict[str, float]]:
    """The metrics of each step line, by name."""
    lines = [line for line in log.splitlines() if re.search(r"\bstep:\d+ - ", line)]
    found = [re.findall(r"(\S+):(?:np\.\w+\()?(-?[\d.]+(?:e[-+]?\d+)?)", line) for line in lines]
    return [{name: float(value) for name, value in pairs} for pairs in found]


def test_both_steps_are_logged_and_the_actor_learns(run: tuple[Path, str]) -> None:
    steps = steps_of(run[1])
    assert [step["step"] for step in steps] == [1, 2]
    assert all(step["actor/grad_norm"] > 0 for step in steps)


def test_the_rollout_draws_from_the_weights_that_are_trained(run: tuple[Path, str]) -> None:
    assert all(step["training/rollout_probs_diff_max"] < 1e-3 for step in steps_of(run[1]))


@pytest.mark.parametrize("role", Role)
def test_every_role_is_rewarded_and_compared_with_its_own(run: tuple[Path, str], role: Role) -> None:
    steps = steps_of(run[1])
    assert all(step[f"role/{role}/rows"] > 0 for step in steps)
    assert all(abs(step[f"role/{role}/adv_mean"]) < 1e-4 for step in steps)
    assert any(step[f"role/{role}/adv_std"] > 0 for step in steps)
    assert all(step[f"role/{role}/masked_rows"] == 0 for step in steps)


def test_validation_measures_the_outcome(run: tuple[Path, str]) -> None:
    assert re.search(r"val-\w+/world-stream/outcome/mean@1", run[1])


def test_the_weights_changed(run: tuple[Path, str], taught: Path) -> None:
    folder, _ = run
    saved = folder / "checkpoints" / "global_step_2" / "actor" / "model_world_size_1_rank_0.pt"
    after = torch.load(saved, weights_only=False)
    before = load_file(taught / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    trained = after[name].full_tensor() if hasattr(after[name], "full_tensor") else after[name]
    assert not torch.equal(trained, before[name])


def test_a_report_is_made_of_what_the_run_left(run: tuple[Path, str]) -> None:
    record = read_run(run[0])
    assert [step for step in record.metrics if step] == [1, 2]
    assert record.starts
    assert record.transcripts.keys() == {2}
    assert "trainer_mode" in record.config
    page = training_report(record)
    assert all(f"<figcaption>{role}</figcaption>" in page for role in Role)
