r"""What teaching brings: one model's row of the results table, with the memory's quality, costs and intervals.

    python benchmarks/teaching.py run --label untaught --model local:smollm2-135m --out runs/untaught
    python benchmarks/teaching.py run --label sft --prompts short --out runs/sft \
        --model openai:NAME@http://localhost:8000/v1 --parallel 128 --device "1 x H200"
    python benchmarks/teaching.py sets --out sets
    python benchmarks/teaching.py merge runs/untaught/teaching.json runs/sft/teaching.json --out docs/results/taught

Sets: generated validation worlds (`--episodes` of every kind for each of `--seeds`), FactConsolidation 6k single- and
multi-hop, LoCoMo's conv-30, LongMemEval's development questions (files under --data). Rows: the four agents asking
once (`quartet`), with further searches (`quartet_search`) and with these but without the text's own lines
(`quartet_facts`), and with the same model and answerer `no_memory`,
`full_context`, `rag_bm25`, over the raw text and over the text with the dates that the four agents read
(`rag_bm25_dates`); `oracle` and `oracle_search` where the truth is known.

`run` writes OUT/teaching.json, OUT/teaching.md and plots, and below OUT/SET/ROW what `memquartet eval run` writes.
Run again, it goes on where it stopped: answers are kept, and so is every model call, by the model's *name*. So give every
checkpoint an --out of its own. `merge` puts several models' files into one page.

`sets` writes the published sets as sample files; with these under --data `run` needs neither the originals nor the
packages that cut them (extra `eval`; LoCoMo's scorer needs `score`), as on a machine without network.

MemoryAgentBench hands text over in pieces of 512 tokens, about 35 facts; a small extractor works on a few. --window cuts
the pieces of the published sets for `quartet` (128 tokens are about 7 facts); the worlds' chunks stay as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from teaching_page import write_page
from teaching_pairs import between, within

from memquartet import __version__
from memquartet.agents.prompt_sets import SHIPPED, prompt_set
from memquartet.agents.team import Team
from memquartet.benchmarks.dataset import save_samples
from memquartet.benchmarks.named import Options, load_benchmark
from memquartet.benchmarks.registry import load_dataset
from memquartet.benchmarks.worlds.catalog import WorldKind, named_world
from memquartet.benchmarks.worlds.truth import TRUTH
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError, MemquartetError
from memquartet.evals.files import read_json, write_json
from memquartet.evals.runner import Concurrency, evaluate
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.llm.protocols import ChatModel
from memquartet.llm.specs import make_model
from memquartet.memory.embedders import make_embedder
from memquartet.memory.protocols import Embedder
from memquartet.systems.registry import make_system

DATA = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
FORMAT = "memquartet.teaching/1"
LOCAL_PARALLEL, SERVER_PARALLEL = 4, 128
NAMED_PACKAGES = ("xllamacpp", "openai", "numpy")

Load = Callable[[Path], list[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table: a system with its settings. `needs_truth` are those that read generated worlds only."""

    system: str
    settings: Mapping[str, object]
    needs_truth: bool = False


def rows(searches: int) -> dict[str, Row]:
    """Every row by name; `searches` is what those that search again may do."""
    once, again = {"max_searches": 0}, {"max_searches": searches}
    return {
        "quartet": Row(system="quartet", settings=once),
        "quartet_search": Row(system="quartet", settings=again),
        "quartet_facts": Row(system="quartet", settings={**again, "line_top_k": 0}),
        "no_memory": Row(system="no_memory", settings={}),
        "full_context": Row(system="full_context", settings={}),
        "rag_bm25": Row(system="rag_bm25", settings={}),
        "rag_bm25_dates": Row(system="rag_bm25", settings={"dates": True}),
        "oracle": Row(system="oracle", settings=once, needs_truth=True),
        "oracle_search": Row(system="oracle", settings=again, needs_truth=True),
    }


