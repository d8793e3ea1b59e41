"""`memquartet run`: score memory systems on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from memquartet.benchmarks.registry import load_dataset
from memquartet.cli.command import Command
from memquartet.cli.evaluation import Plan, carry_out, chosen_samples
from memquartet.cli.options import embedder_option, model_option, screen_options, seed_option
from memquartet.cli.screen import Screen
from memquartet.text.chunking import ChunkSize

SYSTEMS = ("quartet", "no_memory", "rag_bm25")


@click.command(
    "run",
    cls=Command,
    examples=[
        "memquartet run demo",
        "memquartet run locomo10.json --sample conv-30 --out runs/locomo",
        "memquartet run locomo10.json --systems quartet --model openai:qwen3-4b@http://localhost:8000/v1",
    ],
)
@click.argument("dataset")
@click.option(
    "--systems", default=",".join(SYSTEMS), show_default=True, help="What is compared, separated by commas."
)
@click.option("--sample", "names", multiple=True, metavar="ID", help="Only this sample; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many samples.")
@click.option("--questions", type=click.IntRange(min=1), help="At most so many questions of each sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run's folder; by default runs/ and the data set's name.",
)
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=16),
    default=512,
    show_default=True,
    help="Tokens read in one go.",
)
@embedder_option
@model_option
@seed_option
@screen_options
def command(
    *,
    screen: Screen,
    dataset: str,
    systems: str,
    names: Sequence[str],
    limit: int | None,
    questions: int | None,
    out: Path | None,
    chunk_tokens: int,
    embedder: str,
    model: str,
    seed: int,
) -> None:
    """Score memory systems on a dataset: they read its samples and answer its questions.

    DATASET is a file (LoCoMo, LongMemEval, MemoryAgentBench, our own samples) or "demo". The systems share one
    answerer: `quartet` is the four agents, `no_memory` sees the question alone, `rag_bm25` retrieves lines of the
    raw text.

    Transcripts, settings and results.json go to --out. After an interruption the same command goes on, and asks a
    model nothing twice. `memquartet eval run` knows published benchmarks, more systems and budgets.
    """
    samples = load_dataset(dataset, size=ChunkSize(tokens=chunk_tokens))
    plan = Plan(
        samples=chosen_samples(samples, names, limit, questions),
        systems=list(dict.fromkeys(name.strip() for name in systems.split(",") if name.strip())),
        model=model,
        embedder=embedder,
        out=out or Path("runs") / Path(dataset).stem,
        seed=seed,
        config={
            "dataset": Path(dataset).name,
            "model": model,
            "embedder": embedder,
            "chunk_tokens": chunk_tokens,
            "questions": questions,
        },
    )
    carry_out(plan, screen)
