"""`memquartet demo`: watch the four agents at work on a short conversation."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from memquartet.agents.team import Team
from memquartet.benchmarks.demo import load_demo
from memquartet.cli.command import INTERRUPTED, Command
from memquartet.cli.evaluation import show_results
from memquartet.cli.model import pull_with_bar
from memquartet.cli.options import DEFAULT_MODEL, Target, model_option, seed_option
from memquartet.cli.rendering import clipped, counted
from memquartet.cli.screen import Screen
from memquartet.core.memory import EVERYWHERE, FACT_TYPES
from memquartet.core.samples import Chunk, Sample
from memquartet.core.trajectory import Answer, Decision, FactOutcome, MemoryStep, TurnStatus
from memquartet.errors import WorldError
from memquartet.evals.results import OVERALL, SystemResult
from memquartet.llm.models import known, taught
from memquartet.llm.specs import make_model
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.limits import SAID_AT
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters
from memquartet.rollout.episode import Rollout
from memquartet.scoring.registry import score
from memquartet.scoring.summary import summarize
from memquartet.systems.living import live
from memquartet.systems.registry import make_system

_SIGNS = {Decision.ADD: "+", Decision.UPDATE: "~", Decision.DELETE: "-", Decision.NOOP: "="}
_STYLES = {Decision.ADD: "green", Decision.UPDATE: "yellow", Decision.DELETE: "red", Decision.NOOP: "dim"}
LINES_SHOWN = 3
Answers = Mapping[str, Sequence[Answer]]


@click.command(
    "demo",
    cls=Command,
    examples=["memquartet demo", "memquartet demo --model openai:qwen3-4b@http://localhost:8000/v1"],
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/demo"),
    show_default=True,
    help="Where the memory is put; an earlier demo's is replaced.",
)
@model_option
@seed_option
def command(*, out: Path, model: str, seed: int) -> None:
    """Watch the four agents at work on a short conversation, then let them answer questions about it.

    The local model is fetched when it is not here. The memory stays in --out, to be looked at with
    `memquartet memory` and asked with `memquartet ask`.
    """
    screen = Screen()
    kind, _, name = model.partition(":")
    if kind == "local" and (known(name) or taught(name)):
        pull_with_bar(name, screen)
    (sample,) = load_demo()
    db = out / "memory.db"
    out.mkdir(parents=True, exist_ok=True)
    for old in (db, *(db.with_name(db.name + end) for end in ("-wal", "-shm"))):
        old.unlink(missing_ok=True)
    with Target(db=db, scope=EVERYWHERE, embedder="static").open(create=True) as memory:
        try:
            asyncio.run(_show(sample, memory, model, seed, screen))
        except KeyboardInterrupt:
            screen.warn(f"Interrupted. What was remembered is kept in {db}; the demo starts afresh.")
            raise SystemExit(INTERRUPTED) from None
    _say_what_next(model, db, screen)


async def _show(sample: Sample, memory: Memory, model: str, seed: int, screen: Screen) -> None:
    chat = make_model(model)
    team = Team.of(chat)
    rollout = Rollout(team=team, memory=memory, seed=seed)
    try:
        screen.write(f"{chat.name} reads {len(sample.chunks)} sessions of a conversation", "bold")
        for chunk in sample.chunks:
            with screen.status(f"session {chunk.index + 1}: extracting facts, deciding, summarizing"):
                step = await rollout.read_chunk(chunk, origin=f"demo#{chunk.index}")
            _show_step(chunk, step, screen)
        facts = memory.entries(Filters(memory_types=FACT_TYPES))
        kept = len(memory) - len(facts)
        beside = f", and {counted(kept, 'line')} of the text word for word" if kept else ""
        screen.write(f"\nWhat it remembers now ({counted(len(facts), 'fact')}{beside})", "bold")
        screen.table(
            ["ID", "TYPE", "SAID", "CONTENT"],
            [
                [
                    entry.entry_id,
                    entry.memory_type,
                    str(entry.meta.get(SAID_AT, "—"))[:10],
                    clipped(entry.content),
                ]
                for entry in facts
            ],
        )
        screen.write("short-term memory: " + (clipped(memory.state().text) or "(empty)"))

        screen.write(
            f"\n{len(sample.questions)} questions, asked with this memory, with BM25 over the raw text, and with nothing",
            "bold",
        )
        with screen.status("answering"):
            answers = {"quartet": await rollout.answer_all(sample.questions)}
        for name in ("rag_bm25", "no_memory"):
            with screen.status(f"answering: {name}"):
                system = make_system(name, chat, embedder=NoEmbedder())
                answers[name] = (await live(system, sample, seed=seed)).answers
    finally:
        await chat.aclose()
    _show_answers(sample, answers, screen)
    show_results(_results(sample, answers), screen)


def _show_step(chunk: Chunk, step: MemoryStep, screen: Screen) -> None:
    """One session: its head line, each fact with what became of it, and the new short-term memory.

    Raises:
        WorldError: the model's server or the disk failed.
    """
    if step.trajectory.failure:
        raise WorldError(step.trajectory.failure.message)
    head, *lines = chunk.text.splitlines()
    screen.write(f"\n{head}", "bold")
    for line in lines[:LINES_SHOWN]:
        screen.write(f"  | {clipped(line)}", "dim")
    screen.write(f"  | … {counted(len(lines) - LINES_SHOWN, 'more line')}", "dim")
    unimportant = sum(not fact.important for fact in step.facts)
    seconds = sum(turn.seconds for turn in step.trajectory.turns)
    screen.write(
        f"  {counted(len(step.facts), 'fact')} found, {unimportant} unimportant"
        f" ({counted(len(step.trajectory.turns), 'model call')}, {seconds:.1f} s)"
    )
    for outcome in step.outcomes:
        _show_outcome(outcome, screen)
    invalid = sum(turn.status is TurnStatus.INVALID for turn in step.trajectory.turns)
    if invalid:
        screen.write(f"  ! {counted(invalid, 'output')} could not be used as given", "red")
    if unimportant and step.state.text:
        screen.write(f"  short-term memory: {clipped(step.state.text)}", "dim")


def _show_outcome(outcome: FactOutcome, screen: Screen) -> None:
    decision = outcome.decision
    told = f"  {_SIGNS[decision]} {decision.value:<6} {clipped(outcome.fact.text)}"
    replaced = [r.before.content for r in outcome.receipts if r.before and decision is Decision.UPDATE]
    screen.write(told + "".join(f"  (was: {clipped(old)})" for old in replaced), _STYLES[decision])


def _show_answers(sample: Sample, answers: Answers, screen: Screen) -> None:
    width = max(map(len, answers))
    for number, question in enumerate(sample.questions):
        screen.write(f"\n{question.text}  → {question.answers[0] if question.answers else '(no answer)'}")
        for system, given in answers.items():
            text = given[number].text
            value = score(sample.metric, text, question)
            shown = "no answer: the model's server failed" if text is None else clipped(text, 90)
            screen.write(
                f"  {system:<{width}}  {'—' if value is None else f'{100 * value:3.0f}'}  {shown}",
                "green" if value else "dim",
            )
    screen.write("")


def _results(sample: Sample, answers: Answers) -> list[SystemResult]:
    results = []
    for system, given in answers.items():
        scores = [
            score(sample.metric, answer.text, question)
            for answer, question in zip(given, sample.questions, strict=True)
        ]
        results.append(SystemResult(system=system, scores={OVERALL: summarize(scores)}))
    return results


def _say_what_next(model: str, db: Path, screen: Screen) -> None:
    program = "memquartet" if shutil.which("memquartet") else os.path.relpath(sys.argv[0])
    if model == DEFAULT_MODEL:
        screen.write(
            "\nThis model has 135 million parameters and was taught to use a memory in 73 minutes: it often says that"
            "\nit does not know what stands in its memory. Try a larger one behind an OpenAI-compatible server, for example"
            "\n  vllm serve Qwen/Qwen3-4B-Instruct-2507"
            f"\n  {os.path.relpath(sys.executable)} -m pip install 'memquartet[openai]'"
            f"\n  {program} demo --model openai:Qwen/Qwen3-4B-Instruct-2507@http://localhost:8000/v1"
        )
    screen.write(
        f"\nLook around:\n  {program} memory list --db {db}\n  {program} ask 'Where does Mira live?' --db {db}"
    )
