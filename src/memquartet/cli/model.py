"""`memquartet model`: fetch local models and list them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from memquartet.cli.command import Command
from memquartet.cli.options import screen_options
from memquartet.cli.screen import Screen
from memquartet.llm.models import CATALOGUE, cache_dir, installed, pull


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
    here = set(installed())
    if screen.as_json:
        screen.json(
            [
                {"name": m.name, "installed": m in here, "bytes": m.size, "licence": m.licence}
                for m in CATALOGUE
            ]
        )
        return
    screen.table(
        ["NAME", "SIZE", "LICENCE", "HERE"],
        [
            [
                m.name,
                f"{m.size / 1e6:.0f} MB",
                m.licence,
                "yes" if m in here else f"no: memquartet model pull {m.name}",
            ]
            for m in CATALOGUE
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
