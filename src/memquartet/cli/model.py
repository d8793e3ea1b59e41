"""`memquartet model`: fetch local models and list them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from memquartet.cli.command import Command
from memquartet.cli.options import screen_options
from memquartet.cli.screen import Screen
from memquartet.llm.models import CATALOGUE, TAUGHT, cache_dir, installed, pull, size_of


@click.group(name="model")
def command() -> None:
    """Fetch local models and list them."""


@command.command(
    "pull",
    cls=Command,
    examples=[
        "memquartet model pull smollm2-135m",
        "memquartet model pull hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf@main",
    ],
)
@click.argument("name")
@screen_options
def pull_command(*, screen: Screen, name: str) -> None:
    """Fetch a model, check its checksum and keep it.

    NAME is a name of `memquartet model list` or hf:OWNER/REPO/FILE@REVISION. A download that was interrupted goes
    on where it stopped; a model that is there is not fetched again.
    """
    path = pull_with_bar(name, screen)
    if screen.as_json:
        screen.json({"name": name, "path": str(path), "bytes": path.stat().st_size})
    else:
        screen.write(str(path))


@command.command("list", cls=Command, examples=["memquartet model list", "memquartet model list --json"])
@screen_options
def list_command(*, screen: Screen) -> None:
    """List the models of the catalogue and which of them are here."""
    here = {model.name for model in installed()}
    # A taught model comes with the package; what has to be fetched is its base.
    found = [(m.name, m.base in here, size_of(m), m.licence) for m in TAUGHT]
    found += [(m.name, m.name in here, m.size, m.licence) for m in CATALOGUE]
    if screen.as_json:
        screen.json([dict(zip(("name", "installed", "bytes", "licence"), one, strict=True)) for one in found])
        return
    screen.table(
        ["NAME", "SIZE", "LICENCE", "HERE"],
        [
            [name, f"{size / 1e6:.0f} MB", licence, "yes" if there else f"no: memquartet model pull {name}"]
            for name, there, size, licence in found
        ],
        right=["SIZE"],
    )
    screen.say(f"kept in {cache_dir()}")


def pull_with_bar(name: str, screen: Screen) -> Path:
    """Fetch a model unless it is here, with a bar where somebody watches.

    Raises:
        DownloadError: no source gave the file.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=screen.err,
        transient=True,
        disable=not screen.watched,
    )
    with bar:
        task = bar.add_task(f"Fetching {name}", total=None)
        return pull(name, progress=lambda done, total: bar.update(task, completed=done, total=total or None))
