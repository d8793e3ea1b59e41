"""Charts as inline SVG: bars with intervals, and cost against score. Colours come from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from memquartet.scoring.summary import Summary

_BAR, _GAP, _LABEL, _WIDTH, _VALUE = 16, 8, 118, 180, 44
_PLOT_WIDTH, _PLOT_HEIGHT, _MARGIN = 620, 320, 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A system's cost (tokens a question, above 0) and score (with its interval)."""

    name: str
    cost: float
    summary: Summary


def bars(title: str, rows: Sequence[tuple[str, Summary]], *, top: float = 1.0) -> str:
    """Horizontal bars of means from 0 to `top`, with the interval as a line; a system without a score has none."""
    height = len(rows) * (_BAR + _GAP) + _GAP
    width = _LABEL + _WIDTH + _VALUE
    parts = []
    for place, (name, summary) in enumerate(rows):
        y = _GAP + place * (_BAR + _GAP)
        middle = y + _BAR / 2
        parts.append(_text(_LABEL - 8, middle, name, anchor="end"))
        parts.append(_line(_LABEL, middle, _LABEL + _WIDTH, middle, "grid"))
        if summary.mean is None:
            parts.append(_text(_LABEL + 6, middle, "no score"))
            continue
        length = _scaled(summary.mean, top)
        parts.append(f'<rect class="bar" x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>')
        if summary.low is not None and summary.high is not None:
            low, high = (_LABEL + _scaled(bound, top) for bound in (summary.low, summary.high))
            parts.append(_line(low, middle, high, middle, "whisker"))
            parts += [_line(x, middle - 4, x, middle + 4, "whisker") for x in (low, high)]
        parts.append(_text(_LABEL + _WIDTH + 6, middle, percent(summary.mean)))
    told = "; ".join(f"{name} {percent(summary.mean)}" for name, summary in rows)
    return _svg(width, height, title, told, parts)


def cost_against_score(title: str, points: Sequence[Point], *, top: float = 1.0) -> str:
    """Points over a logarithmic axis of tokens a question; points without a score or cost are left out."""
    shown = [point for point in points if point.summary.mean is not None and point.cost > 0]
    if not shown:
        return ""
    first = math.floor(math.log10(min(point.cost for point in shown)))
    last = max(first + 1, math.ceil(math.log10(max(point.cost for point in shown))))
    left, bottom = _MARGIN, _PLOT_HEIGHT - _MARGIN
    wide, high = _PLOT_WIDTH - _MARGIN - 120, _PLOT_HEIGHT - 2 * _MARGIN

    def x(cost: float) -> float:
        return left + wide * (math.log10(cost) - first) / (last - first)

    def y(score: float) -> float:
        return bottom - high * min(max(score / top, 0), 1)

    parts = []
    for power in range(first, last + 1):
        parts.append(_line(x(10**power), bottom, x(10**power), bottom - high, "grid"))
        parts.append(_text(x(10**power), bottom + 14, f"{10**power:,}", anchor="middle"))
    for step in range(5):
        score = top * step / 4
        parts.append(_line(left, y(score), left + wide, y(score), "grid"))
        parts.append(_text(left - 6, y(score), percent(score), anchor="end"))
    parts.append(_text(left + wide / 2, bottom + 34, "tokens a question, reading included", anchor="middle"))
    taken: list[tuple[float, float]] = []
    for point in sorted(shown, key=lambda one: -(one.summary.mean or 0)):
        place_x, place_y = x(point.cost), y(point.summary.mean or 0)
        if point.summary.low is not None and point.summary.high is not None:
            parts.append(_line(place_x, y(point.summary.low), place_x, y(point.summary.high), "whisker"))
        parts.append(f'<circle class="bar" cx="{place_x:.1f}" cy="{place_y:.1f}" r="5"/>')
        label_y = _free_place(place_x, place_y, taken, top=_MARGIN, bottom=bottom - 6)
        taken.append((place_x, label_y))
        parts.append(_text(place_x + 9, label_y, point.name))
    told = "; ".join(
        f"{point.name} {percent(point.summary.mean)} at {point.cost:,.0f} tokens" for point in shown
    )
    return _svg(_PLOT_WIDTH, _PLOT_HEIGHT, title, told, parts)


def _free_place(
    x: float, y: float, taken: Sequence[tuple[float, float]], *, top: float, bottom: float
) -> float:
    """The height nearest to `y`, inside the plot, where a label covers no other; `y` where there is none."""

    def free(height: float) -> bool:
        return top <= height <= bottom and not any(
            abs(x - other_x) < _LABEL and abs(height - other_y) < _BAR - 3 for other_x, other_y in taken
        )

    steps = (sign * step for step in range(0, _PLOT_HEIGHT, 2) for sign in (-1, 1))
    return next((y + step for step in steps if free(y + step)), y)


def percent(value: float | None) -> str:
    """As "41.5"; a dash for no score."""
    return "—" if value is None else f"{100 * value:.1f}"


def _scaled(value: float, top: float) -> float:
    return _WIDTH * min(max(value / top, 0), 1)


def _svg(width: int, height: int, title: str, told: str, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{escape(title)}</title><desc>{escape(told)}</desc>{''.join(parts)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}">{escape(text)}</text>'
