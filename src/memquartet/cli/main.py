"""`memquartet`: the list of commands, each imported only when it is called, so that `--help` is fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType

import click
from typing_extensions import override

from memquartet.cli.command import Root

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "ingest": "Read files into the memory.",
        "ask": "Answer QUESTION from the memory.",
        "chat": "Talk with a model that remembers.",
        "memory": "Look at the memory and change it.",
        "run": "Score memory systems on a dataset.",
        "eval": "Run benchmarks over memory systems, compare them, and write reports.",
        "data": "Make the data sets that the trainer reads.",
        "train": "Teach the four agents with reinforcement learning, on verl.",
        "demo": "Watch the four agents at work on a short conversation.",
        "model": "Fetch local models and list them.",
        "doctor": "Say what is installed, what is missing and how to get it.",
    }
)
"""Name and first line of help; the module `memquartet.cli.NAME` holds the command as `command`."""

EXIT_CODES = "Exit codes: 0 done · 1 error · 2 wrong usage · 130 interrupted (what was finished is kept)."


class Commands(Root):
    """The group: knows its commands' names and first lines without importing them."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `COMMANDS`."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"memquartet.cli.{cmd_name}").command
        return found

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.version_option(package_name="memquartet", prog_name="memquartet")
def cli() -> None:
    """Give a language model a memory: four agents extract facts, decide, summarize and answer.

    Start with `memquartet doctor`, then `memquartet model pull smollm2-135m`, `memquartet ingest FILE` and
    `memquartet ask QUESTION`. Every command takes -h.
    """
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show is spelled out instead of ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