def sets(episodes: int, seeds: Sequence[int]) -> dict[str, Load]:
    """Every set by name, as a function of the folder with the published data."""
    found: dict[str, Load] = {f"world-{kind}": partial(_world, kind, episodes, seeds) for kind in WorldKind}
    return {**found, **{name: partial(_published, name) for name in PUBLISHED}}


def _published(name: str, data: Path) -> list[Sample]:
    """A published set: out of a sample file that `sets` wrote, else out of its original."""
    written = data / f"{name}.jsonl"
    return load_dataset(written) if written.exists() else PUBLISHED[name](data)


def _world(kind: WorldKind, episodes: int, seeds: Sequence[int], _data: Path) -> list[Sample]:
    return [one for seed in seeds for one in named_world(f"world:{kind}?seed={seed}&n={episodes}")]


def _fact_consolidation(source: str, data: Path) -> list[Sample]:
    path = data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz"
    return load_benchmark(f"memoryagentbench:{source}", Options(data=path))


def _locomo(data: Path) -> list[Sample]:
    samples = load_benchmark("locomo", Options(data=data / "locomo" / "locomo_dev2.json"))
    return [sample for sample in samples if sample.sample_id == "conv-30"]


def _longmemeval(data: Path) -> list[Sample]:
    path = data / "longmemeval" / "longmemeval_oracle_dev60.jsonl.gz"
    return load_benchmark("longmemeval:oracle", Options(data=path))


PUBLISHED: Mapping[str, Load] = {
    "fc-sh-6k": partial(_fact_consolidation, "factconsolidation_sh_6k"),
    "fc-mh-6k": partial(_fact_consolidation, "factconsolidation_mh_6k"),
    "locomo-conv-30": _locomo,
    "longmemeval-dev": _longmemeval,
}


