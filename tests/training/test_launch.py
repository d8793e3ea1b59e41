from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

from memquartet.errors import ConfigError
from memquartet.training.launch import FUSED, note_start, plan, presets, runs_beside


def test_the_presets_that_the_pages_name_are_there_and_say_what_they_are() -> None:
    wanted = {"grpo", "dr_grpo", "dapo", "ppo", "lora", "fsdp", "fsdp2", "cpu", "smoke", "h100"}
    assert wanted <= presets().keys()
    assert all(presets().values())


def test_a_plan_is_verls_own_command() -> None:
    launch = plan(["grpo", "cpu"], ["trainer.total_epochs=3"], train=[Path("/d/a,1.parquet")], model="m")
    assert launch.command[1:3] == ("-m", "verl.trainer.main_ppo")
    assert launch.command[7:10] == (
        "preset=[grpo,cpu]",
        "data.train_files=['/d/a,1.parquet']",
        "actor_rollout_ref.model.path='m'",
    )
    assert launch.command[-1] == "trainer.total_epochs=3"
    assert launch.environment["VERL_PLATFORM"] == "cpu"
    assert "VERL_PLATFORM" not in plan(["grpo"], []).environment
    assert "'preset=[grpo,cpu]'" in launch.shell


@pytest.mark.skipif(find_spec("flashinfer") is not None, reason="FlashInfer is installed")
def test_a_gpu_run_does_without_flashinfer_where_it_is_missing() -> None:
    assert plan(["grpo", "h100"], []).environment["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in plan(["grpo", "cpu"], []).environment


def test_the_workers_of_a_ray_that_runs_already_are_told_the_runs_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def told(*overrides: str) -> str:
        command = plan(["grpo"], overrides, out=tmp_path).command
        return next((one for one in command if "runtime_env.env_vars=" in one), "")

    passed_on = f"VERL_FILE_LOGGER_PATH:'{tmp_path / 'metrics-1.jsonl'}'"
    assert passed_on in told("ray_kwargs.ray_init.address=auto")
    assert told() == ""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert passed_on in told()
    assert passed_on in told("ray_kwargs.ray_init.address=null")
    assert told("ray_kwargs.ray_init.address=local") == ""


@pytest.mark.parametrize(("names", "overrides"), [(["gpro"], []), (["grpo"], ["trainer.total_epochs"])])
def test_a_misspelt_preset_or_override_is_refused(names: list[str], overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"preset|key=value"):
        plan(names, overrides)


def test_a_runs_folder_holds_all_that_it_leaves(tmp_path: Path) -> None:
    out = tmp_path / "it's, a run"
    launch = plan(["grpo"], [], model="m", out=out)
    quoted = str(out).replace("'", "\\'")
    assert f"trainer.default_local_dir='{quoted}/checkpoints'" in launch.command
    assert launch.environment["VERL_FILE_LOGGER_PATH"] == str(out / "metrics-1.jsonl")
    note_start(launch, out)
    told = json.loads((out / "start-1.json").read_text(encoding="utf-8"))
    assert told["command"] == list(launch.command)
    assert told["versions"]["memquartet"]
    assert plan(["grpo"], [], out=out).environment["VERL_FILE_LOGGER_PATH"].endswith("metrics-2.jsonl")


@pytest.mark.parametrize(
    ("config", "told"),
    [({"tie_word_embeddings": False}, "untied embeddings"), ({"logits_scaling": 8.0}, "logits_scaling")],
)
def test_a_model_that_the_fused_loss_does_not_fit_is_refused(
    config: dict[str, object], told: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        plan(["grpo", "h100"], [], model=str(tmp_path))
    plan(["grpo", "h100"], [f"{FUSED}=false"], model=str(tmp_path))
    plan(["grpo"], [], model=str(tmp_path))
    (tmp_path / "config.json").write_text('{"tie_word_embeddings": true}', encoding="utf-8")
    plan(["grpo", "h100"], [], model=str(tmp_path))


@pytest.mark.skipif(find_spec("psutil") is None, reason="psutil comes with the train extra")
def test_another_run_on_the_machine_is_seen_but_by_one_on_the_cpu() -> None:
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", "verl.trainer.main_ppo"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as other:
        try:
            assert other.pid in runs_beside(plan(["h100"], []))
            assert other.pid in runs_beside(plan(["h100"], ["ray_kwargs.ray_init.address=auto"]))
            assert runs_beside(plan(["cpu"], [])) == ()
        finally:
            other.kill()
    assert other.pid not in runs_beside(plan(["h100"], []))


@pytest.mark.skipif(find_spec("psutil") is None, reason="psutil comes with the train extra")
@pytest.mark.skipif(which("unshare") is None, reason="there is no unshare")
def test_a_run_with_a_tmp_of_its_own_is_not_in_the_way_unless_both_join_one_ray() -> None:
    mounted = ["sh", "-c", 'mount -t tmpfs own /tmp && exec "$@"', "sh"]
    # A shell, since the tests' own Python may lie in the /tmp that is not seen there.
    run = ["sh", "-c", "echo here; read line", "verl.trainer.main_ppo"]
    command = ["unshare", "-m", "--propagation", "private", *mounted, *run]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            if other.stdout.readline() != b"here\n":
                pytest.skip("only root may give a process a /tmp of its own")
            assert other.pid not in runs_beside(plan(["h100"], []))
            assert other.pid in runs_beside(plan(["h100"], ["ray_kwargs.ray_init.address=auto"]))
        finally:
            other.kill()
