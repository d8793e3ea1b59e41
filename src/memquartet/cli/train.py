"""`memquartet train`: start a run of verl, look at what it needs, and at what it left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from signal import SIGTERM, signal
from threading import Event

import click
from typing_extensions import override

from memquartet.cli.command import Command
from memquartet.cli.options import screen_options, seed_option
from memquartet.cli.screen import Screen
from memquartet.cli.train_gguf import adapter_command, export_command, require
from memquartet.errors import ConfigError

START = "run"
_NEEDED = {"train": "data.train_files", "val": "data.val_files", "model": "actor_rollout_ref.model.path"}
"""Options that a run cannot do without, and the keys that may stand for them."""


class Train(click.Group):
    """The group: options and overrides without a command are meant for `run`."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `memquartet train --preset …` as `memquartet train run --preset …`."""
        meant = (
            args
            and (args[0].startswith(("-", "~")) or "=" in args[0])
            and args[0] not in ctx.help_option_names
        )
        return super().parse_args(ctx, [START, *args] if meant else args)


@click.group(name="train", cls=Train)
def command() -> None:
    """Teach the four agents with reinforcement learning, on verl.

    `memquartet train --preset grpo …` is short for `memquartet train run --preset grpo …`. Begin with `memquartet
    train doctor` and `memquartet data build`.
    """


@command.command(
    START,
    cls=Command,
    examples=[
        "memquartet train --preset grpo --preset h100 --train train.parquet --val val.parquet --model MODEL",
        "memquartet train run --preset grpo --preset cpu --preset smoke --train t.parquet --val v.parquet --model M",
        "memquartet train --preset dapo --train t.parquet --val v.parquet --model M memquartet.credit=branch --dry-run",
    ],
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--preset",
    "names",
    multiple=True,
    metavar="NAME",
    help="grpo, dr_grpo, dapo, ppo; lora; fsdp, fsdp2; h100, cpu, smoke. May be given again: later ones win. By"
    " default grpo.",
)
@click.option(
    "--train",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Parquet file to train on; may be given again.",
)
@click.option(
    "--val",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Parquet file to measure on; may be given again.",
)
@click.option("--model", metavar="PATH", help="A Hugging Face model with a chat template: folder or name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/train"),
    show_default=True,
    help="The run's folder: checkpoints, metrics, transcripts. A run that is there goes on.",
)
@click.option("--dry-run", is_flag=True, help="Print verl's command and start nothing.")
@screen_options
def run(
    *,
    screen: Screen,
    overrides: Sequence[str],
    names: Sequence[str],
    train: Sequence[Path],
    val: Sequence[Path],
    model: str | None,
    out: Path,
    dry_run: bool,
) -> None:
    """Start a run of verl's trainer, or go on with one.

    KEY=VALUE sets any key of verl's configuration or of ours (memquartet.credit=branch); it wins over presets. What
    verl prints goes to stderr. Ctrl-C ends the run; the same command goes on from its last checkpoint.
    """
    from memquartet.training.launch import note_start, plan, runs_beside, start

    _check_given({"train": train, "val": val, "model": model}, overrides)
    # Ray's workers need not share this folder.
    local = str(Path(model).resolve()) if model and Path(model).exists() else model
    launch = plan(names, overrides, train=train, val=val, model=local, out=out)
    if dry_run:
        told = {
            "command": list(launch.command),
            "environment": dict(launch.environment),
            "shell": launch.shell,
        }
        screen.answer(told, launch.shell)
        return
    require("torch", "verl")
    if beside := runs_beside(launch):
        screen.warn(
            f"another run is on this machine (process {beside[0]}): verl 0.9.1 does not keep two runs apart, neither in"
            " one Ray (they take samples out of one queue) nor each in its own (they send weights through one socket in"
            " /tmp). They hang or spoil each other: wait for the other one, or give each a /tmp of its own as docs/40-training.md"
            " says"
        )
    note_start(launch, out)
    code = start(launch, stdout=sys.stderr.fileno())
    if code:
        raise click.ClickException(
            f"verl ended with exit status {code}; its last words are above. `memquartet train doctor` looks at what"
            " it needs"
        )
    screen.answer({"run": str(out)}, f"done: `memquartet train report {out}` makes a page of it")


