"""`memquartet eval`: run benchmarks, compare two systems, write a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from memquartet.benchmarks.memoryagentbench.sources import Scorer
from memquartet.benchmarks.memorybench.protocols import Order
from memquartet.benchmarks.named import DEFAULTS, Options, benchmark_names, load_benchmark, revision_of
from memquartet.benchmarks.registry import load_dataset
from memquartet.cli.command import Command
from memquartet.cli.evaluation import Plan, Settings, carry_out, chosen_samples
from memquartet.cli.options import embedder_option, model_option, screen_options, seed_option
from memquartet.cli.screen import Screen
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError
from memquartet.evals.comparison import METHOD, compare, find_questions
from memquartet.evals.files import write_lines
from memquartet.evals.report import report as make_report
from memquartet.evals.runner import Concurrency
from memquartet.llm.budget import Budget
from memquartet.systems.posing import limited
from memquartet.systems.registry import system_names
from memquartet.text.chunking import ChunkSize


@click.group(name="eval")
def command() -> None:
    """Run benchmarks over memory systems, compare them, and write reports.

    A run is a folder. It can be interrupted at any time, also by SIGKILL: the same command goes on where it stopped and
    pays for no model call twice.
    """


@command.command(
    "run",
    cls=Command,
    examples=[
        "memquartet eval run --benchmark locomo --system quartet --system rag_bm25 --out runs/locomo",
        "memquartet eval run --benchmark memoryagentbench:factconsolidation_sh_6k --data CR.parquet --system mem0",
        "memquartet eval run --benchmark my.jsonl --system rag_bm25 --set rag_bm25.top_k=5 --max-tokens 100000",
    ],
)
@click.option(
    "--benchmark",
    required=True,
    metavar="NAME[:PART]",
    help="A published benchmark (locomo, longmemeval:oracle, memoryagentbench:SOURCE, memorybench:NAME), or a file.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="The benchmark's file or folder on this machine; by default it is fetched.",
)
@click.option(
    "--scorer",
    type=click.Choice([one.value for one in Scorer]),
    default=Scorer.OFFICIAL.value,
    show_default=True,
    help="Whose rules score where the official code defeats its own task.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    default=("quartet",),
    show_default=True,
    metavar="NAME",
    help="What is evaluated; may be given again. `memquartet eval systems` lists them.",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="SYSTEM.KEY=VALUE",
    help="A system's setting; may be given again.",
)
@click.option("--judge", metavar="SPEC", help="Model that judges answers, where the benchmark wants one.")
@click.option(
    "--critic",
    metavar="SPEC",
    help="MemoryBench: model that judges WritingBench in the judge's place, as the official 7B critic does.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run's folder; by default runs/ and the benchmark's name.",
)
@click.option("--sample", "names", multiple=True, metavar="ID", help="Only this sample; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many samples.")
@click.option("--questions", type=click.IntRange(min=1), help="At most so many questions of each sample.")
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=16),
    help="Tokens read in one go; by default what the benchmark prescribes, else 512.",
)
@click.option(
    "--context-tokens",
    type=click.IntRange(min=16),
    help="Tokens of memory or text that the answerer sees at most; by default 3072. The same for all systems.",
)
@click.option(
    "--answer-tokens",
    type=click.IntRange(min=1),
    help="Tokens of a reply at most; by default what the benchmark allows (MemoryBench: up to 16,384).",
)
@click.option(
    "--memorize/--bare",
    default=True,
    show_default=True,
    help="Hand MemoryAgentBench's chunks over in the words of its memorize templates, or as they are.",
)
@click.option(
    "--protocol",
    type=click.Choice([one.value for one in Order]),
    default=Order.OFF_POLICY.value,
    show_default=True,
    help="MemoryBench: what is read, talked about and asked, and when.",
)
@click.option(
    "--simulator", metavar="SPEC", help="MemoryBench on policy: the model that plays the user in dialogues."
)
@click.option(
    "--dialogues",
    default=DEFAULTS.dialogues,
    show_default=True,
    help="MemoryBench: whose recorded dialogues are read where a data set has some of each memory system.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=DEFAULTS.batch,
    show_default=True,
    help="MemoryBench: dialogues of a step.",
)
@click.option("--max-tokens", type=click.IntRange(min=1), help="Budget: prompt and output tokens.")
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Budget: wall time.")
@click.option("--max-questions", type=click.IntRange(min=1), help="Budget: questions asked in this call.")
@click.option("--samples-at-once", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--questions-at-once", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--calls-at-once",
    type=click.IntRange(min=1),
    help="Calls to the model in flight; by default 16 to a server, 4 in this process.",
)
@embedder_option
@model_option
@seed_option
@screen_options
def run(
    *,
    screen: Screen,
    benchmark: str,
    data: Path | None,
    scorer: str,
    systems: Sequence[str],
    given: Sequence[str],
    judge: str | None,
    critic: str | None,
    out: Path | None,
    names: Sequence[str],
    limit: int | None,
    questions: int | None,
    chunk_tokens: int | None,
    context_tokens: int | None,
    answer_tokens: int | None,
    memorize: bool,
    protocol: str,
    simulator: str | None,
    dialogues: str,
    batch: int,
    max_tokens: int | None,
    max_seconds: float | None,
    max_questions: int | None,
    samples_at_once: int,
    questions_at_once: int,
    calls_at_once: int | None,
    embedder: str,
    model: str,
    seed: int,
) -> None:
    """Let systems read a benchmark and answer its questions, and score them by its own rules.

    All systems share one model, one answerer and one budget of context. Transcripts of every call, a line for each
    question and results.json go to --out; more systems may join the folder later. What a budget leaves open is asked
    by the next call with a larger one.
    """
    settings = _settings(given, systems)
    size = ChunkSize(tokens=chunk_tokens) if chunk_tokens else None
    options = Options(
        data=data,
        size=size,
        scorer=Scorer(scorer),
        memorize=memorize,
        protocol=Order(protocol),
        dialogues=dialogues,
        batch=batch,
    )
    samples = _load(benchmark, options, answer_tokens)
    if names and options.protocol is Order.ON_POLICY:
        raise ConfigError(
            "on policy a step needs the dialogues of those before it: use --limit, not --sample"
        )
    plan = Plan(
        samples=chosen_samples(samples, names, limit, questions),
        systems=list(dict.fromkeys(systems)),
        model=model,
        embedder=embedder,
        out=out or Path("runs") / _folder_name(benchmark),
        seed=seed,
        config={
            "benchmark": benchmark,
            "revision": _revision(benchmark, options),
            "data": data.name if data else None,
            "scorer": scorer,
            "judge": judge,
            "model": model,
            "embedder": embedder,
            "chunk_tokens": chunk_tokens,
            "answer_tokens": answer_tokens,
            **({"memorize": memorize} if benchmark.startswith("memoryagentbench") else {}),
            **_protocol(benchmark, options, simulator, critic),
            "questions": questions,
        },
        settings=settings,
        context_tokens=context_tokens,
        judge=judge,
        critic=critic,
        simulator=simulator,
        answer_tokens=answer_tokens,
        size=size or ChunkSize(),
        calls_at_once=calls_at_once,
        concurrency=Concurrency(samples=samples_at_once, questions=questions_at_once),
        budget=Budget(tokens=max_tokens, seconds=max_seconds, questions=max_questions),
    )
    carry_out(plan, screen)


@command.command(
    "compare",
    cls=Command,
    examples=[
        "memquartet eval compare runs/locomo:rag_bm25 runs/locomo:quartet",
        "memquartet eval compare runs/locomo:rag_bm25 runs/locomo:quartet --sample conv-30",
        "memquartet eval compare runs/before runs/after --json",
    ],
)
@click.argument("a")
@click.argument("b")
@click.option(
    "--sample",
    "samples",
    multiple=True,
    metavar="ID",
    help="Only the questions of this sample; may be given again.",
)
@seed_option
@screen_options
def compare_command(*, screen: Screen, a: str, b: str, samples: Sequence[str], seed: int) -> None:
    """Compare two systems on the questions that both answered: how much better is B than A?

    A and B are run folders, with :SYSTEM where a folder has several. The interval is a paired bootstrap, p a two-sided
    sign-flip permutation test; questions that one of them lacks are counted and left out.
    """
    (name_a, rows_a), (name_b, rows_b) = find_questions(a), find_questions(b)
    known = {row.sample_id for row in (*rows_a, *rows_b)}
    if unknown := [one for one in samples if one not in known]:
        raise ConfigError(
            f"no sample {unknown[0]!r} in these runs: they have {', '.join(sorted(known)[:10])}"
        )
    if samples:
        rows_a, rows_b = ([row for row in rows if row.sample_id in samples] for rows in (rows_a, rows_b))
    # Two runs of one system are told apart by what was typed.
    names = (a, b) if name_a == name_b else (name_a, name_b)
    found = compare(rows_a, rows_b, name_a=names[0], name_b=names[1], seed=seed)
    if screen.as_json:
        screen.json(found.as_json())
        return
    screen.table(
        ["CATEGORY", "N", names[0], names[1], "DIFFERENCE", "p"],
        [
            [
                one.category,
                str(one.n),
                _points(one.mean_a),
                _points(one.mean_b),
                _difference(one.difference, one.low, one.high),
                "—" if one.p is None else f"{one.p:.4f}",
            ]
            for one in found.categories
        ],
        right=["N", names[0], names[1]],
    )
    screen.say(f"difference of {names[1]} to {names[0]} in points; {METHOD}")
    if found.unpaired or found.unscored:
        screen.say(f"left out: {found.unpaired} questions of one run only, {found.unscored} without a score")


@command.command(
    "report",
    cls=Command,
    examples=["memquartet eval report runs/locomo runs/longmemeval --out report.html"],
)
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page.",
)
@screen_options
def report_command(*, screen: Screen, folders: Sequence[Path], out: Path) -> None:
    """Write one HTML page about runs: tables, intervals, costs, and the questions that systems disagree on.

    FOLDERS are runs; those of the same data stand side by side, and the first system is the one that the others are
    compared with. The page is one file without scripts, to be sent and opened anywhere.
    """
    write_lines(out, [make_report(folders)])
    screen.answer({"report": str(out)}, f"wrote {out}")


@command.command("systems", cls=Command, examples=["memquartet eval systems --json"])
@screen_options
def systems_command(*, screen: Screen) -> None:
    """List the systems: ours, the baselines, and those of installed packages."""
    names = system_names()
    screen.answer({"systems": names}, "\n".join(names))


def _protocol(
    benchmark: str, options: Options, simulator: str | None, critic: str | None
) -> dict[str, object]:
    """What makes a run of MemoryBench another run.

    Raises:
        ConfigError: a protocol of MemoryBench for another benchmark.
    """
    if benchmark.partition(":")[0] != "memorybench":
        if options.protocol is not Order.OFF_POLICY or simulator or critic:
            raise ConfigError(
                f"--protocol, --simulator and --critic go with memorybench:NAME, given {benchmark!r}"
            )
        return {}
    return {
        "protocol": options.protocol.value,
        "simulator": simulator,
        "critic": critic,
        "dialogues": options.dialogues,
        "batch": options.batch,
    }


def _revision(benchmark: str, options: Options) -> str | None:
    published = benchmark.partition(":")[0] in benchmark_names()
    return revision_of(benchmark, options) if published else None


def _load(benchmark: str, options: Options, answer_tokens: int | None) -> list[Sample]:
    """A published benchmark by name, or a file; with replies of at most so many tokens."""
    if benchmark.partition(":")[0] in benchmark_names():
        samples = load_benchmark(benchmark, options)
    elif options.data is not None:
        raise ConfigError(
            f"--data goes with a benchmark's name ({', '.join(benchmark_names())}), given {benchmark!r}"
        )
    else:
        samples = load_dataset(benchmark, size=options.size)
    return [limited(sample, answer_tokens) for sample in samples] if answer_tokens else samples


def _settings(given: Sequence[str], systems: Sequence[str]) -> Settings:
    settings: dict[str, dict[str, str]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        system, dot, name = key.partition(".")
        if not (equals and dot and name) or system not in systems:
            raise ConfigError(
                f"no setting {text!r}: expected SYSTEM.KEY=VALUE with a system of this run ({', '.join(systems)})"
            )
        settings.setdefault(system, {})[name] = value
    return settings


def _folder_name(benchmark: str) -> str:
    return Path(benchmark).stem.replace(":", "-").replace("*", "")


def _points(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f}"


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "—"
    bounds = "" if low is None or high is None else f"  [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * value:+.1f}{bounds}"
