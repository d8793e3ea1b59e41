"""Curves over a run's steps as inline SVG. Colours come from the page's CSS: `.c0` to `.c7`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

COLOURS = 8
Series = Mapping[str, Sequence[tuple[int, float]]]
"""Points (step, value) by label, in the order of steps."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 210, 56, 30, 12, 12
_MARKED = 60
"""A curve of so many points at most shows them."""


def curve_chart(title: str, series: Series, *, note: str = "") -> str:
    """A figure with one curve for each label and a legend; empty where no label has a point."""
    shown = {label: points for label, points in series.items() if points}
    if not shown:
        return ""
    values = [value for points in shown.values() for _, value in points]
    axes = _Axes.over(_steps(shown), [*values, 0.0] if min(values) >= 0 else values)
    curves = (
        _curve([axes.place(*point) for point in points], points, at)
        for at, points in enumerate(shown.values())
    )
    return _figure(title, axes.drawn() + "".join(curves), shown, note)


def stacked_chart(title: str, series: Series, *, note: str = "") -> str:
    """A figure with one bar a step, made of what each label adds; values are not negative."""
    shown = {label: points for label, points in series.items() if any(value > 0 for _, value in points)}
    if not shown:
        return ""
    steps = sorted(set(_steps(shown)))
    by_step = {label: dict(points) for label, points in shown.items()}
    sums = [math.fsum(points.get(step, 0.0) for points in by_step.values()) for step in steps]
    # Half a step of room on each side, where the first and the last bar stand.
    gap = min((after - before for before, after in pairwise(steps)), default=1)
    axes = _Axes.over([steps[0] - gap / 2, steps[-1] + gap / 2], [0.0, *sums], marks=steps)
    bars = []
    for step in steps:
        below = 0.0
        left, right = axes.place(step - 0.42 * gap, 0.0)[0], axes.place(step + 0.42 * gap, 0.0)[0]
        for at, (label, points) in enumerate(by_step.items()):
            value = points.get(step, 0.0)
            top, bottom = axes.place(step, below + value)[1], axes.place(step, below)[1]
            below += value
            bars.append(
                f'<rect class="dot c{at % COLOURS}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}"'
                f' height="{bottom - top:.1f}"><title>step {step}, {escape(label)}: {number(value)}</title></rect>'
            )
    return _figure(title, axes.drawn() + "".join(bars), shown, note)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axes:
    """Where a step and a value stand in the picture; `marks` are the steps that are written below."""

    x: tuple[float, float]
    ticks: Sequence[float]
    marks: Sequence[int]

    @classmethod
    def over(cls, across: Sequence[float], up: Sequence[float], marks: Sequence[int] = ()) -> _Axes:
        low, high = _bounds(across)
        first, last = (marks[0], marks[-1]) if marks else (round(low), round(high))
        middle = round((first + last) / 2)
        return cls(
            x=(low, high), ticks=_ticks(*_bounds(up)), marks=list(dict.fromkeys((first, middle, last)))
        )

    def place(self, step: float, value: float) -> tuple[float, float]:
        low, high = self.x
        across = (step - low) / (high - low)
        up = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - _TOP),
        )

    def drawn(self) -> str:
        parts = []
        for value in self.ticks:
            _, y = self.place(self.x[0], value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
            )
            parts.append(_text(_LEFT - 6, y, number(value), "end"))
        for step in self.marks:
            x, _ = self.place(step, self.ticks[0])
            parts.append(_text(x, _HEIGHT - 12, f"{step:,.0f}", "middle"))
        return "".join(parts)


def _steps(series: Series) -> list[int]:
    return [step for points in series.values() for step, _ in points]


def _figure(title: str, drawn: str, shown: Series, note: str) -> str:
    told = "; ".join(
        f"{label}: {number(points[0][1])} at step {points[0][0]}, {number(points[-1][1])} at step {points[-1][0]}"
        for label, points in shown.items()
    )
    legend = "".join(
        f'<li><span class="key c{at % COLOURS}"></span>{escape(label)} <b>{number(points[-1][1])}</b></li>'
        for at, (label, points) in enumerate(shown.items())
    )
    below = f'<p class="soft">{escape(note)}</p>' if note else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"<title>{escape(title)}</title><desc>{escape(told)}</desc>{drawn}</svg>"
        f'<ul class="legend">{legend}</ul>{below}</figure>'
    )


def number(value: float) -> str:
    """Short: three significant digits, thousands apart, powers of ten where a plain number is long."""
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Where an axis begins and ends; a lone value stands in its middle."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers; the first is not above `low`, the last not below `high`."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= (high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [at * step for at in range(first, last + 1)]


def _curve(places: Sequence[tuple[float, float]], points: Sequence[tuple[int, float]], at: int) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'<polyline class="curve c{at % COLOURS}" points="{line}"/>'
    if len(points) > _MARKED:
        return drawn
    dots = (
        f'<circle class="dot c{at % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>step {step}: {number(value)}'
        "</title></circle>"
        for (x, y), (step, value) in zip(places, points, strict=True)
    )
    return drawn + "".join(dots)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}">{escape(text)}</text>'
