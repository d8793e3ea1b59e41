r"""Does the trainer teach? GRPO of the whole team with a tiny model, through verl's own trainer, on a CPU.

    python benchmarks/learning.py --out runs/learning --page docs/results/learning [--credit broadcast] [--seed 1]

The model has 140,000 weights and was taught for seconds to say one of a few fixed outputs for each role, some of which cannot be used.
Of memories it understands nothing; an answer counts as right when it is one certain sentence. So what can be learned is what every
run has to show first: to say what can be used, to have operations carried out, to answer what is accepted. A run of 40
steps took 15 minutes of two cores beside other work. All credit modes see the same samples and make equally many steps.

Prints tables. Writes a folder for each run (metrics, validation, report.html), and with --page PAGE.json and PAGE.png.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from training_runs import Row, ends_table, plot, row_of, validation_table

from memquartet.training.dataset import Split, build_dataset
from memquartet.training.launch import note_start, plan
from memquartet.training.records import read_run
from memquartet.training.report import training_report
from memquartet.training.tiny import save_tiny_model, tiny_samples

PRESETS = ("dapo", "cpu", "smoke")


def train(folder: Path, shared: Path, credit: str, seed: int, steps: int) -> None:
    """One run, unless its folder holds it already."""
    if (folder / "report.html").exists():
        return
    overrides = [
        f"memquartet.credit={credit}",
        f"memquartet.seed={seed}",
        f"data.seed={seed}",
        f"trainer.total_training_steps={steps}",
        "trainer.total_epochs=1000",
        "trainer.val_before_train=true",
        "trainer.test_freq=10",
        "trainer.save_freq=-1",
        "data.train_batch_size=4",
        "actor_rollout_ref.rollout.n=8",
        "actor_rollout_ref.actor.optim.lr=1e-3",
    ]
    launch = plan(
        PRESETS,
        overrides,
        train=[shared / "train.parquet"],
        val=[shared / "val.parquet"],
        model=str(shared / "model"),
        out=folder,
    )
    note_start(launch, folder)
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (folder / "log.txt").open("wb") as log:
        subprocess.run(
            launch.command,
            env=launch.full_environment(quiet),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )
    page = training_report(read_run(folder))
    (folder / "report.html").write_text(page, encoding="utf-8")


def prepare(shared: Path) -> None:
    """The tiny model, and samples to train and to measure on."""
    if (shared / "val.parquet").exists():
        return
    save_tiny_model(shared / "model")
    build_dataset(tiny_samples(64, seed=11), shared / "train.parquet", split=Split.TRAIN, seed=11)
    build_dataset(tiny_samples(16, seed=12), shared / "val.parquet", split=Split.VALIDATION, seed=12)


def write_page(found: Sequence[Row], page: Path) -> None:
    """The numbers and the curves."""
    about = {
        "device": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "versions": {name: version(name) for name in ("memquartet", "verl", "torch", "transformers")},
    }
    page.with_suffix(".json").write_text(
        json.dumps({**about, "runs": found}, indent=1) + "\n", encoding="utf-8"
    )
    plot(found, page.with_suffix(".png"))


def main() -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--credit", action="append", help="role, broadcast or branch; by default role")
    parser.add_argument("--seed", type=int, action="append", help="by default 0; may be given again")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--page", type=Path, help="write PAGE.json and PAGE.png")
    options = parser.parse_args()
    shared = options.out / "shared"
    prepare(shared)
    for seed in options.seed or [0]:
        for credit in options.credit or ["role"]:
            train(options.out / f"{credit}-{seed}", shared, credit, seed, options.steps)
    folders = sorted(path.parent for path in options.out.glob("*/report.html"))
    found = [row_of(folder.name, read_run(folder)) for folder in folders]
    print(ends_table(found), validation_table(found), sep="\n\n")
    if options.page:
        write_page(found, options.page)


if __name__ == "__main__":
    main()
