"""What `run` and `eval run` do: evaluate with progress, print the scores, and say what is missing."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.progress import TaskID

from memquartet.cli.command import INTERRUPTED
from memquartet.cli.screen import Screen
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError, WorldError
from memquartet.evals.judging import ModelJudge
from memquartet.evals.on_policy import OnPolicy, talks
from memquartet.evals.quality_table import quality_rows
from memquartet.evals.results import OVERALL, SystemResult
from memquartet.evals.runner import Concurrency, evaluate, missing_samples
from memquartet.evals.scores import by_metric, judged_by
from memquartet.llm.budget import Budget, BudgetedModel
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.llm.protocols import ChatModel
from memquartet.llm.specs import make_model
from memquartet.memory.embedders import make_embedder
from memquartet.memory.protocols import Embedder
from memquartet.scoring.registry import score
from memquartet.scoring.summary import Summary
from memquartet.systems.living import settings_of
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.registry import make_system
from memquartet.text.chunking import ChunkSize

CALLS = "calls.db"
"""The cache of model calls in a run's folder."""

Settings = Mapping[str, Mapping[str, str]]
"""Settings by system and name, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is evaluated: see the options of `memquartet eval run`."""

    samples: Sequence[Sample]
    systems: Sequence[str]
    model: str
    embedder: str
    out: Path
    seed: int
    config: Mapping[str, object]
    settings: Settings = field(default_factory=dict)
    context_tokens: int | None = None
    judge: str | None = None
    critic: str | None = None
    simulator: str | None = None
    answer_tokens: int | None = None
    size: ChunkSize = field(default_factory=ChunkSize)
    calls_at_once: int | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    budget: Budget = field(default_factory=Budget)


def carry_out(plan: Plan, screen: Screen) -> None:
    """Evaluate and print the scores.

    Raises:
        ConfigError: something in the plan cannot work; nothing was asked.
        WorldError: questions are without an answer or a verdict; the folder keeps the rest.
        SystemExit: interrupted.
    """
    _check_simulator(plan)
    if not plan.judge:
        _check_metrics(plan.samples)
        _warn_of_judges(plan.samples, screen)
    try:
        results = asyncio.run(_evaluate(plan, screen))
    except KeyboardInterrupt:
        screen.warn(
            f"Interrupted. Finished samples and model calls are kept in {plan.out};"
            " run the same command again to go on."
        )
        raise SystemExit(INTERRUPTED) from None
    if screen.as_json:
        screen.json(
            {
                "out": str(plan.out),
                "seed": plan.seed,
                "config": dict(plan.config),
                "results": [result.as_json() for result in results],
            }
        )
    else:
        show_results(results, screen)
        screen.say(f"transcripts and results.json are in {plan.out}")
    _complain_of_unscored(results, plan.out)


async def _evaluate(plan: Plan, screen: Screen) -> list[SystemResult]:
    """Make models and systems, and evaluate with a bar for each system over its chunks and questions."""
    chat = make_model(plan.model, parallel=plan.calls_at_once)
    judge = make_model(plan.judge, parallel=plan.calls_at_once) if plan.judge else None
    critic = make_model(plan.critic, parallel=plan.calls_at_once) if plan.critic else None
    user = make_model(plan.simulator, parallel=plan.calls_at_once) if plan.simulator else None
    embedder = make_embedder(plan.embedder)
    try:
        with CallCache(plan.out / CALLS) as kept, screen.progress() as bar:
            model = CachedModel(BudgetedModel(chat, plan.budget), kept)
            systems = [_system(name, plan, model, embedder) for name in plan.systems]
            tasks: dict[str, TaskID] = {}
            for system in systems:
                missing = missing_samples(plan.samples, system.name, plan.out)
                chunks = system.name != "no_memory"
                total = sum(
                    len(s.questions) + (len(s.chunks) if chunks else 0) + len(talks(s)) for s in missing
                )
                tasks[system.name] = bar.add_task(system.name, total=total)
            return await evaluate(
                plan.samples,
                systems,
                out=plan.out,
                seed=plan.seed,
                config=plan.config,
                command=shlex.join(["memquartet", *sys.argv[1:]]),
                concurrency=plan.concurrency,
                budget=plan.budget,
                score_answer=judged_by(
                    ModelJudge(model=CachedModel(judge, kept)),
                    critic=ModelJudge(model=CachedModel(critic, kept)) if critic else None,
                )
                if judge
                else by_metric,
                on_policy=OnPolicy(
                    user=CachedModel(BudgetedModel(user, plan.budget), kept) if user else model,
                    size=plan.size,
                    answer_tokens=plan.answer_tokens,
                    at_once=plan.concurrency.questions,
                )
                if any(map(talks, plan.samples))
                else None,
                on_progress=lambda system, _unit: bar.advance(tasks[system]),
            )
    finally:
        for one in (chat, judge, critic, user):
            if one:
                await one.aclose()


