from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from tests.cli.support import read_json, run

from memquartet.training.dataset import decode_sample

MODEL = "some/model"
RECORDED = Path(__file__).parent.parent / "training" / "recorded"
without_verl = pytest.mark.skipif(
    importlib.util.find_spec("verl") is not None, reason="is about machines without verl"
)


@pytest.fixture
def files() -> tuple[str, ...]:
    """Options that name a training and a validation file."""
    for split in ("train", "val"):
        result = run(
            "data",
            "build",
            "world:conflict?n=3",
            "--split",
            split,
            "--seed",
            "5",
            "--out",
            f"{split}.parquet",
        )
        assert result.exit_code == 0, result.output
    return ("--train", "train.parquet", "--val", "val.parquet", "--model", MODEL)


def samples_in(path: str) -> list[str]:
    """The ids of a parquet file's samples, in order."""
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(path).to_pylist()
    return [decode_sample(row["extra_info"]["sample"]).sample_id for row in rows]


def test_a_data_set_comes_with_its_manifest() -> None:
    told = read_json(
        run(
            "data",
            "build",
            "world:conflict?n=3",
            "world:dialogue?n=2",
            "--out",
            "a/t.parquet",
            "--seed",
            "4",
            "--json",
        )
    )
    assert told["file"] == "a/t.parquet"
    assert told["manifest"] == json.loads(Path("a/t.parquet.json").read_text(encoding="utf-8"))
    assert told["manifest"]["sources"] == {"world-stream": 3, "world-dialogue": 2}
    assert (told["manifest"]["seed"], told["manifest"]["split"]) == (4, "train")
    assert len(samples_in("a/t.parquet")) == 5


def test_equal_commands_build_equal_data_and_splits_differ() -> None:
    def digest(*more: str) -> str:
        told = read_json(run("data", "build", "world:conflict?n=3", "--out", "t.parquet", "--json", *more))
        return str(told["manifest"]["digest"])

    assert digest() == digest()
    assert len({digest(), digest("--seed", "1"), digest("--split", "val")}) == 3
    assert digest("--split", "val") != digest()


def test_skip_and_limit_of_one_seed_share_no_sample() -> None:
    build = ("data", "build", "world:conflict?n=7", "--seed", "3")
    run(*build, "--limit", "4", "--out", "a.parquet")
    run(*build, "--skip", "4", "--out", "b.parquet")
    a, b = samples_in("a.parquet"), samples_in("b.parquet")
    assert (len(a), len(b), len({*a, *b})) == (4, 3, 7)


def test_a_file_of_samples_is_a_source() -> None:
    told = read_json(run("data", "build", "demo", "--out", "demo.parquet", "--json"))
    assert told["manifest"]["questions"] == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["world:conflikt"], "no world 'conflikt'"),
        (["nowhere.jsonl"], "nowhere.jsonl"),
        (["world:conflict?n=3", "--skip", "3"], "leaves nothing of 3 samples"),
        (["world:conflict", "--data", "."], "--data goes with a benchmark"),
    ],
)
def test_data_build_says_what_is_wrong_and_writes_nothing(arguments: list[str], words: str) -> None:
    result = run("data", "build", *arguments, "--out", "t.parquet")
    assert result.exit_code == 1
    assert words in result.stderr
    assert not Path("t.parquet").exists()


def test_a_text_without_questions_is_no_training_data() -> None:
    Path("notes.txt").write_text("Ann moved.", encoding="utf-8")
    result = run("data", "build", "notes.txt", "--out", "t.parquet")
    assert result.exit_code == 1
    assert "has no questions" in result.stderr


def test_a_dry_run_prints_verls_command_and_leaves_nothing(files: tuple[str, ...]) -> None:
    asked = (
        "train",
        "--preset",
        "grpo",
        "--preset",
        "cpu",
        *files,
        "memquartet.credit=branch",
        "--out",
        "r",
        "--dry-run",
    )
    told = read_json(run(*asked, "--json"))
    assert told["command"][1:3] == ["-m", "verl.trainer.main_ppo"]
    assert "preset=[grpo,cpu]" in told["command"]
    assert told["command"][-1] == "memquartet.credit=branch"
    assert told["environment"]["VERL_FILE_LOGGER_PATH"] == str(Path("r/metrics-1.jsonl").resolve())
    assert run(*asked).stdout.strip() == told["shell"]
    assert run("train", "run", *asked[1:]).stdout.strip() == told["shell"]
    assert not Path("r").exists()


