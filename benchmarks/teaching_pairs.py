"""Rows of `teaching.py` against each other on the same questions: within one model, and from one model to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from memquartet.errors import ConfigError
from memquartet.evals.comparison import compare
from memquartet.evals.results import QUESTIONS_SUFFIX, QuestionResult, read_questions

OURS = ("quartet", "quartet_search")
FACTS = ("quartet_facts", "quartet_search")
"""Without and with the text's own lines."""
OTHERS = ("no_memory", "full_context", "rag_bm25", "rag_bm25_dates")
Paired = Mapping[str, object]
Questions = Mapping[str, list[QuestionResult]]
"""The questions of a row by set; those of all worlds together under "worlds"."""


def within(folder: Path) -> list[Paired]:
    """The four agents against the baselines with the same model, and with searches or lines against without."""
    held = {row: _questions(folder, row) for row in dict.fromkeys((*OURS, *FACTS, *OTHERS))}
    against = [(other, ours) for ours in OURS for other in OTHERS]
    return [pair for a, b in [*against, OURS, FACTS] for pair in _pairs(held[a], held[b], name_a=a, name_b=b)]


def between(folders: Sequence[Path], labels: Sequence[str]) -> list[Paired]:
    """Each model's four agents against the model's before it; nothing where the questions are not on this disk."""
    held = [{row: _questions(folder, row) for row in OURS} for folder in folders]
    return [
        pair
        for number in range(1, len(held))
        for row in OURS
        for pair in _pairs(
            held[number - 1][row],
            held[number][row],
            name_a=f"{labels[number - 1]} {row}",
            name_b=f"{labels[number]} {row}",
        )
    ]


def _questions(folder: Path, row: str) -> Questions:
    found: dict[str, list[QuestionResult]] = {}
    for path in sorted(folder.glob(f"*/{row}/*{QUESTIONS_SUFFIX}")):
        name = path.parent.parent.name
        rows = read_questions(path)
        found[name] = rows
        if name.startswith("world-"):
            found.setdefault("worlds", []).extend(rows)
    return found


def _pairs(a: Questions, b: Questions, *, name_a: str, name_b: str) -> list[Paired]:
    found: list[Paired] = []
    for name in a:
        if name in b and (name == "worlds" or not name.startswith("world-")):
            try:
                overall = compare(a[name], b[name], name_a=name_a, name_b=name_b).categories[0]
            except ConfigError:
                # Two models may have been asked different questions; then there is nothing to pair.
                continue
            found.append({"set": name, "a": name_a, "b": name_b, **overall.as_json()})
    return found