@command.command("presets", cls=Command, examples=["memquartet train presets --json"])
@screen_options
def presets_command(*, screen: Screen) -> None:
    """List the presets and what each is."""
    from memquartet.training.launch import presets

    found = presets()
    if screen.as_json:
        screen.json(dict(found))
    else:
        screen.table(["PRESET", "WHAT"], list(found.items()))


@command.command("doctor", cls=Command, examples=["memquartet train doctor"])
@screen_options
def doctor(*, screen: Screen) -> None:
    """Say what stands between this machine and a training run.

    Imports the plug-in in a process of its own and tells what verl would swallow; this takes some ten seconds. Exit code
    1 when a run would fail.
    """
    from memquartet.training.doctor import diagnose

    with screen.status("importing verl …"):
        findings = diagnose()
    ready = all(finding.ok for finding in findings if finding.needed)
    if screen.as_json:
        screen.json({"ok": ready, "findings": [asdict(finding) for finding in findings]})
    else:
        screen.table(
            ["", "WHAT", "FOUND"],
            [
                [
                    "ok" if one.ok else "NO" if one.needed else "—",
                    one.name,
                    one.detail if one.ok else f"{one.detail}  → {one.advice}",
                ]
                for one in findings
            ],
        )
    if not ready:
        raise SystemExit(1)


@command.command(
    "sft",
    cls=Command,
    examples=[
        "memquartet train sft SmolLM2-135M-Instruct taught --data sft.parquet --val sft-val.parquet",
        "memquartet train sft MODEL adapter --data sft.parquet --lora-rank 32 --steps 2000 --batch-size 64",
    ],
)
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--data",
    "sources",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Demonstrations to learn, of `memquartet data demonstrations`; may be given again.",
)
@click.option(
    "--val",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Demonstrations to measure on; may be given again.",
)
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="End after so many minutes of steps, if --steps are not made by then; the learning rate falls in time.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    help="By default 3e-4, with LoRA 1e-3.",
)
@click.option(
    "--max-length",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    help="Tokens; longer ones are left out.",
)
@click.option(
    "--lora-rank",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Above 0: learn an adapter of all linear layers, and write it in PEFT's form.",
)
@click.option("--lora-alpha", type=click.IntRange(min=1), help="By default twice the rank.")
@click.option(
    "--adapter",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Go on from this adapter of MODEL; its rank and alpha stay.",
)
@click.option(
    "--measure-every",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Steps; 0: at the end.",
)
@click.option(
    "--save-every", type=click.IntRange(min=0), default=200, show_default=True, help="Steps; 0: never."
)
@click.option(
    "--micro-tokens",
    type=click.IntRange(min=16),
    help="Tokens computed at once: fewer need less memory. By default 40960 on a GPU, 2048 without.",
)
@click.option(
    "--packed/--filled",
    default=None,
    help="Whether examples lie behind each other or in rows that are filled up. By default packed on a GPU, which alone can.",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="Compile the model first: a minute, then faster steps."
)
@click.option(
    "--bfloat16",
    is_flag=True,
    help="Compute in 16 bits without a GPU, too: twice as fast on a CPU that has avx512_bf16 or AMX.",
)
@seed_option
@screen_options
def sft_command(
    *,
    screen: Screen,
    model: Path,
    folder: Path,
    sources: Sequence[Path],
    val: Sequence[Path],
    learning_rate: float | None,
    lora_rank: int,
    lora_alpha: int | None,
    adapter: Path | None,
    measure_every: int,
    save_every: int,
    micro_tokens: int | None,
    packed: bool | None,
    steps: int,
    max_minutes: float | None,
    batch_size: int,
    max_length: int,
    compiled: bool,
    bfloat16: bool,
    seed: int,
) -> None:
    """Teach a small model its roles by plain supervised learning, before any RL.

    MODEL is a Hugging Face folder; the taught one is written to FOLDER. A model that fills no schema earns the same
    reward whatever it does, and equal rewards teach nothing. All four roles are mixed, and only outputs are learned. The
    same command goes on with a run that was interrupted. At SIGTERM, as schedulers send it, what was learned is written
    to FOLDER/so_far.
    """
    require("torch", "transformers", "peft")
    from memquartet.training.demonstration_sets import read_demonstrations
    from memquartet.training.sft import SftSettings
    from memquartet.training.sft_run import SO_FAR, Intervals, Lora, micro_tokens_here, packed_here, run_sft

    if adapter and (lora_rank or lora_alpha):
        raise ConfigError("--adapter keeps its own rank and alpha: leave out --lora-rank and --lora-alpha")
    if lora_alpha and not lora_rank:
        raise ConfigError("--lora-alpha goes with --lora-rank: without it all weights are changed")
    lora = (
        Lora(rank=lora_rank, alpha=lora_alpha or 2 * lora_rank, start=adapter)
        if lora_rank or adapter
        else None
    )
    with _asked_to_end() as ended:
        measured = run_sft(
            model,
            folder,
            [shown for source in sources for shown in read_demonstrations(source)],
            [shown for source in val for shown in read_demonstrations(source)],
            settings=SftSettings(
                steps=steps,
                max_seconds=max_minutes and 60 * max_minutes,
                batch_size=batch_size,
                learning_rate=learning_rate or (1e-3 if lora else 3e-4),
                max_length=max_length,
                micro_tokens=micro_tokens or micro_tokens_here(),
                packed=packed_here() if packed is None else packed,
                compiled=compiled,
                bfloat16=bfloat16,
                seed=seed,
            ),
            lora=lora,
            intervals=Intervals(measure=measure_every, save=save_every),
            report=screen.say,
            ended=ended,
        )
    if measured is None:
        raise click.ClickException(
            f"ended by SIGTERM: {folder / SO_FAR} holds what was learned, and the same command goes on"
        )
    told = {role.value: asdict(one) for role, one in measured.items()}
    screen.answer({"model": str(folder), "held_out": told}, f"wrote {folder}")


