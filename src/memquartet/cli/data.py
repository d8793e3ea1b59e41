"""`memquartet data`: what the trainer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

import click

from memquartet.benchmarks.named import Options, benchmark_names, load_benchmark
from memquartet.benchmarks.registry import load_dataset
from memquartet.benchmarks.worlds.catalog import is_world_name, read_world_name
from memquartet.cli.command import Command
from memquartet.cli.options import prompts_option, screen_options, seed_option
from memquartet.cli.screen import Screen
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize
from memquartet.training.dataset import Split, build_dataset, parquet_writer
from memquartet.training.demonstration_sets import (
    asked_demonstrations,
    digest,
    make_demonstrations,
    observed_demonstrations,
    with_few_abstentions,
    write_demonstrations,
)
from memquartet.training.demonstrations import Demonstration
from memquartet.training.settings import TrainingSettings

OBSERVED_WAYS = 12
ASKED_WAYS = 4
_WORLD_SPLITS = {Split.TRAIN: "train", Split.VALIDATION: "validation"}


@click.group(name="data")
def command() -> None:
    """Make the data sets that the trainer reads."""


@command.command(
    "build",
    cls=Command,
    examples=[
        "memquartet data build 'world:conflict?n=4000' --split train --seed 1 --out train.parquet",
        "memquartet data build 'world:conflict?n=64' 'world:dialogue?n=64' --split val --seed 2 --out val.parquet",
        "memquartet data build locomo10.json --split train --limit 8 --out train.parquet",
        "memquartet data build locomo10.json --split val --skip 8 --out val.parquet",
    ],
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@click.option(
    "--split",
    type=click.Choice([one.value for one in Split]),
    default=Split.TRAIN.value,
    show_default=True,
    help="What it is for; worlds are drawn from the words of this split.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="The benchmark's file or folder on this machine, for one benchmark; by default it is fetched.",
)
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=16),
    help="Tokens read in one go; by default what the source prescribes, else 512.",
)
@click.option(
    "--skip", type=click.IntRange(min=0), default=0, help="Leave out so many samples, after mixing."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many samples, after mixing.")
@seed_option
@screen_options
def build(
    *,
    screen: Screen,
    sources: Sequence[str],
    out: Path,
    split: str,
    data: Path | None,
    chunk_tokens: int | None,
    skip: int,
    limit: int | None,
    seed: int,
) -> None:
    """Write samples as a parquet file for the trainer, with a manifest beside it.

    A SOURCE is a file (our samples, LoCoMo, LongMemEval, MemoryAgentBench), a published benchmark (locomo,
    longmemeval:oracle, memoryagentbench:SOURCE, memorybench:NAME) or a generated world (world:conflict?n=100,
    world:dialogue). Samples of all sources are mixed by --seed, so that --limit N and --skip N of one seed share none.
    """
    chosen = Split(split)
    samples = [
        sample for source in sources for sample in _load(source, sources, data, chunk_tokens, chosen, seed)
    ]
    Random(seed).shuffle(samples)
    kept = samples[skip:][:limit]
    if not kept:
        raise ConfigError(f"--skip {skip} leaves nothing of {len(samples)} samples")
    silent = [sample.sample_id for sample in kept if not sample.questions]
    if silent:
        raise InputError(f"sample {silent[0]!r} has no questions: without answers nothing can be rewarded")
    manifest = build_dataset(kept, out, split=chosen, seed=seed)
    counts = ", ".join(f"{count} of {source or 'unnamed'}" for source, count in manifest.sources.items())
    screen.answer(
        {"file": str(out), "manifest": asdict(manifest)},
        f"wrote {out}: {manifest.samples} samples ({counts}), {manifest.questions} questions",
    )


@command.command(
    "demonstrations",
    cls=Command,
    examples=[
        "memquartet data demonstrations 'world:conflict?n=3000' 'world:dialogue?n=3000' --prompts short --out sft.parquet",
        "memquartet data demonstrations 'world:friends?n=3000' --observed locomo10.json:conv-26 --prompts short --out sft.parquet",
        "memquartet data demonstrations 'world:scenes?n=3000' --asked dev.tsv --asked test.tsv --prompts short --out sft.parquet",
        "memquartet data demonstrations 'world:dialogue?n=100' --split val --prompts short --out sft-val.parquet",
    ],
)
@click.argument("worlds", nargs=-1, required=True, metavar="WORLD...")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@click.option(
    "--split",
    type=click.Choice([one.value for one in Split]),
    default=Split.TRAIN.value,
    show_default=True,
    help="What it is for; worlds are drawn from the words of this split.",
)
@prompts_option
@click.option(
    "--max-searches",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How often the answerer may search again with a query of its own, before it answers a question.",
)
@click.option(
    "--varied/--fixed",
    default=True,
    show_default=True,
    help="Whether each sample draws its own chunk length, numbers of retrieved memories and of searches, and share of slips.",
)
@click.option(
    "--line-top-k",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Most lines of the text, word for word, that are shown beside the facts with each search for a question; with"
    " --varied some facts are then said by their line alone.",
)
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role]),
    multiple=True,
    help="Only what this role says; may be given again.",
)
@click.option(
    "--abstentions",
    type=click.FloatRange(min=0, max=1),
    default=1.0,
    show_default=True,
    help="Most that answers without information may be of all answers; the others of them are left out.",
)
@click.option(
    "--observed",
    metavar="FILE:CONVERSATION",
    help=f"A real conversation too, whose file says what was observed in it; it is cut in {OBSERVED_WAYS} ways.",
)
@click.option(
    "--asked",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Sentences that people asked about, too: a file in QAMR's readable form; each stands in"
    f" {ASKED_WAYS} samples. May be given again.",
)
@seed_option
@screen_options
def demonstrations(
    *,
    screen: Screen,
    worlds: Sequence[str],
    out: Path,
    split: str,
    prompts: str,
    max_searches: int,
    line_top_k: int,
    roles: Sequence[str],
    varied: bool,
    abstentions: float,
    observed: str | None,
    asked: Sequence[Path],
    seed: int,
) -> None:
    """Write what the four agents should say in generated worlds, for `memquartet train sft`.

    The oracle team, which knows what is true, lives through the samples; each of its calls is a row: the prompt as the
    trained model will see it, and the right output. verl's own supervised trainer reads the file too.

    --observed adds extractions and answers of a LoCoMo conversation: its file holds observations with the turns that say them.
    --asked adds those of sentences of encyclopedias and news, such as data/readable/dev.tsv of github.com/uwnlp/qamr.
    """
    for world in worlds:
        if not is_world_name(world):
            raise ConfigError(
                f"{world!r}: demonstrations need samples of known truth, such as world:conflict?n=1000"
            )
    parquet_writer()  # what is missing is said now, and not after minutes of work
    wanted = [read_world_name(_whole_world(world, Split(split), seed)) for world in worlds]
    settings = TrainingSettings(prompts=prompts, max_searches=max_searches, line_top_k=line_top_k)
    seen = _observed(observed, settings, varied=varied, seed=seed) if observed else []
    if asked:
        seen += asked_demonstrations(asked, ASKED_WAYS, settings, varied=varied, seed=seed)
    with screen.progress() as bar:
        task = bar.add_task("Living through samples", total=None)
        made = make_demonstrations(
            wanted,
            settings,
            varied=varied,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    made = [shown for shown in (*made, *seen) if not roles or shown.role.value in roles]
    Random(seed).shuffle(made)
    made = with_few_abstentions(made, abstentions)
    write_demonstrations(made, out)
    by_role = dict(Counter(shown.role.value for shown in made).most_common())
    counts = ", ".join(f"{count} {role}" for role, count in by_role.items())
    screen.answer(
        {"file": str(out), "demonstrations": len(made), "roles": by_role, "digest": digest(made)},
        f"wrote {out}: {len(made)} demonstrations ({counts})",
    )


def _observed(wish: str, settings: TrainingSettings, *, varied: bool, seed: int) -> list[Demonstration]:
    file, _, conversation = wish.rpartition(":")
    if not file:
        raise ConfigError(f"--observed {wish!r}: give a file and a conversation, as in locomo10.json:conv-26")
    return observed_demonstrations(
        Path(file), conversation, OBSERVED_WAYS, settings, varied=varied, seed=seed
    )


def _load(
    source: str, sources: Sequence[str], data: Path | None, tokens: int | None, split: Split, seed: int
) -> list[Sample]:
    size = ChunkSize(tokens=tokens) if tokens else None
    if source.partition(":")[0] in benchmark_names() and not Path(source).is_file():
        if data is not None and len(sources) > 1:
            raise ConfigError(f"--data goes with one benchmark, given {len(sources)} sources")
        return load_benchmark(source, Options(data=data, size=size))
    if data is not None:
        raise ConfigError(f"--data goes with a benchmark ({', '.join(benchmark_names())}), given {source!r}")
    return load_dataset(_whole_world(source, split, seed) if is_world_name(source) else source, size=size)


def _whole_world(name: str, split: Split, seed: int) -> str:
    """A world's name with the split and the seed of the command, where it does not say its own."""
    kind, _, query = name.partition("?")
    given = [part for part in query.split("&") if part]
    keys = {part.partition("=")[0] for part in given}
    more = [
        f"{key}={value}"
        for key, value in {"split": _WORLD_SPLITS[split], "seed": seed}.items()
        if key not in keys
    ]
    return f"{kind}?{'&'.join([*given, *more])}"
