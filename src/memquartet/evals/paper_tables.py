"""Scores as the benchmarks' own papers print them: MemoryAgentBench's columns, MemoryBench's summaries and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from memquartet.benchmarks.memorybench.catalogue import names_of
from memquartet.benchmarks.memorybench.protocols import step_of
from memquartet.errors import ConfigError
from memquartet.evals.charts import percent
from memquartet.evals.results import QuestionResult
from memquartet.scoring.mab_table import mab_table
from memquartet.scoring.memorybench_summary import memorybench_summary

Rows = Mapping[str, Sequence[QuestionResult]]
"""The questions of each system, by its label."""
Kind = Literal["domain", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """A table of plain texts; the first cell of a row is the system's label."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def paper_tables(benchmark: str, systems: Rows) -> list[PaperTable]:
    """The tables that a benchmark's paper prints, where the run has what they need.

    Args:
        benchmark: as it was named, e.g. "memoryagentbench" or "memorybench:Legal".
        systems: what was run.
    """
    found = [_steps(systems), _memoryagentbench(systems)]
    name, _, part = benchmark.partition(":")
    if name == "memorybench":
        found += [_memorybench(kind, part, systems) for kind in get_args(Kind)]
    return [table for table in found if table]


def _memoryagentbench(systems: Rows) -> PaperTable | None:
    tables = {
        label: mab_table({name: _mean(values) for name, values in _scores(rows).items()})
        for label, rows in systems.items()
    }
    columns = [
        column
        for column in next(iter(tables.values())).cells
        if any(table.cells[column] is not None for table in tables.values())
    ]
    if not columns:
        return None
    return PaperTable(
        title="As in MemoryAgentBench's Table 3",
        caption="Columns and group means of the paper; a column is there when all its sources were run.",
        head=["system", *columns],
        rows=[
            [label, *(percent(table.cells[column]) for column in columns)] for label, table in tables.items()
        ],
    )


def _memorybench(kind: Kind, group: str, systems: Rows) -> PaperTable | None:
    """Average, weighted average and z-score of the last step that was asked."""
    try:
        names_of(kind, group)
        summaries = {
            label: memorybench_summary(kind, group, _scores(_last_step(rows)))
            for label, rows in systems.items()
        }
    except ConfigError:
        # A single data set, or one that does not belong to the group, has no such summary.
        return None
    missing = sorted({name for summary in summaries.values() for name in summary.missing})
    rest = f" Not there, so that nothing can be summed up: {', '.join(missing)}." if missing else ""
    return PaperTable(
        title=f"As in MemoryBench's table of {group}",
        caption=f"Min-max scaled by the frozen constants, not in percent.{rest}",
        head=["system", "average", "weighted average", "z-score", "unscored"],
        rows=[
            [
                label,
                *map(_plain, (summary.average, summary.weighted_average, summary.z_score)),
                str(summary.unscored),
            ]
            for label, summary in summaries.items()
        ],
    )


def _steps(systems: Rows) -> PaperTable | None:
    """The mean score after each step."""
    by_step = {label: _by_step(rows) for label, rows in systems.items()}
    numbers = sorted({number for steps in by_step.values() for number in steps})
    if not numbers:
        return None
    return PaperTable(
        title="By step",
        caption="Mean score in percent after each step of reading or talking, over all data sets.",
        head=["system", *(f"step {number}" for number in numbers)],
        rows=[
            [
                label,
                *(percent(_mean([row.score for row in steps.get(number, ())])) for number in numbers),
            ]
            for label, steps in by_step.items()
        ],
    )


def _by_step(rows: Sequence[QuestionResult]) -> dict[int, list[QuestionResult]]:
    steps: dict[int, list[QuestionResult]] = defaultdict(list)
    for row in rows:
        number = step_of(row.sample_id)
        if number is not None:
            steps[number].append(row)
    return steps


def _last_step(rows: Sequence[QuestionResult]) -> Sequence[QuestionResult]:
    steps = _by_step(rows)
    return steps[max(steps)] if steps else rows


def _scores(rows: Sequence[QuestionResult]) -> dict[str, list[float | None]]:
    scores: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        scores[row.category].append(row.score)
    return scores


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _plain(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
