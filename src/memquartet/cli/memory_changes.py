"""The commands of `memquartet memory` that write: undo, export, import, rethink, reembed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from memquartet.cli.command import Command
from memquartet.cli.options import Target, model_option, screen_options, seed_option, target_options
from memquartet.cli.rendering import entry_json
from memquartet.cli.screen import Screen
from memquartet.core.memory import Provenance, Receipt
from memquartet.errors import ConfigError, WorldError
from memquartet.memory.embedders import make_embedder

BY_USER = Provenance(actor="user", source="memquartet memory undo")


@click.command("undo", cls=Command, examples=["memquartet memory history m7", "memquartet memory undo 12"])
@click.argument("record", type=int)
@target_options
@screen_options
def undo_command(*, target: Target, screen: Screen, record: int) -> None:
    """Take one journal record back, by its number in `history`.

    The undoing is a record too, so it can be undone. A record that later ones built on is refused.
    """
    with target.open() as memory:
        if 0 < record <= memory.seq:
            found = next(memory.journal(record - 1))
            if not target.scope.admits(found.scope):
                raise ConfigError(
                    f"journal record {record} lies outside the scope given by --user/--agent/--run"
                )
        receipt = memory.undo(record, provenance=BY_USER)
    if not isinstance(receipt, Receipt):
        screen.answer(
            {"undone": record, "record": receipt.seq, "state": receipt.after.text},
            f"record {record} is undone (record {receipt.seq}); the short-term memory is: {receipt.after.text}",
        )
        return
    after = receipt.after
    screen.answer(
        {"undone": record, "record": receipt.seq, "entry": entry_json(after) if after else None},
        f"record {record} is undone (record {receipt.seq}); "
        + (f"{after.entry_id} is: {after.content}" if after else f"{receipt.entry_id} is gone"),
    )


@click.command(
    "export", cls=Command, examples=["memquartet memory export backup.jsonl", "memquartet memory export -"]
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@target_options
@screen_options
def export_command(*, target: Target, screen: Screen, file: Path) -> None:
    """Write the whole journal, with every entry's history, to a JSONL file; "-" is stdout.

    The file appears only when it is complete. `import` rebuilds the same memory from it. It holds all users' entries.
    """
    with target.open() as memory:
        if str(file) == "-":
            for line in memory.export_lines():
                click.echo(line)
            return
        memory.export(file)
        screen.answer(
            {"file": str(file), "records": memory.seq}, f"{memory.seq:,} journal records are in {file}"
        )


@click.command("import", cls=Command, examples=["memquartet memory import backup.jsonl --db restored.db"])
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@screen_options
def import_command(*, target: Target, screen: Screen, file: Path) -> None:
    """Rebuild a memory from an export, with its whole history, in a new or empty --db."""
    is_new = not target.db.exists()
    with target.open(create=True) as memory:
        try:
            with screen.status(f"importing {file}"):
                records = memory.import_(file)
        except BaseException:
            # An empty memory in its place would answer every question with nothing.
            if is_new and not memory.seq:
                memory.close()
                target.db.unlink()
            raise
        screen.answer(
            {"db": str(target.db), "records": records, "entries": len(memory)},
            f"{records:,} journal records, {len(memory):,} entries are in {target.db}",
        )


@click.command("rethink", cls=Command, examples=["memquartet memory rethink --user ann"])
@model_option
@seed_option
@target_options
@screen_options
def rethink_command(*, target: Target, screen: Screen, model: str, seed: int) -> None:
    """Let the memory manager merge and remove redundant entries, group by group.

    Every change can be undone. After an interruption the finished groups stay as they are.
    """
    from memquartet.agents.manager import MemoryManager
    from memquartet.llm.specs import make_model
    from memquartet.rollout.rethink import Rethinking, rethink

    with target.open() as memory:
        chat = make_model(model)

        async def work() -> Rethinking:
            try:
                return await rethink(memory, MemoryManager(model=chat), scope=target.scope, seed=seed)
            finally:
                await chat.aclose()

        with screen.status("rethinking"):
            done = asyncio.run(work())
        changes = sum(receipt.applied for receipt in done.receipts)
        screen.answer(
            {"groups": done.groups, "changes": changes, "entries": len(memory)},
            f"{done.groups} groups of similar entries, {changes} changes, {len(memory):,} entries now",
        )
    if done.trajectory.failure:
        raise WorldError(f"{done.trajectory.failure.message}\nWhat was changed before is kept.")


@click.command(
    "reembed",
    cls=Command,
    examples=["memquartet memory reembed sentence-transformers:intfloat/multilingual-e5-small"],
)
@click.argument("new_embedder", metavar="SPEC")
@target_options
@screen_options
def reembed_command(*, target: Target, screen: Screen, new_embedder: str) -> None:
    """Move the memory to another embedder, named by SPEC as for --embedder.

    The old vectors hold until all new ones are there; an interrupted run is gone on with by the same command.
    """
    embedder = make_embedder(new_embedder)
    with target.open() as memory, screen.progress() as bar:
        task = bar.add_task("embedding", total=len(memory))
        memory.reembed(
            embedder, on_progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
        entries = len(memory)
    screen.answer(
        {"embedder": embedder.identity, "entries": entries},
        f"{entries:,} entries have vectors by {embedder.identity}. Give --embedder {new_embedder} from now on,"
        " or set MEMQUARTET_EMBEDDER",
    )
