"""A run of verl's real trainer on a CPU, as a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet

from memquartet.core.samples import Sample
from memquartet.training.dataset import Split, verl_row
from memquartet.training.launch import note_start, plan
from memquartet.training.records import Metrics, read_run

BOUND = 600
"""Seconds: Ray waits in silence when it starves. Two idle cores need about 100."""


def real_run(
    folder: Path,
    model: Path,
    train: Path,
    val: Path,
    *overrides: str,
    environment: Mapping[str, str] | None = None,
) -> Metrics:
    """Train with the presets grpo, cpu and smoke into `folder`; the run must end well. The log is `log.txt`."""
    launch = plan(["grpo", "cpu", "smoke"], overrides, train=[train], val=[val], model=str(model), out=folder)
    note_start(launch, folder)
    log = folder / "log.txt"
    with log.open("wb") as stream:
        ended = subprocess.run(
            launch.command,
            env=launch.full_environment(
                {
                    "HF_HUB_OFFLINE": "1",
                    "OMP_NUM_THREADS": "1",
                    "WANDB_MODE": "offline",
                    **(environment or {}),
                }
            ),
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=BOUND,
            check=False,
        )
    assert ended.returncode == 0, log.read_text(encoding="utf-8", errors="replace")[-4000:]
    return read_run(folder).metrics


def write_rows(path: Path, samples: Sequence[tuple[Sample, int]]) -> Path:
    """A parquet file of samples, each with the number of episodes that verl is to run of it in a step."""
    rows = [
        {**verl_row(sample, index=index, split=Split.TRAIN), "__rollout_n__": count}
        for index, (sample, count) in enumerate(samples)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path
