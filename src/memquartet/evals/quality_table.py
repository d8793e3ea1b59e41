"""What `MemoryQuality.as_json` tells, as rows of a table: the same in the terminal, in reports and on pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memquartet.core.trajectory import Role

NOTHING = "—"
MEASURES: Mapping[str, Sequence[str]] = {
    **{f"invalid outputs: {role}": ("invalid", role) for role in Role},
    "facts extracted that are true": ("extraction_precision",),
    "true facts extracted": ("extraction_recall",),
    "right decisions": ("right_decisions",),
    "right entries changed": ("right_targets",),
    "facts that told nothing new": ("repeated",),
    "junk entries": ("junk",),
    "stale entries": ("stale_stored",),
    "true facts missing at the end": ("missing",),
    "questions shown a stale value": ("stale_shown",),
    "evidence whose chunk was reached": ("evidence",),
}
"""Rows in percent with the place of their summary."""
COUNTS: Mapping[str, Sequence[str]] = {
    "entries a sample": ("entries",),
    "memory tokens a sample": ("memory_tokens",),
}
"""Rows that are numbers."""


def quality_rows(told: Sequence[Mapping[str, object]]) -> list[tuple[str, list[str]]]:
    """Label and a cell for each system; rows that no system has are left out.

    Args:
        told: for each system what `MemoryQuality.as_json` says, read back from a file or not.
    """
    rows = []
    for measures, scale in ((MEASURES, 100.0), (COUNTS, 1.0)):
        for label, place in measures.items():
            cells = [quality_cell(one, place, scale) for one in told]
            if any(cell != NOTHING for cell in cells):
                rows.append((label, cells))
    return rows


def quality_cell(told: object, place: Sequence[str], scale: float = 100.0) -> str:
    """Mean, interval and n of the summary at a place; a dash where there is none."""
    for key in place:
        told = told.get(key) if isinstance(told, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("mean"), int | float):
        return NOTHING
    mean, low, high = told["mean"], told.get("low"), told.get("high")
    bounds = (
        f" [{scale * low:.1f}, {scale * high:.1f}]"
        if isinstance(low, int | float) and isinstance(high, int | float)
        else ""
    )
    return f"{scale * mean:.1f}{bounds} (n={told.get('n')})"


def confusion_rows(told: Mapping[str, object]) -> list[tuple[str, list[tuple[str, int]]]]:
    """What should have been, with the counts of what was; empty where nothing was decided, or the truth is not known."""
    matrix = told.get("confusion")
    if not isinstance(matrix, Mapping):
        return []
    return [
        (str(right), [(str(made), int(count)) for made, count in row.items()])
        for right, row in matrix.items()
        if isinstance(row, Mapping)
    ]