def _system(name: str, plan: Plan, model: ChatModel, embedder: Embedder) -> MemorySystem:
    """A system with its settings; the plan's context goes to those that have one and are told nothing else."""
    given = plan.settings.get(name, {})
    system = make_system(name, model, embedder=embedder, settings=given)
    if (
        plan.context_tokens is None
        or "context_tokens" in given
        or "context_tokens" not in settings_of(system)
    ):
        return system
    with_context = {**given, "context_tokens": plan.context_tokens}
    return make_system(name, model, embedder=embedder, settings=with_context)


def chosen_samples(
    samples: Sequence[Sample], names: Sequence[str], limit: int | None, questions: int | None
) -> list[Sample]:
    """The named samples, or the first of all, with so many questions of each.

    Raises:
        ConfigError: an unknown name, or nothing is asked.
    """
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
    measured = [result for result in results if result.memory]
    rows = quality_rows([result.memory.as_json() for result in measured if result.memory])
    if rows:
        screen.table(
            ["MEMORY", *(result.system.upper() for result in measured)],
            [[label, *cells] for label, cells in rows],
        )


def _cell(summary: Summary) -> str:
    unscored = f", {summary.unscored} unscored" if summary.unscored else ""
    if summary.mean is None:
        return f"—{unscored}"
    if summary.low is None or summary.high is None:
        return f"{100 * summary.mean:5.1f}{unscored}"
    return f"{100 * summary.mean:5.1f}  [{100 * summary.low:.1f}, {100 * summary.high:.1f}]{unscored}"


def _complain_of_unscored(results: Sequence[SystemResult], out: Path) -> None:
    """End with an error where a question has no score, so that a script cannot take the table for whole.

    Raises:
        WorldError: what is missing, and how to get it.
    """
    rows = [row for result in results for row in result.questions]
    unanswered = [row for row in rows if row.answer is None]
    if unanswered:
        reason = next((row.problem for row in unanswered if row.problem != "not asked"), "not asked")
        raise WorldError(
            f"{len(unanswered)} questions have no answer ({reason[:300]}). What was finished is kept in {out}:"
            " run the same command again, it goes on with what is missing"
        )
    if undecided := sum(row.score is None for row in rows):
        raise WorldError(
            f"{undecided} answers have no verdict of the judge (see `problem` in the .questions.jsonl files in {out})"
        )


def _check_simulator(plan: Plan) -> None:
    """Refuse dialogues that nobody could take part in.

    Raises:
        ConfigError: a data set needs a model as its user, and none is given.
    """
    named = {task.dataset for sample in plan.samples for task in talks(sample)}
    if not plan.simulator and (unscored := sorted(one for one in named if not one.startswith("Locomo"))):
        raise ConfigError(
            f"on policy a model plays the user of {', '.join(unscored[:5])}: name one by --simulator SPEC"
        )


def _check_metrics(samples: Sequence[Sample]) -> None:
    """Score a reply to the first question of each metric, so that one that cannot work fails before any model is asked."""
    for sample in {sample.metric: sample for sample in samples if sample.questions}.values():
        score(sample.metric, "anything", sample.questions[0])


def _warn_of_judges(samples: Sequence[Sample], screen: Screen) -> None:
    judged = sorted({sample.source for sample in samples if sample.extra.get("judge")})
    if judged:
        screen.warn(
            f"{', '.join(judged[:5])}: scored by its text metric here; numbers published with a judge model"
            " compare only with --judge SPEC"
        )
