r"""One unattended run on a GPU machine whose time is short: SFT, then GRPO once for each credit mode, reports, an adapter.

    memquartet data demonstrations 'world:conflict?n=3000' 'world:friends?n=3000' --prompts short --out sft.parquet # at home
    memquartet data build 'world:conflict?n=3000' --split train --out train.parquet                                 # at home
    memquartet data build 'world:conflict?n=64' --split val --out val.parquet                                       # at home
    python train_on_gpu.py --model MODEL --sft sft.parquet --train train.parquet --val val.parquet --out RUN \
        [--credit role --credit broadcast] [--seconds 300] [--base BASE.gguf] [key=value …]

Data is made beforehand, because a GPU need not wait for it. What is there already is used again: a second start goes
on. Each credit mode begins from the same taught model and gets `--seconds`; its folder holds metrics and report.html.
With --base the taught model is also written as the nearest adapter of that GGUF file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from memquartet.training.launch import Launch, note_start, plan

LORA_RANK = 32


def memquartet(*arguments: object) -> None:
    """A command of ours, in a process of its own: it frees the GPU's memory when it ends."""
    subprocess.run([sys.executable, "-m", "memquartet", *map(str, arguments)], check=True)


def taught(given: argparse.Namespace) -> Path:
    """The model after supervised learning; the model as it is where none is asked for."""
    if given.sft is None:
        return Path(given.model).resolve()
    # Ray's workers need not share this folder.
    warm = Path(given.out).resolve() / "warm"
    if not (warm / "config.json").exists():
        held_out = ["--val", given.sft_val] if given.sft_val else []
        steps = ["--steps", given.sft_steps, "--batch-size", given.sft_batch]
        memquartet("train", "sft", given.model, warm, "--data", given.sft, *held_out, *steps)
    return warm


def run(launch: Launch, folder: Path, seconds: float) -> int | None:
    """The exit status; None where the time was up. The log is in the folder."""
    note_start(launch, folder)
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            launch.command, env=launch.full_environment(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            return None


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument(
        "--sft", type=Path, help="demonstrations; without them RL begins from the model as it is"
    )
    parser.add_argument("--sft-val", type=Path)
    parser.add_argument("--sft-steps", type=int, default=1000)
    parser.add_argument("--sft-batch", type=int, default=64)
    parser.add_argument("--credit", action="append", help="broadcast, role or branch; may be given again")
    parser.add_argument("--preset", action="append", help="may be given again; by default dapo and h100")
    parser.add_argument(
        "--seconds", type=float, default=480.0, help="for each credit mode, verl's start included"
    )
    parser.add_argument("--base", type=Path, help="the GGUF file that MODEL was made of")
    parser.add_argument("overrides", nargs="*", help="key=value for verl")
    given = parser.parse_args(arguments)
    if given.base and not given.sft:
        parser.error("--base says of what file the adapter is, and without --sft there is none")
    return given


def main() -> None:
    """Run it all."""
    given = options()
    began = time.monotonic()
    model = taught(given)
    print(f"taught after {time.monotonic() - began:.0f} s: {model}", flush=True)
    if given.base and given.sft and not (target := given.out / "sft.gguf").exists():
        memquartet("train", "export", model, target, "--base", given.base, "--rank", LORA_RANK)
    failed = []
    for credit in given.credit or ["role"]:
        folder = given.out / credit
        overrides = ["memquartet.prompts=short", f"memquartet.credit={credit}", *given.overrides]
        launch = plan(
            given.preset or ["dapo", "h100"],
            overrides,
            train=[given.train],
            val=[given.val],
            model=str(model),
            out=folder,
        )
        ended = run(launch, folder, given.seconds)
        if ended:
            failed.append(credit)
        told = "time was up" if ended is None else f"exit status {ended}"
        print(
            f"{credit} after {time.monotonic() - began:.0f} s: {told}, log in {folder / 'log.txt'}",
            flush=True,
        )
        if any(folder.glob("metrics-*.jsonl")):
            memquartet("train", "report", folder)
    if failed:
        sys.exit(f"verl failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
