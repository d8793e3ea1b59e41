"""Options that several commands share; each group of options arrives as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memquartet.agents.prompt_sets import TAUGHT_LINES
from memquartet.cli.screen import Screen
from memquartet.core.memory import Scope
from memquartet.errors import ConfigError
from memquartet.llm import DEFAULT_MODEL as DEFAULT_LOCAL

if TYPE_CHECKING:
    from memquartet.memory.memory import Memory

Handler = Callable[..., None]
"""A command's function; click calls it with keywords."""

DEFAULT_MODEL = f"local:{DEFAULT_LOCAL}"
DEFAULT_EMBEDDER = "static"
DEFAULT_DB = Path("memory.db")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which memory: the file, whose part of it, and the embedder its vectors are made with."""

    db: Path
    scope: Scope
    embedder: str

    def open(self, *, create: bool = False) -> Memory:
        """Open the file.

        Raises:
            ConfigError: there is no such file and `create` is off.
            StoreError: the file cannot be opened.
            StoreVersionError: it is no memory, or one of a newer memquartet.
            EmbedderMismatchError: its vectors were made with another embedder.
        """
        from memquartet.memory.embedders import make_embedder
        from memquartet.memory.memory import Memory

        if not create and not self.db.exists():
            raise ConfigError(
                f"no memory at {str(self.db)!r}: make one with `memquartet ingest FILE`, or name another"
                " with --db PATH (or MEMQUARTET_DB)"
            )
        return Memory.open(self.db, embedder=make_embedder(self.embedder))


embedder_option = click.option(
    "--embedder",
    metavar="SPEC",
    default=DEFAULT_EMBEDDER,
    envvar="MEMQUARTET_EMBEDDER",
    show_default=True,
    show_envvar=True,
    help="static, none, sentence-transformers:NAME or openai:MODEL@BASE_URL.",
)
"""Add --embedder."""

line_option = click.option(
    "--line-top-k",
    type=click.IntRange(min=0),
    help="How many lines of what was read, word for word, are shown beside the facts found for a question; where it is 0"
    f" while reading, none is kept. By default {TAUGHT_LINES} with a taught model (memquartet-135m), which overlooks much, 0 with others.",
)
"""Add --line-top-k."""


def target_options(command: Handler) -> Handler:
    """Add --db, --user, --agent, --run and --embedder; the command gets them as `target`."""

    @click.option(
        "--db",
        type=click.Path(path_type=Path),
        default=DEFAULT_DB,
        envvar="MEMQUARTET_DB",
        show_default=True,
        show_envvar=True,
        help="The memory's file.",
    )
    @click.option("--user", metavar="NAME", help="Whose memory: the user.")
    @click.option("--agent", metavar="NAME", help="Whose memory: the agent.")
    @click.option("--run", metavar="NAME", help="Whose memory: the run.")
    @embedder_option
    @wraps(command)
    def packed(
        *,
        db: Path,
        user: str | None,
        agent: str | None,
        run: str | None,
        embedder: str,
        **rest: object,
    ) -> None:
        scope = Scope(user_id=user, agent_id=agent, run_id=run)
        command(target=Target(db=db, scope=scope, embedder=embedder), **rest)

    return packed


def screen_options(command: Handler) -> Handler:
    """Add --json and --quiet; the command gets a `screen`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, to stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="No progress and no messages.")
    @wraps(command)
    def packed(*, as_json: bool, quiet: bool, **rest: object) -> None:
        command(screen=Screen(as_json=as_json, quiet=quiet), **rest)

    return packed


def model_option(command: Handler) -> Handler:
    """Add --model; the command gets its text as `model`."""
    return click.option(
        "--model",
        metavar="SPEC",
        default=DEFAULT_MODEL,
        envvar="MEMQUARTET_MODEL",
        show_default=True,
        show_envvar=True,
        help="local:NAME, local:/path/to/file.gguf, local:BASE+/path/to/adapter.gguf, openai:MODEL or"
        " openai:MODEL@BASE_URL; behind it ?prompts=SET for a model taught with one.",
    )(command)


def seed_option(command: Handler) -> Handler:
    """Add --seed."""
    return click.option("--seed", type=int, default=0, show_default=True, help="Fixes every draw.")(command)


def prompts_option(command: Handler) -> Handler:
    """Add --prompts."""
    return click.option(
        "--prompts",
        default="shipped",
        show_default=True,
        help="shipped, short or a folder: as memquartet.prompts in the training to come.",
    )(command)


def local_time() -> datetime:
    """What the clock on the wall says, without a zone: "yesterday" is meant by it, and so are the days of memories."""
    return datetime.now().astimezone().replace(tzinfo=None)
