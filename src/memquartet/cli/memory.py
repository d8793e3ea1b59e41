"""`memquartet memory`: look at the memory and change it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from memquartet.cli.command import Command
from memquartet.cli.memory_changes import (
    export_command,
    import_command,
    reembed_command,
    rethink_command,
    undo_command,
)
from memquartet.cli.options import Target, screen_options, target_options
from memquartet.cli.rendering import (
    change_text,
    day_and_time,
    entry_json,
    entry_table,
    parse_moment,
    record_json,
    scope_json,
    scope_text,
    state_json,
    warn_of_wordless,
)
from memquartet.cli.screen import Screen
from memquartet.core.memory import MemoryState, MemoryType
from memquartet.errors import MemquartetError
from memquartet.memory.journal import JournalRecord
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters, SearchMethod


@click.group(name="memory")
def command() -> None:
    """Look at the memory and change it: every write is in the journal and can be undone."""


type_option = click.option(
    "--type", "memory_type", type=click.Choice([kind.value for kind in MemoryType]), help="Only this type."
)


@command.command(
    "list", cls=Command, examples=["memquartet memory list --type episodic", "memquartet memory list --json"]
)
@type_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Show the newest so many; 0 shows all.",
)
@target_options
@screen_options
def list_command(*, target: Target, screen: Screen, memory_type: str | None, limit: int) -> None:
    """List the entries, newest last, and the short-term memory."""
    with target.open() as memory:
        _show_contents(memory, target, screen, memory_type, limit)


@command.command(
    "search",
    cls=Command,
    examples=[
        "memquartet memory search 'dog food' --top-k 3",
        "memquartet memory search Lisbon --method bm25",
    ],
)
@click.argument("query")
@click.option("--top-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many entries.")
@click.option(
    "--method",
    type=click.Choice([method.value for method in SearchMethod]),
    default=SearchMethod.HYBRID.value,
    show_default=True,
    help="How entries are ranked.",
)
@type_option
@target_options
@screen_options
def search_command(
    *, target: Target, screen: Screen, query: str, top_k: int, method: str, memory_type: str | None
) -> None:
    """Find the entries that fit QUERY, best first."""
    with target.open() as memory:
        hits = memory.search(query, top_k, filters=_filters(target, memory_type), method=method)
    if not hits:
        warn_of_wordless(query, screen)
    if screen.as_json:
        screen.json(
            [
                {"score": hit.score, "lexical": hit.lexical, "semantic": hit.semantic} | entry_json(hit.entry)
                for hit in hits
            ]
        )
        return
    columns, rows = entry_table([hit.entry for hit in hits])
    scored = [[f"{hit.score:.3f}", *row] for hit, row in zip(hits, rows, strict=True)]
    screen.table(["SCORE", *columns], scored, right=["SCORE"])
    if not hits:
        screen.say("nothing found")


@command.command("show", cls=Command, examples=["memquartet memory show m7"])
@click.argument("entry_id", metavar="ID")
@target_options
@screen_options
def show_command(*, target: Target, screen: Screen, entry_id: str) -> None:
    """Show one entry whole, and where it came from."""
    with target.open() as memory:
        entry = memory.get(entry_id, scope=target.scope)
        *_, last = memory.history(entry_id)
    if screen.as_json:
        screen.json(entry_json(entry) | {"last_change": record_json(last)})
        return
    screen.write(entry.content)
    screen.write("")
    for name, value in {
        "type": entry.memory_type.value,
        "scope": scope_text(entry.scope),
        "meta": ", ".join(f"{key}={value}" for key, value in entry.meta.items()) or "—",
        "created": day_and_time(entry.created_at),
        "changed": f"{day_and_time(entry.updated_at)} by {last.provenance.actor}, journal record {last.seq}",
        "model": last.provenance.model or "—",
        "origin": last.provenance.origin or "—",
        "from text": last.provenance.source or "—",
    }.items():
        screen.write(f"{name + ':':<10} {value}")


@command.command(
    "history", cls=Command, examples=["memquartet memory history m7", "memquartet memory history m7 --json"]
)
@click.argument("entry_id", metavar="ID")
@target_options
@screen_options
def history_command(*, target: Target, screen: Screen, entry_id: str) -> None:
    """Show every change of an entry, also of one that was deleted.

    With --json each record carries its full provenance: text, prompt, model, seed and raw output.
    """
    with target.open() as memory:
        records = [record for record in memory.history(entry_id) if target.scope.admits(record.scope)]
    _show_records(records, screen)


@command.command(
    "as-of",
    cls=Command,
    examples=["memquartet memory as-of 2024-05-08", "memquartet memory as-of 12 --type semantic"],
)
@click.argument("moment")
@type_option
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Show the newest so many."
)
@target_options
@screen_options
def as_of_command(
    *, target: Target, screen: Screen, moment: str, memory_type: str | None, limit: int
) -> None:
    """List the entries as they were at MOMENT: a time, or the number of a journal record.

    A time is ISO 8601; without a zone it is the local one.
    """
    with target.open() as memory:
        _show_contents(memory.as_of(parse_moment(moment)), target, screen, memory_type, limit)


@command.command(
    "diff", cls=Command, examples=["memquartet memory diff 0", "memquartet memory diff 2024-05-08 40"]
)
@click.argument("earlier")
@click.argument("later", required=False)
@target_options
@screen_options
def diff_command(*, target: Target, screen: Screen, earlier: str, later: str | None) -> None:
    """Show what differs between two moments; LATER is now when it is left out.

    A moment is a time or the number of a journal record, as for `as-of`.
    """
    with target.open() as memory:
        until = memory.seq if later is None else parse_moment(later)
        found = memory.diff(parse_moment(earlier), until)
    admits = target.scope.admits
    added = [entry for entry in found.added if admits(entry.scope)]
    removed = [entry for entry in found.removed if admits(entry.scope)]
    changed = [change for change in found.changed if admits(change.after.scope)]
    states = [change for change in found.states if admits(change.scope)]
    if screen.as_json:
        screen.json(
            {
                "added": [entry_json(entry) for entry in added],
                "removed": [entry_json(entry) for entry in removed],
                "changed": [
                    {"before": entry_json(change.before), "after": entry_json(change.after)}
                    for change in changed
                ],
                "states": [
                    {
                        "scope": scope_json(change.scope),
                        "before": state_json(change.before),
                        "after": state_json(change.after),
                    }
                    for change in states
                ],
            }
        )
        return
    for entry in added:
        screen.write(f"+ {entry.entry_id}  {entry.content}", "green")
    for entry in removed:
        screen.write(f"- {entry.entry_id}  {entry.content}", "red")
    for change in changed:
        screen.write(f"- {change.before.entry_id}  {change.before.content}", "red")
        screen.write(f"+ {change.after.entry_id}  {change.after.content}", "green")
    for state in states:
        screen.write(f"- short-term memory  {state.before.text}", "red")
        screen.write(f"+ short-term memory  {state.after.text}", "green")
    if not (added or removed or changed or states):
        screen.say("no difference")


@command.command("replay", cls=Command, examples=["memquartet memory replay"])
@target_options
@screen_options
def replay_command(*, target: Target, screen: Screen) -> None:
    """Rebuild the memory from its journal and check that it is the same, byte for byte."""
    with target.open() as memory:
        with screen.status("replaying the journal"):
            rebuilt = Memory.replay(memory)
        same = rebuilt.canonical_bytes() == memory.canonical_bytes()
        records, entries = memory.seq, len(memory)
    if screen.as_json:
        screen.json({"same": same, "records": records, "entries": entries})
    elif same:
        screen.write(f"{records:,} journal records rebuild the memory's {entries:,} entries byte for byte")
    if not same:
        raise MemquartetError(
            f"the journal of {str(target.db)!r} does not rebuild its entries: keep the file, and make a new"
            " memory from its journal with `memquartet memory export` and `memquartet memory import`"
        )


for _change in (undo_command, export_command, import_command, rethink_command, reembed_command):
    command.add_command(_change)


def _filters(target: Target, memory_type: str | None) -> Filters:
    types = frozenset(MemoryType) if memory_type is None else frozenset({MemoryType(memory_type)})
    return Filters(scope=target.scope, memory_types=types)


def _show_contents(
    memory: Memory, target: Target, screen: Screen, memory_type: str | None, limit: int
) -> None:
    entries = memory.entries(_filters(target, memory_type))
    state = memory.state(target.scope)
    shown = entries[-limit:] if limit else entries
    if screen.as_json:
        screen.json(
            {
                "total": len(entries),
                "entries": [entry_json(entry) for entry in shown],
                "state": state_json(state),
            }
        )
        return
    _show_state(state, screen)
    columns, rows = entry_table(shown)
    screen.table(columns, rows)
    screen.say(
        f"{len(shown):,} of {len(entries):,} entries"
        + (" (--limit 0 shows all)" if len(shown) < len(entries) else "")
    )


def _show_state(state: MemoryState, screen: Screen) -> None:
    text = "\n".join([*(f"note: {note}" for note in state.notes), state.text]).strip()
    if text:
        screen.write(f"short-term memory: {text}\n", "dim")


def _show_records(records: Sequence[JournalRecord], screen: Screen) -> None:
    if screen.as_json:
        screen.json([record_json(record) for record in records])
        return
    screen.table(
        ["RECORD", "TIME", "WHO", "MODEL", "CHANGE"],
        [
            [
                str(record.seq),
                day_and_time(record.time),
                record.provenance.actor,
                record.provenance.model or "—",
                change_text(record),
            ]
            for record in records
        ],
        right=["RECORD"],
    )
