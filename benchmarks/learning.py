r"""Does the trainer teach? GRPO of the whole team with a tiny model, through verl's own trainer, on a CPU.

    python benchmarks/learning.py --out runs/learning --page docs/results/learning [--credit broadcast] [--seed 1]

The model has 140,000 weights and was taught for seconds to say one of a few fixed outputs for each role, some of which cannot be used.
Of memories it understands nothing; an answer counts as right when it is one certain sentence. So what can be learned is what every
run has to show first: to say what can be used, to have operations carried out, to answer what is accepted. A run of 40
steps took 15 minutes of two cores beside other work. All credit modes see the same samples and make equally many steps.

Prints a table. Writes a folder for each run (metrics, validation, report.html), and with --page PAGE.json and PAGE.png.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean

from memquartet.core.trajectory import Role
from memquartet.training.dataset import Split, build_dataset
from memquartet.training.launch import note_start, plan
from memquartet.training.records import Metrics, read_run
from memquartet.training.report import training_report
from memquartet.training.tiny import save_tiny_model, tiny_samples

PRESETS = ("dapo", "cpu", "smoke")
AVERAGED = 5
"""Steps at the beginning and at the end whose mean is told."""
CURVES: Mapping[str, str] = {
    **{f"{role}: usable outputs": f"role/{role}/part/format" for role in (Role.EXTRACTOR, Role.MANAGER)},
    "operations carried out": "role/manager/part/operations",
    "answers accepted": "episode/outcome_mean",
    **{f"{role}: reward": f"role/{role}/reward_mean" for role in Role},
}


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


def rows(out: Path) -> list[dict[str, object]]:
    """What each finished run learned: means over its first and last steps, and greedy validation before and after."""
    found = []
    for folder in sorted(path.parent for path in out.glob("*/report.html")):
        credit, _, seed = folder.name.rpartition("-")
        metrics = read_run(folder).metrics
        validated = {
            step: value
            for step, data in metrics.items()
            for name, value in data.items()
            if name.startswith("val-aux/") and name.endswith("/outcome/mean@1")
        }
        found.append(
            {
                "credit": credit,
                "seed": int(seed),
                "steps": max(metrics),
                "rows": sum(
                    int(data.get(f"role/{role}/rows", 0)) for data in metrics.values() for role in Role
                ),
                "curves": {name: _curve(metrics, key) for name, key in CURVES.items()},
                "validation": validated,
            }
        )
    return found


def _curve(metrics: Metrics, key: str) -> list[tuple[int, float]]:
    return [(step, data[key]) for step, data in metrics.items() if key in data]


def _ends(curve: Sequence[tuple[int, float]]) -> tuple[float, float]:
    values = [value for _, value in curve]
    return mean(values[:AVERAGED]), mean(values[-AVERAGED:])


def write_page(found: Sequence[Mapping[str, object]], page: Path) -> None:
    """The numbers and the curves."""
    about = {
        "device": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "versions": {name: version(name) for name in ("memquartet", "verl", "torch", "transformers")},
    }
    page.with_suffix(".json").write_text(
        json.dumps({**about, "runs": found}, indent=1) + "\n", encoding="utf-8"
    )
    _plot(found, page.with_suffix(".png"))


def table(found: Sequence[Mapping[str, object]]) -> str:
    """A line a run, in Markdown."""
    lines = ["| credit | seed | steps | rows | " + " | ".join(CURVES) + " | validation, greedy |"]
    lines.append("|" + " --- |" * (5 + len(CURVES)))
    for one in found:
        cells = [
            f"{before:.2f} → {after:.2f}"
            for before, after in (_ends(one["curves"][name]) for name in CURVES)  # type: ignore[index]  # our own rows
        ]
        measured = list(one["validation"].values())  # type: ignore[attr-defined]  # as above
        told = f"{measured[0]:.2f} → {measured[-1]:.2f}" if measured else "—"
        lines.append(
            f"| {one['credit']} | {one['seed']} | {one['steps']} | {one['rows']} | {' | '.join(cells)} | {told} |"
        )
    return "\n".join(lines)


def _plot(found: Sequence[Mapping[str, object]], path: Path) -> None:
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: pip install 'memquartet[bench]'")
        return
    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [name for name in CURVES if not name.endswith("reward")]
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4 * len(shown), 3.2), sharey=True)
    colours = {"role": "C0", "broadcast": "C1", "branch": "C2"}
    for axis, name in zip(axes, shown, strict=True):
        for one in found:
            curve = one["curves"][name]  # type: ignore[index]  # our own rows
            credit = str(one["credit"])
            axis.plot(*zip(*curve, strict=True), color=colours[credit], alpha=0.7, label=credit)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1.02)
    handles, labels = axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes[0].legend(unique.values(), unique.keys(), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


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
    found = rows(options.out)
    print(table(found))
    if options.page:
        write_page(found, options.page)


if __name__ == "__main__":
    main()