def chosen(wanted: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The wanted names, each alone or by its beginning ("world", "fc"); all of them where none is wanted.

    Raises:
        ConfigError: a name that begins none of the known ones.
    """
    for name in wanted:
        if not any(one == name or one.startswith(f"{name}-") for one in known):
            raise ConfigError(f"no {what} {name!r}: use {', '.join(known)}, or the beginning of some")
    picked = (one for one in known if any(one == name or one.startswith(f"{name}-") for name in wanted))
    return list(picked) if wanted else list(known)


def taken(samples: Sequence[Sample], options: argparse.Namespace) -> list[Sample]:
    """The first samples and questions, with the questions in their benchmark's words or plainly."""
    given = [replace(one, questions=one.questions[: options.questions]) for one in samples[: options.limit]]
    if not options.plain_questions:
        return given
    # The source stays, by which the baselines know how the text is cut; the family is what words the questions.
    return [replace(one, extra={**one.extra, "family": None}) for one in given]


def team(model: ChatModel, options: argparse.Namespace) -> Team:
    """The four agents with the chosen prompts, and with or without a schema that forces their outputs."""
    prompts = prompt_set(options.prompts)
    plain = Team.of(model)
    agents = {
        role: replace(
            agent := getattr(plain, role),
            settings=replace(
                agent.settings,
                prompt=prompts.get(role),
                constrained=not options.unconstrained,
                max_attempts=options.attempts,
            ),
        )
        for role in Role
    }
    return Team(**{str(role): agent for role, agent in agents.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row over one set."""

    set_name: str
    row_name: str
    row: Row
    samples: Sequence[Sample]

    def settings(self, options: argparse.Namespace) -> dict[str, object]:
        """The row's settings; only published sets are read in windows."""
        given = dict(self.row.settings)
        if self.row.system == "quartet" and options.window and not self.set_name.startswith("world-"):
            given["window_tokens"] = options.window
        if self.row.system in ("full_context", "rag_bm25") and options.context_tokens:
            given["context_tokens"] = options.context_tokens
        if self.row.system in ("quartet", "oracle") and options.fact_top_k:
            given["fact_top_k"] = options.fact_top_k
        return given


async def work(
    job: Job, model: ChatModel, embedder: Embedder, options: argparse.Namespace, parallel: int
) -> dict[str, object]:
    """Evaluate one job; what it tells in the table."""
    started = time.perf_counter()
    system = make_system(
        job.row.system,
        model,
        embedder=embedder,
        team=team(model, options),
        settings=job.settings(options),
    )
    (result,) = await evaluate(
        job.samples,
        [system],
        out=options.out / job.set_name / job.row_name,
        seed=options.seed,
        config=_config(options),
        concurrency=Concurrency(samples=parallel, questions=parallel),
    )
    overall = result.scores["overall"]
    print(
        f"{job.set_name:<20} {job.row_name:<15} n={overall.n:<5}"
        f" {'—' if overall.mean is None else f'{100 * overall.mean:5.1f} %'}"
        f"  {time.perf_counter() - started:6.1f} s",
        flush=True,
    )
    return {
        "set": job.set_name,
        "row": job.row_name,
        "samples": len(job.samples),
        "metric": sorted({sample.metric for sample in job.samples}),
        **result.as_json(),
    }


async def run(options: argparse.Namespace) -> None:
    """Evaluate everything that was chosen, write the results after each job."""
    local = options.model.startswith("local:")
    parallel = options.parallel or (LOCAL_PARALLEL if local else SERVER_PARALLEL)
    at_once = asyncio.Semaphore(options.jobs or (1 if local else 64))
    jobs = _jobs(options)
    embedder = make_embedder(options.embedder)
    chat = make_model(options.model, parallel=parallel)
    path = options.out / "teaching.json"
    options.prompts = options.prompts or chat.prompts or SHIPPED
    told: dict[str, object] = {"format": FORMAT, **_about(options, parallel)}
    kept = _kept(path, told)
    started = time.perf_counter()

    async def one(job: Job, model: ChatModel) -> None:
        async with at_once:
            kept[job.set_name, job.row_name] = await work(job, model, embedder, options, parallel)
            told["seconds"] = round(time.perf_counter() - started, 1)
            write_json(path, {**told, "results": list(kept.values())})

    try:
        with CallCache(options.out / "calls.db") as calls:
            model = CachedModel(chat, calls)
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(one(job, model))
    except* MemquartetError as errors:
        raise errors.exceptions[0] from None
    finally:
        await chat.aclose()
    told["paired"] = within(options.out)
    write_json(path, {**told, "results": list(kept.values())})
    write_page([read_json(path)], options.out / "teaching", command=_command())


def _jobs(options: argparse.Namespace) -> list[Job]:
    known = sets(options.episodes, options.seeds)
    lines = rows(options.searches)
    picked = chosen(options.rows, list(lines), "row")
    jobs = []
    for name in chosen(options.only, list(known), "set"):
        samples = taken(known[name](options.data), options)
        truth = all(TRUTH in sample.extra for sample in samples)
        jobs += [
            Job(set_name=name, row_name=row, row=lines[row], samples=samples)
            for row in picked
            if truth or not lines[row].needs_truth
        ]
    return jobs


def _kept(path: Path, told: Mapping[str, object]) -> dict[tuple[object, object], object]:
    """The results that an earlier run of the same model left, by set and row.

    Raises:
        ConfigError: the folder is another model's.
    """
    if not path.exists():
        return {}
    before = read_json(path)
    differing = [key for key in ("label", "config") if before.get(key) != told.get(key)]
    if differing:
        raise ConfigError(f"{path} has another {' and '.join(differing)}: choose another --out")
    results = before.get("results")
    return {(one["set"], one["row"]): one for one in results} if isinstance(results, list) else {}


def _config(options: argparse.Namespace) -> dict[str, object]:
    """What decides the answers and is not a system's own setting."""
    return {
        "model": options.model,
        "prompts": options.prompts,
        "embedder": options.embedder,
        "constrained": not options.unconstrained,
        "attempts": options.attempts,
        "plain_questions": options.plain_questions,
    }


def _about(options: argparse.Namespace, parallel: int) -> dict[str, object]:
    return {
        "label": options.label,
        "config": _config(options),
        "seed": options.seed,
        "world_seeds": list(options.seeds),
        "window_tokens": options.window,
        "searches": options.searches,
        "parallel": parallel,
        "device": options.device or f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "command": _command(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {
            "memquartet": __version__,
            "python": platform.python_version(),
            **{name: found for name in NAMED_PACKAGES if (found := _version(name))},
        },
    }


def _commit() -> str:
    """The short hash of the checkout, empty where there is none."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _command() -> str:
    return " ".join(["python benchmarks/teaching.py", *sys.argv[1:]])


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="evaluate one model")
    one.add_argument("--model", required=True, help="as for `memquartet eval run --model`")
    one.add_argument(
        "--label", required=True, help="the model's name in tables: untaught, SFT, SFT+RL role …"
    )
    one.add_argument("--out", type=Path, required=True, help="a folder of this model's own")
    one.add_argument("--data", type=Path, default=DATA)
    one.add_argument("--only", nargs="+", default=[], help="sets, by name or beginning (world, fc)")
    one.add_argument("--rows", nargs="+", default=[], help="rows, by name")
    one.add_argument("--limit", type=int, help="samples of each set")
    one.add_argument("--questions", type=int, help="questions of each sample")
    one.add_argument("--episodes", type=int, default=100, help="episodes of each kind of world and seed")
    one.add_argument("--seeds", type=int, nargs="+", default=[101], help="of the worlds")
    one.add_argument("--seed", type=int, default=0, help="of every episode")
    one.add_argument(
        "--prompts", help="shipped, short, or a folder with ROLE.md files (the model's own, else shipped)"
    )
    one.add_argument("--plain-questions", action="store_true", help="without a benchmark's own instructions")
    one.add_argument("--unconstrained", action="store_true", help="no JSON schema is sent with a request")
    one.add_argument("--attempts", type=int, default=2, help="calls for one task; 1 sends nothing back")
    one.add_argument("--searches", type=int, default=2, help="further searches of the rows that search")
    one.add_argument("--fact-top-k", type=int, help="memories shown with a fact")
    one.add_argument("--window", type=int, default=128, help="tokens an extraction, 0 for whole chunks")
    one.add_argument("--context-tokens", type=int, help="what full_context and rag_bm25 may show")
    one.add_argument("--embedder", default="static")
    one.add_argument("--parallel", type=int, help="model calls in flight (4 local, 128 server)")
    one.add_argument("--jobs", type=int, help="rows at once (1 local, 64 server)")
    one.add_argument("--device", default="", help="the machine in words")
    files = commands.add_parser("sets", help="write the published sets as sample files")
    files.add_argument("--data", type=Path, default=DATA)
    files.add_argument("--out", type=Path, required=True, help="a folder, for --data of `run`")
    several = commands.add_parser("merge", help="one page from several models' teaching.json")
    several.add_argument("files", type=Path, nargs="+")
    several.add_argument("--out", type=Path, required=True, help="the page without its suffix")
    return parser


def main() -> None:
    options = arguments().parse_args()
    try:
        if options.command == "run":
            asyncio.run(run(options))
        elif options.command == "sets":
            options.out.mkdir(parents=True, exist_ok=True)
            for name, load in PUBLISHED.items():
                save_samples(options.out / f"{name}.jsonl", load(options.data))
        else:
            told = [read_json(path) for path in options.files]
            across = between([path.parent for path in options.files], [str(one["label"]) for one in told])
            write_page(told, options.out, command=_command(), across=across)
    except (MemquartetError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "Interrupted: run the same command again to go on.")


if __name__ == "__main__":
    main()
