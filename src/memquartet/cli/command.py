"""Commands with examples in their help, and errors as one line with the next step."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

import click
from typing_extensions import override

from memquartet.errors import MemquartetError

INTERRUPTED = 130
_DEBUG = "memquartet.debug"


class Command(click.Command):
    """A command with examples in its help and the option `--debug`."""

    # Any: click's own constructor arguments, passed on as they are.
    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_note_debug,
                help="Show the traceback of an error.",
            )
        )

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")


class Root(click.Group):
    """A group that turns our errors into one line and an exit code."""

    # Any: a click command may return anything.
    @override
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit 1 for our errors and the world's, 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except MemquartetError as error:
            if ctx.meta.get(_DEBUG):
                raise
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if ctx.meta.get(_DEBUG) or error.errno == errno.EPIPE:
                raise
            named = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{named}{error.strerror or error}") from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


def _note_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True
