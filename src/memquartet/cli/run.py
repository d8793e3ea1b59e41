"""`memquartet run`: score memory systems on a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.progress import TaskID

from memquartet.benchmarks.registry import load_dataset
from memquartet.cli.command import INTERRUPTED, Command
from memquartet.cli.options import DEFAULT_EMBEDDER, model_option, screen_options, seed_option
from memquartet.cli.screen import Screen
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError, WorldError
from memquartet.evals.results import OVERALL, SystemResult
from memquartet.evals.runner import evaluate, missing_samples
from memquartet.llm.protocols import ChatModel
from memquartet.llm.specs import make_model
from memquartet.memory.embedders import make_embedder
from memquartet.scoring.registry import score
from memquartet.scoring.summary import Summary
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.registry import make_system
from memquartet.text.chunking import ChunkSize

SYSTEMS = ("quartet", "no_memory", "rag_bm25")


@click.command(
    "run",
    cls=Command,
    examples=[
        "memquartet run demo",
        "memquartet run locomo10.json --sample conv-26 --sample conv-30 --out runs/locomo",
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
@click.option(
    "--embedder",
    default=DEFAULT_EMBEDDER,
    envvar="MEMQUARTET_EMBEDDER",
    show_default=True,
    help="As for ingest.",
)
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

    Transcripts, settings and results.json go to --out. After an interruption the same command goes on with the
    samples that are missing.
    """
    samples = _chosen(load_dataset(dataset, size=ChunkSize(tokens=chunk_tokens)), names, limit, questions)
    _check_metrics(samples)
    out = out or Path("runs") / Path(dataset).stem
    chat = make_model(model)
    compared = make_systems(systems, chat, embedder)
    config = {
        "dataset": Path(dataset).name,
        "model": model,
        "embedder": embedder,
        "chunk_tokens": chunk_tokens,
        "questions": questions,
    }

    async def work() -> list[SystemResult]:
        try:
            return await _evaluate(samples, compared, out, seed, config, screen)
        finally:
            await chat.aclose()

    try:
        results = asyncio.run(work())
    except KeyboardInterrupt:
        screen.warn(f"Interrupted. Finished samples are kept in {out}; run the same command again to go on.")
        raise SystemExit(INTERRUPTED) from None
    if screen.as_json:
        screen.json(
            {
                "out": str(out),
                "seed": seed,
                "config": config,
                "results": [
                    {"system": r.system, "scores": {name: s.as_json() for name, s in r.scores.items()}}
                    for r in results
                ],
            }
        )
    else:
        show_results(results, screen)
        screen.say(f"transcripts and results.json are in {out}")
    if unscored := sum(result.scores[OVERALL].unscored for result in results):
        raise WorldError(
            f"{unscored} questions have no answer, because a server or disk failed (see `failure` in the"
            f" transcripts in {out}). Run the same command again: it goes on with what is missing"
        )


def make_systems(names: str, chat: ChatModel, embedder: str) -> list[MemorySystem]:
    """The systems of a comma-separated list.

    Raises:
        ConfigError: an unknown name.
    """
    wanted = dict.fromkeys(name.strip() for name in names.split(",") if name.strip())
    return [make_system(name, chat, embedder=make_embedder(embedder)) for name in wanted]


def show_results(results: Sequence[SystemResult], screen: Screen) -> None:
    """The scores by category, in percent with n and 95 % interval."""
    categories = list(dict.fromkeys(name for result in results for name in result.scores))
    categories.sort(key=lambda name: name == OVERALL)
    counts = results[0].scores if results else {}
    screen.table(
        ["CATEGORY", "N", *(result.system.upper() for result in results)],
        [
            [name, str(counts[name].n + counts[name].unscored), *(_cell(r.scores[name]) for r in results)]
            for name in categories
        ],
        right=["N"],
    )
    screen.write("score in %, higher is better: mean and 95 % bootstrap interval over the questions", "dim")


def _cell(summary: Summary) -> str:
    unscored = f", {summary.unscored} unscored" if summary.unscored else ""
    if summary.mean is None:
        return f"—{unscored}"
    if summary.low is None or summary.high is None:
        return f"{summary.mean:5.1%}{unscored}".replace("%", "")
    return f"{100 * summary.mean:5.1f}  [{100 * summary.low:.1f}, {100 * summary.high:.1f}]{unscored}"


def _chosen(
    samples: Sequence[Sample], names: Sequence[str], limit: int | None, questions: int | None
) -> list[Sample]:
    known = [sample.sample_id for sample in samples]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no sample {unknown[0]!r}: the data set has {', '.join(known[:20])}")
    chosen = [
        replace(sample, questions=sample.questions[:questions])
        for sample in samples
        if sample.sample_id in names or not names
    ][:limit]
    if not any(sample.questions for sample in chosen):
        raise ConfigError(
            "the data set asks no questions, so there is nothing to score: use `memquartet ingest`"
        )
    return chosen


def _check_metrics(samples: Sequence[Sample]) -> None:
    """Score something by each metric now: a package that is missing must not come to light after hours of work."""
    for sample in {sample.metric: sample for sample in samples if sample.questions}.values():
        score(sample.metric, "anything", sample.questions[0])


async def _evaluate(
    samples: Sequence[Sample],
    systems: Sequence[MemorySystem],
    out: Path,
    seed: int,
    config: dict[str, object],
    screen: Screen,
) -> list[SystemResult]:
    """Evaluate with a bar for each system over its chunks and questions."""
    with screen.progress() as bar:
        tasks: dict[str, TaskID] = {}
        for system in systems:
            missing = missing_samples(samples, system.name, out)
            total = sum(
                len(s.questions) + (len(s.chunks) if system.name != "no_memory" else 0) for s in missing
            )
            tasks[system.name] = bar.add_task(system.name, total=total)
        return await evaluate(
            samples,
            systems,
            out=out,
            seed=seed,
            config=config,
            on_progress=lambda system, _unit: bar.advance(tasks[system]),
        )
