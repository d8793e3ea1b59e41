"""The retrieval benchmarks as bars with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("agg")
COLOURS = {"bm25": "#4c72b0", "embedding": "#dd8452", "hybrid": "#55a868"}
Group = tuple[str, Mapping[str, Mapping[str, float]]]
"""A label under the axis, and a summary for each method."""


def draw(report: Mapping[str, Any], path: Path) -> None:  # Any: the report's rows
    """Write a PNG: LoCoMo by cut, LongMemEval by level, newest facts by kind of memory."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    _bars(left, "LoCoMo: recall of evidence turns", _by_cut(report.get("locomo", ())))
    _bars(
        middle,
        "LongMemEval, pooled: all evidence found",
        [
            (f"{level}s @{k}", _by_method(rows, f"recall_all@{k}"))
            for level in ("turn", "session")
            for k in (5, 10)
            if (
                rows := [
                    r
                    for r in report.get("longmemeval", ())
                    if (r["haystack"], r["level"]) == ("pooled", level)
                ]
            )
        ],
    )
    _bars(
        right,
        "FactConsolidation 6k: newest fact first",
        [
            (kind, _by_method(rows, "newest@1"))
            for kind in ("append", "maintained")
            if (
                rows := [
                    r
                    for r in report.get("conflicts", ())
                    if (r["record"], r["memory"]) == ("factconsolidation_sh_6k", kind)
                ]
            )
        ],
    )
    left.set_ylabel("share of questions, 95 % interval")
    left.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _by_cut(rows: Sequence[Mapping[str, Any]]) -> list[Group]:
    return [(f"@{k}", _by_method(rows, f"recall@{k}")) for k in (1, 5, 10)] if rows else []


def _by_method(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, Mapping[str, float]]:
    return {row["method"]: row[column] for row in rows if row["method"] in COLOURS}


def _bars(axes: Axes, title: str, groups: Sequence[Group]) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_ylim(0, 1.05)
    axes.set_xticks(range(len(groups)), [label for label, _ in groups])
    width = 0.8 / len(COLOURS)
    for place, (method, colour) in enumerate(COLOURS.items()):
        found = [(x, values[method]) for x, (_, values) in enumerate(groups) if method in values]
        axes.bar(
            [x + (place - 1) * width for x, _ in found],
            [one["mean"] for _, one in found],
            width,
            yerr=[
                [one["mean"] - one["low"] for _, one in found],
                [one["high"] - one["mean"] for _, one in found],
            ],
            color=colour,
            label=method,
            capsize=2,
        )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