@contextmanager
def _asked_to_end() -> Iterator[Callable[[], bool]]:
    """Tells whether SIGTERM has come; within, it ends nothing by itself."""
    asked = Event()
    before = signal(SIGTERM, lambda _number, _frame: asked.set())
    try:
        yield asked.is_set
    finally:
        signal(SIGTERM, before)


@command.command(
    "merge",
    cls=Command,
    examples=[
        "memquartet train merge runs/train/checkpoints/global_step_40 trained",
        "memquartet train merge adapter warm --base MODEL",
    ],
)
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The Hugging Face folder that an adapter was made for.",
)
@screen_options
def merge_command(*, screen: Screen, source: Path, folder: Path, base: Path | None) -> None:
    """Write a checkpoint, or an adapter and its model, as a Hugging Face folder.

    SOURCE is a run's checkpoints/global_step_N, or with --base an adapter's folder (PEFT); any server that loads
    Hugging Face models can serve FOLDER, and `memquartet train` can go on from it.
    """
    require("torch", "transformers", "peft", *(() if base else ("verl",)))
    from memquartet.training.checkpoints import merge, merge_adapter

    if base is None and (source / "adapter_config.json").exists():
        raise ConfigError(f"{str(source)!r} is an adapter: name the model that it was made for with --base")
    with screen.status("merging …"):
        if base:
            merge_adapter(source, base, folder)
        else:
            merge(source, folder)
    screen.answer({"model": str(folder)}, f"wrote {folder}")


@command.command(
    "report",
    cls=Command,
    examples=["memquartet train report runs/train", "memquartet train report log.txt --out page.html"],
)
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page; by default report.html in the run's folder, or beside the log.",
)
@screen_options
def report_command(*, screen: Screen, source: Path, out: Path | None) -> None:
    """Write one HTML page about a run: curves, reward parts by role, episodes before and after, settings.

    RUN is the folder of --out, also while the run goes on, or a metrics or log file of verl. The page is one file without
    scripts, to be sent and opened anywhere; verl is not needed to make it.
    """
    from memquartet.training.records import read_run
    from memquartet.training.report import training_report

    page = out or (source if source.is_dir() else source.parent) / "report.html"
    text = training_report(read_run(source))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8", errors="backslashreplace")
    screen.answer({"report": str(page)}, f"wrote {page}")


command.add_command(export_command)
command.add_command(adapter_command)


def _check_given(given: dict[str, object], overrides: Sequence[str]) -> None:
    """What a run cannot do without is given as an option or by verl's own key.

    Raises:
        ConfigError: something is missing.
    """
    set_keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    missing = [name for name, key in _NEEDED.items() if not given[name] and key not in set_keys]
    if missing:
        step = "" if missing == ["model"] else "; `memquartet data build` makes the files"
        raise ConfigError(f"a run needs {', '.join(f'--{name}' for name in missing)}{step}")
