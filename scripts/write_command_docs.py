"""Write docs/10-commands.md from the commands' own help, so that the page is complete and true.

python scripts/write_command_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from memquartet.cli.main import cli

PAGE = Path(__file__).parent.parent / "docs" / "10-commands.md"
HEAD = """\
# Commands

Written by `scripts/write_command_docs.py` from the commands' own help; `-h` shows the same.

- **Output.** Results go to stdout, progress and messages to stderr. With `--json` stdout holds one JSON value and nothing else;
  `--quiet` leaves errors only.
- **Exit codes.** 0 done · 1 an error, told in one line with the next step (`--debug` shows the traceback) · 2 wrong usage ·
  130 interrupted; what was finished is kept.
- **Settings.** MEMQUARTET_DB, MEMQUARTET_MODEL and MEMQUARTET_EMBEDDER stand for `--db`, `--model` and `--embedder`;
  MEMQUARTET_CACHE is where models are kept; OPENAI_API_KEY is the key for servers.
"""


def pages() -> Iterator[tuple[str, str]]:
    """Each command's full name and help, in the order of `memquartet -h`."""

    def walk(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
        context = click.Context(
            command,
            info_name=name.rsplit(" ", maxsplit=1)[-1],
            parent=parent,
            terminal_width=100,
            help_option_names=["-h", "--help"],
        )
        yield name, command.get_help(context)
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                if found is not None:
                    yield from walk(found, f"{name} {child}", context)

    yield from walk(cli, "memquartet", None)


def render() -> str:
    """The whole page."""
    return HEAD + "".join(f"\n## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in pages())


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE}")
