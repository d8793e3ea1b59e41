"""`memquartet ingest`: read files into the memory."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import TaskID

from memquartet.agents.prompt_sets import TAUGHT_CHUNK_TOKENS
from memquartet.agents.team import Team
from memquartet.cli.command import INTERRUPTED, Command
from memquartet.cli.ingestion import Reading, Source, chunks_done, ingest
from memquartet.cli.options import (
    DEFAULT_DB,
    DEFAULT_EMBEDDER,
    Target,
    line_option,
    model_option,
    screen_options,
    seed_option,
    target_options,
)
from memquartet.cli.rendering import counted
from memquartet.cli.screen import Screen
from memquartet.core.trajectory import Decision, MemoryStep
from memquartet.errors import WorldError
from memquartet.llm.specs import make_model
from memquartet.rollout.episode import EpisodeSettings, Rollout
from memquartet.text.chunking import ChunkSize

CHUNK_TOKENS = ChunkSize().tokens


@click.command(
    "ingest",
    cls=Command,
    examples=[
        "memquartet ingest notes.txt chat.jsonl",
        "memquartet ingest locomo10.json --user ann --model openai:qwen3-4b@http://localhost:8000/v1",
    ],
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=16),
    help=f"Tokens read in one go; by default {CHUNK_TOKENS}, with a taught model {TAUGHT_CHUNK_TOKENS}.",
)
@line_option
@model_option
@seed_option
@target_options
@screen_options
def command(
    *,
    target: Target,
    screen: Screen,
    files: Sequence[Path],
    chunk_tokens: int | None,
    line_top_k: int | None,
    model: str,
    seed: int,
) -> None:
    """Read files into the memory: plain text, JSONL chats, LoCoMo and other data sets.

    A line of a chat is {"speaker": "Ann", "text": "Hello!", "time": "2024-05-08T09:30:00+00:00"}; the time may be
    missing, and "role" and "content" do as well.

    Every chunk is kept as soon as it is read. After an interruption, a crash or a lost server the same command goes
    on with the next chunk; a file that is finished is not read again.
    """
    chat = make_model(model)
    size = ChunkSize(tokens=chunk_tokens or (TAUGHT_CHUNK_TOKENS if chat.prompts else CHUNK_TOKENS))
    sources = []
    for path in dict.fromkeys(files):
        with screen.status(f"checking {path}"):
            sources.append(Source.read(path, size))
    with target.open(create=True) as memory:
        settings = EpisodeSettings(line_top_k=line_top_k)
        rollout = Rollout(team=Team.of(chat), memory=memory, settings=settings, scope=target.scope, seed=seed)
        done = chunks_done(memory.journal(), sources, target.scope)
        kept = dict(done)

        async def read_all() -> list[Reading]:
            try:
                return await _read(sources, rollout, done, kept, screen)
            finally:
                await chat.aclose()

        try:
            readings = asyncio.run(read_all())
        except KeyboardInterrupt:
            screen.warn(f"Interrupted. {_kept(sources, kept)}")
            raise SystemExit(INTERRUPTED) from None
        _report(readings, len(memory), target, screen)
    failure = readings[-1].failure
    if failure:
        raise WorldError(f"{failure.message}\n{_kept(sources, kept)}")


async def _read(
    sources: Sequence[Source], rollout: Rollout, done: Mapping[str, int], kept: dict[str, int], screen: Screen
) -> list[Reading]:
    """Read file after file, up to the first failure; `kept` always tells how far each file is in the memory."""
    readings = []
    with screen.progress() as bar:
        for source in sources:
            task = bar.add_task(source.path.name, total=len(source.chunks), completed=done[source.key])

            def on_step(step: MemoryStep, source: Source = source, task: TaskID = task) -> None:
                if step.trajectory.failure is None:
                    kept[source.key] = step.index + 1
                    bar.advance(task)

            readings.append(await ingest(source, rollout, done=done[source.key], on_step=on_step))
            if readings[-1].failure:
                break
    return readings


def _kept(sources: Sequence[Source], kept: Mapping[str, int]) -> str:
    source = next(s for s in sources if kept[s.key] < len(s.chunks) or s is sources[-1])
    return (
        f"Kept: {kept[source.key]} of {len(source.chunks)} chunks of {source.path}."
        " Run the same command again to go on from there."
    )


def _report(readings: Sequence[Reading], entries: int, target: Target, screen: Screen) -> None:
    if screen.as_json:
        files = [
            {
                "file": str(reading.path),
                "finished": reading.finished,
                "chunks": reading.total,
                "chunks_before": reading.before,
                "chunks_now": reading.now,
                "facts": reading.facts,
                "decisions": {decision.value: reading.decisions.get(decision, 0) for decision in Decision},
                "unusable_chunks": reading.unusable,
                "failure": asdict(reading.failure) if reading.failure else None,
            }
            for reading in readings
        ]
        screen.json({"db": str(target.db), "entries": entries, "files": files})
        return
    for reading in readings:
        if reading.before == reading.total:
            screen.say(
                f"{reading.path}: already finished ({counted(reading.total, 'chunk')}), nothing to read"
            )
        elif reading.before:
            screen.say(f"{reading.path}: went on behind chunk {reading.before} of {reading.total}")
        if reading.unusable:
            screen.warn(
                f"{reading.path}: {counted(reading.unusable, 'chunk')} had model output that stayed unusable after another try;"
                " a larger --model makes fewer mistakes"
            )
    screen.table(
        ["FILE", "CHUNKS", "FACTS", *Decision],
        [
            [
                str(reading.path),
                f"{reading.before + reading.now}/{reading.total}",
                str(reading.facts),
                *(str(reading.decisions.get(decision, 0)) for decision in Decision),
            ]
            for reading in readings
        ],
        right=["CHUNKS", "FACTS", *Decision],
    )
    following = "" if readings[-1].failure else f". Next: memquartet ask QUESTION{_flags(target)}"
    screen.say(f"{entries:,} entries in {target.db}{following}")


def _flags(target: Target) -> str:
    """The options that name this memory again, ready to be pasted into a shell."""
    named = {
        "db": str(target.db) if target.db != DEFAULT_DB else None,
        "user": target.scope.user_id,
        "agent": target.scope.agent_id,
        "run": target.scope.run_id,
        "embedder": target.embedder if target.embedder != DEFAULT_EMBEDDER else None,
    }
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in named.items() if value is not None)
