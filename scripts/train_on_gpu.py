"""A whole run on one GPU machine: data, warm start, GRPO.

    python train_on_gpu.py --model MODEL_DIR --out RUN_DIR [--steps 40] [--preset grpo --preset h100] [key=value …]

A folder that is there already (data, warm start) is used again, so that several runs can share it.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.stream import StreamShape
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.training.dataset import Split, build_dataset
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.launch import note_start, plan, start
from memquartet.training.settings import TrainingSettings
from memquartet.training.sft import SftSettings
from memquartet.training.sft_run import micro_tokens_here, run_sft

SHAPE = StreamShape(facts=12, chunk_lines=4, questions=4)


def data(folder: Path, split: Split, count: int, seed: int) -> Path:
    path = folder / f"{split}.parquet"
    if not path.exists():
        world = WorldSplit.TRAIN if split is Split.TRAIN else WorldSplit.VALIDATION
        samples = list(make_worlds(WorldKind.CONFLICT, seed, count, world, stream=SHAPE))
        print(build_dataset(samples, path, split=split, seed=seed), flush=True)
    return path


async def demonstrations() -> list[Demonstration]:
    settings = TrainingSettings(prompts="short")
    samples = make_worlds(WorldKind.CONFLICT, 3, 1_500, stream=SHAPE)
    return [shown for sample in samples for shown in await demonstrate(sample, settings)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--sft-steps", type=int, default=300, help="0 leaves the warm start out")
    parser.add_argument("--preset", action="append", default=[])
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()

    train = data(given.out / "data", Split.TRAIN, 4_000, seed=1)
    val = data(given.out / "data", Split.VALIDATION, 64, seed=2)
    model = given.model
    if given.sft_steps:
        model = given.out / "warm"
        if not (model / "config.json").exists():
            run_sft(
                given.model,
                model,
                asyncio.run(demonstrations()),
                [],
                settings=SftSettings(steps=given.sft_steps, batch_size=64, micro_tokens=micro_tokens_here()),
                report=lambda line: print(line, flush=True),
            )
    overrides = [
        "memquartet.prompts=short",
        f"trainer.total_training_steps={given.steps}",
        *given.overrides,
    ]
    launch = plan(
        given.preset or ["grpo", "h100"],
        overrides,
        train=[train],
        val=[val],
        model=str(model),
        out=given.out,
    )
    print(launch.shell, flush=True)
    note_start(launch, given.out)
    raise SystemExit(start(launch))


if __name__ == "__main__":
    main()
