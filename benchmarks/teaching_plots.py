"""Bars with intervals of what `teaching.py` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from teaching_page import JUDGED, WORLDS, at, confusion_of, in_worlds, lines, set_names

from memquartet.evals.quality_table import MEASURES
from memquartet.evals.results import OVERALL

mpl.use("agg")
COLOURS = mpl.colormaps["tab20"].colors
# Any: parsed JSON of `teaching.py`.
Told = Mapping[str, Any]
NOT_COUNTED = ("evidence whose chunk was reached",)
"""What is no share of things that are either so or not, and cannot be put together from its means."""
Bar = tuple[str, Mapping[str, float | None] | None]


def draw(told: Sequence[Told], out: Path) -> list[str]:
    """Write OUT-scores.png, OUT-memory.png and OUT-decisions.png; the names of those that have something to show."""
    figures = {"scores": _scores(told), "memory": _memory(told), "decisions": _decisions(told)}
    written = []
    for name, figure in figures.items():
        if figure is not None:
            path = out.with_name(f"{out.name}-{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=110, bbox_inches="tight")
            written.append(path.name)
    return written


def _scores(told: Sequence[Told]) -> Figure | None:
    """A group of bars for the worlds together and for each published set."""
    held = lines(told)
    place = ("scores", OVERALL)
    groups: list[tuple[str, list[Bar]]] = [
        (WORLDS, [(f"{label} {row}".strip(), in_worlds(by_set, *place)) for label, row, by_set in held]),
        *(
            (name, [(f"{label} {row}".strip(), at(by_set.get(name), place)) for label, row, by_set in held])
            for name in set_names(told)
            if not name.startswith("world-")
        ),
    ]
    return _grouped(groups, "score, 95 % interval") if groups else None


def _memory(told: Sequence[Told]) -> Figure | None:
    """A group of bars for each measure, over all worlds together."""
    held = [(f"{label} {row}".strip(), by_set) for label, row, by_set in lines(told) if row in JUDGED]
    groups: list[tuple[str, list[Bar]]] = []
    for label, place in MEASURES.items():
        if label in NOT_COUNTED:
            continue
        bars: list[Bar] = [(name, in_worlds(by_set, "memory", *place)) for name, by_set in held]
        if any(summary for _, summary in bars):
            groups.append((label, bars))
    return _grouped(groups, "share, 95 % interval") if groups else None


def _grouped(groups: Sequence[tuple[str, Sequence[Bar]]], label: str) -> Figure:
    names = [name for name, _ in groups[0][1]]
    figure = Figure(
        figsize=(min(16.0, max(7.0, 0.2 * len(groups) * (len(names) + 2))), 5), layout="constrained"
    )
    axes = figure.subplots()
    width = 0.85 / max(1, len(names))
    for number, name in enumerate(names):
        for place, (_, bars) in enumerate(groups):
            _bar(axes, place + (number - (len(names) - 1) / 2) * width, width, bars[number][1], number)
        axes.bar(0, 0, 0, color=COLOURS[number % len(COLOURS)], label=name)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups], rotation=20, ha="right")
    axes.set_ylim(0, 1)
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _bar(
    axes: Axes, at: float, width: float, summary: Mapping[str, float | None] | None, number: int
) -> None:
    if not summary or summary.get("mean") is None:
        return
    mean, low, high = (summary.get(key) for key in ("mean", "low", "high"))
    around = None if low is None or high is None else [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    axes.bar(at, mean, width, yerr=around, color=COLOURS[number % len(COLOURS)], ecolor="#333", capsize=2)


def _decisions(told: Sequence[Told]) -> Figure | None:
    """What should have been against what was, a panel a model, shaded by the share of the row."""
    panels = [(one["label"], matrix) for one in told if (matrix := confusion_of(one, JUDGED[0]))]
    if not panels:
        return None
    figure = Figure(figsize=(4.6 * len(panels), 4.2), layout="constrained")
    for axes, (label, matrix) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        columns = list(next(iter(matrix.values())))
        shares = [[made[name] / max(1, sum(made.values())) for name in columns] for made in matrix.values()]
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for row, made in enumerate(matrix.values()):
            for column, name in enumerate(columns):
                dark = shares[row][column] > 0.6
                axes.text(column, row, made[name], ha="center", va="center", color="w" if dark else "k")
        axes.set_xticks(range(len(columns)), columns, fontsize=8)
        axes.set_yticks(range(len(matrix)), list(matrix), fontsize=8)
        axes.set(title=label, xlabel="was", ylabel="should have been")
    return figure
