"""What is printed: results to stdout, progress and messages to stderr, JSON alone where JSON was asked for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# A pipe has no width: one entry stays one line.
_PIPE_WIDTH = 10_000


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where a command prints. With `as_json` or `quiet`, stderr carries errors only."""

    as_json: bool = False
    quiet: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @property
    def watched(self) -> bool:
        """Whether somebody looks at stderr and wants to see progress."""
        return self.err.is_terminal and not (self.quiet or self.as_json)

    def say(self, text: str) -> None:
        """A message about the work, to stderr."""
        if not (self.quiet or self.as_json):
            self.err.print(plain(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A message that also a reader of JSON must see, to stderr."""
        self.err.print(Text(plain(text), style="yellow"), soft_wrap=True)

    def write(self, text: str, style: str = "") -> None:
        """A result, to stdout."""
        self.out.print(Text(plain(text), style=style), soft_wrap=True)

    def json(self, value: object) -> None:
        """A result as JSON, to stdout."""
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        print(json.dumps(value, ensure_ascii=ascii_only, indent=2))

    def answer(self, value: object, text: str) -> None:
        """A result as JSON or as a sentence, whichever was asked for."""
        if self.as_json:
            self.json(value)
        else:
            self.write(text)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
    ) -> None:
        """A table to stdout; the last column takes the room that is left. `right` names number columns."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        if not self.out.is_terminal:
            print("\n".join(_aligned([list(columns), *cells], [column in right for column in columns])))
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(
                column,
                justify="right" if column in right else "left",
                no_wrap=column != columns[-1],
                overflow="fold",
            )
        for row in cells:
            table.add_row(*map(Text, row))
        self.out.print(table)

    def status(self, text: str) -> AbstractContextManager[object]:
        """A moving sign on stderr while something of unknown length goes on."""
        return self.err.status(text) if self.watched else nullcontext()

    def progress(self) -> Progress:
        """A progress bar on stderr; shows nothing where nobody watches."""
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.err,
            transient=True,
            disable=not self.watched,
        )


def plain(text: str) -> str:
    """The text with control characters spelled out: what a model or a file says must not steer the terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The text as a table cell: one line, control characters spelled out."""
    return plain(" ".join(text.split()))


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """The rows as lines in columns; never wrapped and fast, since a pipe may get a hundred thousand."""
    sizes = [[cell_len(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    for row, size in zip(rows, sizes, strict=True):
        pads = [" " * (width - length) for width, length in zip(widths, size, strict=True)]
        cells = [
            pad + cell if to_right else cell + pad
            for cell, pad, to_right in zip(row, pads, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()