def test_keys_of_verl_stand_for_options() -> None:
    keys = ("data.train_files=t", "data.val_files=v", "actor_rollout_ref.model.path=m")
    assert run("train", *keys, "--dry-run").exit_code == 0
    result = run("train", *keys[:1], "--dry-run")
    assert result.exit_code == 1
    assert "a run needs --val, --model" in result.stderr


def test_a_run_that_goes_on_keeps_the_metrics_of_its_start(files: tuple[str, ...]) -> None:
    Path("r").mkdir()
    Path("r/metrics-1.jsonl").touch()
    told = read_json(run("train", *files, "--out", "r", "--dry-run", "--json"))
    assert told["environment"]["VERL_FILE_LOGGER_PATH"].endswith("metrics-2.jsonl")


def test_a_misspelt_preset_or_command_is_named(files: tuple[str, ...]) -> None:
    result = run("train", "--preset", "gpro", *files, "--dry-run")
    assert result.exit_code == 1
    assert "no preset 'gpro'" in result.stderr
    assert "doctor" in run("train", "docter").stderr


def test_the_presets_of_the_help_are_those_that_there_are() -> None:
    found = read_json(run("train", "presets", "--json"))
    told = run("train", "run", "-h").stdout
    assert all(name in told for name in found)
    assert run("train", "presets").stdout.startswith("PRESET")


@without_verl
def test_without_verl_the_two_commands_that_install_it_are_told(files: tuple[str, ...]) -> None:
    Path("model").mkdir()
    Path("sft.parquet").touch()
    for asked in (
        ("train", *files),
        ("train", "merge", "model", "out"),
        ("train", "adapter", "memquartet-135m", "out"),
        ("train", "sft", "model", "out", "--data", "sft.parquet"),
    ):
        result = run(*asked)
        assert result.exit_code == 1
        assert "`pip install torch==2.13.0`, then `pip install 'memquartet[train]'`" in result.stderr
    assert not Path("runs").exists()


@without_verl
def test_doctor_says_what_is_missing_for_training() -> None:
    result = run("train", "doctor", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert not told["ok"]
    assert not next(one for one in told["findings"] if one["name"] == "verl")["ok"]
    assert "NO  verl" in run("train", "doctor").stdout


def test_report_writes_one_page_into_the_runs_folder() -> None:
    shutil.copytree(RECORDED, "r")
    assert read_json(run("train", "report", "r", "--json")) == {"report": "r/report.html"}
    assert Path("r/report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    Path("empty").mkdir()
    result = run("train", "report", "empty")
    assert result.exit_code == 1
    assert "holds no metrics" in result.stderr


@pytest.mark.train
@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed (extra `train`)")
def test_with_verl_doctor_finds_the_plug_in() -> None:
    told = read_json(run("train", "doctor", "--json"))
    found = {one["name"]: one["ok"] for one in told["findings"]}
    assert found["agent loop"]
    assert found["trainer"]


@pytest.mark.train
@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed (extra `train`)")
def test_a_folder_that_is_no_checkpoint_is_refused() -> None:
    Path("model").mkdir()
    result = run("train", "merge", "model", "out")
    assert result.exit_code == 1
    assert "expected a run's global_step_N" in result.stderr


@pytest.mark.train
@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed (extra `train`)")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lora-alpha", "8"), "goes with --lora-rank"),
        (("--adapter", "model", "--lora-rank", "8"), "keeps its own rank"),
    ],
)
def test_options_of_an_adapter_that_would_be_ignored_are_refused(
    options: tuple[str, ...], words: str
) -> None:
    Path("model").mkdir()
    Path("sft.parquet").touch()
    result = run("train", "sft", "model", "out", "--data", "sft.parquet", *options)
    assert result.exit_code == 1
    assert words in result.stderr
