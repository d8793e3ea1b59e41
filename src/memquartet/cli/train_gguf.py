"""The commands of `memquartet train` that go between what was trained and llama.cpp's files: export, adapter."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from memquartet.cli.command import Command
from memquartet.cli.options import screen_options
from memquartet.cli.screen import Screen
from memquartet.errors import ConfigError, MissingExtraError

INSTALL = "`pip install torch==2.13.0`, then `pip install 'memquartet[train]'`"


@click.command(
    "export",
    cls=Command,
    examples=[
        "memquartet train export adapter memquartet.gguf",
        "memquartet train export runs/train/checkpoints/global_step_40 trained.gguf --type f16",
        "memquartet train export taught nearest.gguf --rank 32",
    ],
)
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--base",
    metavar="MODEL",
    default="smollm2-135m",
    show_default=True,
    help="What SOURCE was trained from, as llama.cpp has it: a name of `memquartet model list` or a GGUF file.",
)
@click.option(
    "--type",
    "file_type",
    type=click.Choice(["q8_0", "f16"]),
    default="q8_0",
    show_default=True,
    help="How weights are kept.",
)
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Above 0: write a whole model as the adapter of this rank nearest to it.",
)
@screen_options
def export_command(*, screen: Screen, source: Path, out: Path, base: str, file_type: str, rank: int) -> None:
    """Write what was trained as a GGUF file for llama.cpp.

    SOURCE is an adapter's folder (PEFT), a model's (Hugging Face) or a run's checkpoints/global_step_N. An adapter is used as
    `--model local:BASE+OUT?prompts=…`, a model as `--model local:OUT?prompts=…`, with the prompts it was taught with.
    """
    from memquartet.llm.models import path_of

    require("torch", "transformers", "gguf", *(("verl",) if (source / "actor").is_dir() else ()))
    from memquartet.llm.gguf_file import FileType
    from memquartet.training.checkpoints import unpacked
    from memquartet.training.export import export

    with screen.status("exporting …"), unpacked(source) as folder:
        made = export(folder, out, path_of(base), file_type=FileType(file_type), rank=rank, report=screen.say)
    lost = f"; {made.missed:.0%} of the difference (squared) are left out" if made.missed else ""
    screen.answer(
        {"file": str(out), **asdict(made)},
        f"wrote {out}: {made.kind}, {made.tensors} tensors, {made.bytes / 1e6:.1f} MB{lost}",
    )


@click.command(
    "adapter",
    cls=Command,
    examples=[
        "memquartet train adapter memquartet-135m adapter",
        "memquartet train adapter my.gguf adapter --base smollm2-135m --model SmolLM2-135M-Instruct",
    ],
)
@click.argument("source")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--base",
    metavar="MODEL",
    help="What a GGUF file was taught from: a name of `memquartet model list` or a GGUF file. By default smollm2-135m;"
    " a model that came with the package has its own.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path, file_okay=False),
    help="The base as a Hugging Face folder, to be named in adapter_config.json. By default a folder with the base's"
    " name; the command that makes it is told.",
)
@screen_options
def adapter_command(
    *, screen: Screen, source: str, folder: Path, base: str | None, model: Path | None
) -> None:
    """Write an adapter of llama.cpp in PEFT's form, the reverse of export.

    SOURCE is a taught model's name (memquartet-135m) or a LoRA's GGUF file. FOLDER is then for transformers, vLLM,
    `memquartet train sft --adapter` and `memquartet train merge --base`. verl is not needed.
    """
    from memquartet.llm.models import files_of, path_of, taught

    require("torch", "gguf")
    from memquartet.training.peft_form import to_peft

    if (known := taught(source)) is not None:
        if base:
            raise ConfigError(f"{source!r} has its own base, {known.base!r}: leave out --base")
        files = files_of(source)
        adapter, beneath, name = files.adapter or files.path, files.path, known.base
    else:
        base = base or "smollm2-135m"
        adapter, beneath = Path(source).expanduser(), path_of(base)
        name = beneath.stem if beneath == Path(base).expanduser() else base
    named = str(model.resolve()) if model else name
    with screen.status("reading …"):
        made = to_peft(adapter, folder, beneath, model=named)
    # Training begins from the weights that llama.cpp runs, not from those that were published.
    make = shlex.join(["python", "-m", "memquartet.training.checkpoints", "gguf", str(beneath), named])
    screen.answer(
        {"folder": str(folder), **asdict(made), "model": named, "make_model": make},
        f"wrote {folder}: {made.tensors} tensors of rank {made.rank}, {made.bytes / 1e6:.1f} MB; its base is the folder"
        f" {named!r}, made by: {make}",
    )


def require(*packages: str) -> None:
    """Refuse to go on where one of the packages is not installed.

    Raises:
        MissingExtraError: with the two commands that install it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"training needs {package}, which is not installed: {INSTALL}")
