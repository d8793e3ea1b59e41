"""The results of `teaching.py` as a page: tables of several models side by side, and plots where matplotlib is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from memquartet.errors import ConfigError
from memquartet.evals.comparison import METHOD
from memquartet.evals.files import write_lines
from memquartet.evals.quality_table import confusion_rows, quality_rows
from memquartet.evals.results import OVERALL

# Any: parsed JSON of `teaching.py`, looked into here alone.
Told = Mapping[str, Any]
MODEL_FREE = ("oracle", "oracle_search")
"""Rows that are the same whatever the model; the page has them once."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
JUDGED = ("quartet", "oracle")
"""Rows whose memory is looked into; those with searches have the same."""
IN_DETAIL = ("quartet", "quartet_search", "rag_bm25", *MODEL_FREE)
"""Rows whose categories are shown."""
SHOWN = {"questions shown a stale value": "stale_shown", "evidence whose chunk was reached": "evidence"}
"""What every system that shows something can be asked."""
WORLDS = "worlds"
"""All generated worlds together."""
DRAWS = 1000


def write_page(told: Sequence[Told], out: Path, *, command: str, across: Sequence[Told] = ()) -> None:
    """Write OUT.md, and plots beside it where matplotlib is installed.

    Only what stands between the marks `BEGIN` and `END` is replaced: the words around it are a person's.

    Args:
        told: what `teaching.json` holds, a model each, in the order of the page.
        out: the page without its suffix.
        command: what was typed.
        across: differences between the models.

    Raises:
        ConfigError: OUT.md is there and has no marks.
    """
    plots: list[str] = []
    if find_spec("matplotlib"):
        import teaching_plots

        plots = teaching_plots.draw(told, out)
    else:
        print("no plots: pip install 'memquartet[bench]'")
    path = out.with_suffix(".md")
    before, after = _around(path)
    write_lines(path, [*before, BEGIN, "", *page(told, plots, command, across), END, *after])
    print(f"wrote {out.with_suffix('.md')}")


def _around(path: Path) -> tuple[list[str], list[str]]:
    """The lines before and after the measured part; a title where there is no page yet."""
    if not path.exists():
        return ["# What teaching brings", ""], []
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines.count(BEGIN) != 1 or lines.count(END) != 1:
        raise ConfigError(f"{path} has no lines {BEGIN!r} and {END!r}: choose another --out, or delete it")
    return lines[: lines.index(BEGIN)], lines[lines.index(END) + 1 :]


def page(
    told: Sequence[Told], plots: Sequence[str], command: str, across: Sequence[Told] = ()
) -> Iterator[str]:
    """The measured part, line by line; `across` are differences between models."""
    yield from _conditions(told, command)
    yield "## Answers"
    yield ""
    yield "Scores in %, higher is better, with 95 % bootstrap intervals over the questions; n is the number of questions. Questions of one conversation"
    yield "or record share it, which the intervals do not know."
    yield ""
    yield from _scores(told)
    for plot in plots:
        yield f"![{plot.removesuffix('.png')}]({plot})"
        yield ""
    yield from _pairs([*(pair for one in told for pair in _of_model(one)), *across])
    yield "### By category"
    yield ""
    yield from _categories(told)
    yield "## Memory"
    yield ""
    yield "Shares in % with 95 % interval and n. Junk are entries that mean no true fact, stale ones say what is not true any more, both judged by the"
    yield "known truth of the worlds; a question is shown a stale value when an older value of its answer is among the memories or the text before the answerer."
    yield ""
    yield from _shown(told)
    for one in told:
        yield from _memory(one)
    yield from _costs(told)


def results(told: Told) -> list[Told]:
    """A model's results, those in worlds first."""
    return sorted(told.get("results", ()), key=lambda result: not result["set"].startswith("world-"))


def set_names(told: Sequence[Told]) -> list[str]:
    """Every set that some model ran on, worlds first."""
    names = {result["set"] for one in told for result in results(one)}
    return sorted(names, key=lambda name: (not name.startswith("world-"), name))


def lines(told: Sequence[Told]) -> list[tuple[str, str, dict[str, Told]]]:
    """Label, row, and its results by set; rows without a model stand last and once."""
    found: dict[tuple[str, str], dict[str, Told]] = {}
    for one in told:
        for result in results(one):
            label = "" if result["row"] in MODEL_FREE else one["label"]
            found.setdefault((label, result["row"]), {}).setdefault(result["set"], result)
    ordered = sorted(found, key=lambda line: line[1] in MODEL_FREE)
    return [(label, row, found[label, row]) for label, row in ordered]


def pooled(summaries: Sequence[Told]) -> Told | None:
    """Several means of zeros and ones as one, with the percentile bootstrap that drawing from all of them gives."""
    known = [one for one in summaries if one.get("mean") is not None]
    n = sum(one["n"] for one in known)
    if not n:
        return None
    mean = sum(one["mean"] * one["n"] for one in known) / n
    drawn = np.random.default_rng(0).binomial(n, min(1.0, mean), DRAWS) / n
    low, high = np.percentile(drawn, [2.5, 97.5])
    unscored = sum(one["unscored"] for one in summaries)
    return {"mean": mean, "n": n, "low": float(low), "high": float(high), "unscored": unscored}


def in_worlds(by_set: Mapping[str, Told], *place: str) -> Told | None:
    """A measure of a line's results over all worlds together."""
    found = [at(result, place) for name, result in by_set.items() if name.startswith("world-")]
    return pooled([one for one in found if one])


def at(told: Any, place: Sequence[str]) -> Told | None:
    """The summary at a place, None where there is none."""
    for key in place:
        told = told.get(key) if isinstance(told, Mapping) else None
    return told if isinstance(told, Mapping) else None


def cell(summary: Told | None) -> str:
    """`85.0 [82.1, 87.9]`, n and what has no score; a dash for nothing."""
    if not summary or summary.get("mean") is None:
        return "—"
    low, high = summary.get("low"), summary.get("high")
    bounds = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    unscored = f", {summary['unscored']} unscored" if summary.get("unscored") else ""
    return f"{100 * summary['mean']:.1f}{bounds} (n={summary['n']}{unscored})"


def _conditions(told: Sequence[Told], command: str) -> Iterator[str]:
    head = ["", *(one["label"] for one in told)]
    keys: list[tuple[str, list[str]]] = [
        ("model", [str(one["config"]["model"]) for one in told]),
        ("prompts", [str(one["config"]["prompts"]) for one in told]),
        ("JSON schema sent", ["yes" if one["config"]["constrained"] else "no" for one in told]),
        ("questions", ["plain" if one["config"]["plain_questions"] else "as prescribed" for one in told]),
        ("window, tokens", [str(one["window_tokens"] or "whole chunks") for one in told]),
        ("further searches", [str(one["searches"]) for one in told]),
        (
            "seed; of the worlds",
            [f"{one['seed']}; {', '.join(map(str, one['world_seeds']))}" for one in told],
        ),
        ("calls in flight", [str(one["parallel"]) for one in told]),
        ("device", [one["device"] for one in told]),
        ("date, commit", [f"{one['date']}, {one['commit'] or 'no checkout'}" for one in told]),
        ("versions", [", ".join(f"{k} {v}" for k, v in one["versions"].items()) for one in told]),
    ]
    yield from _table(head, [[name, *values] for name, values in keys])
    yield "```sh"
    yield from dict.fromkeys([*(one["command"] for one in told), command])
    yield "```"
    yield ""


def _scores(told: Sequence[Told]) -> Iterator[str]:
    names = set_names(told)
    metrics = {result["set"]: ", ".join(result["metric"]) for one in told for result in results(one)}
    place = ("scores", OVERALL)
    yield from _table(
        ["model", "system", WORLDS, *(f"{name}<br>{metrics[name]}" for name in names)],
        [
            [
                label or "—",
                row,
                cell(in_worlds(by_set, *place)),
                *(cell(at(by_set.get(name), place)) for name in names),
            ]
            for label, row, by_set in lines(told)
        ],
    )


def _categories(told: Sequence[Told]) -> Iterator[str]:
    for name in set_names(told):
        held = [
            (label, row, by_set[name]["scores"])
            for label, row, by_set in lines(told)
            if name in by_set and row in IN_DETAIL
        ]
        categories = sorted({one for _, _, scores in held for one in scores} - {OVERALL})
        if len(categories) < 2:
            continue
        yield f"`{name}`"
        yield ""
        yield from _table(
            ["model", "system", *categories],
            [
                [label or "—", row, *(cell(scores.get(one)) for one in categories)]
                for label, row, scores in held
            ],
        )


def _pairs(pairs: Sequence[Told]) -> Iterator[str]:
    if not pairs:
        return
    yield "### Differences"
    yield ""
    yield f"B against A on the questions that both answered, in points; {METHOD}. p is not corrected for the number of rows."
    yield ""
    yield from _table(
        ["set", "A", "B", "n", "B - A", "95 % interval", "p"],
        [
            [
                one["set"],
                one["a"],
                one["b"],
                str(one["n"]),
                _points(one["difference"]),
                f"{_points(one['low'])} to {_points(one['high'])}",
                "—" if one["p"] is None else f"{one['p']:.4f}",
            ]
            for one in pairs
        ],
    )


def _of_model(one: Told) -> Iterator[Told]:
    for pair in one.get("paired", ()):
        yield {**pair, "a": f"{one['label']} {pair['a']}", "b": f"{one['label']} {pair['b']}"}


def _points(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:+.1f}"


def _shown(told: Sequence[Told]) -> Iterator[str]:
    """What every system showed to the answerer: stale values, and evidence."""
    names = set_names(told)
    for title, measure in SHOWN.items():
        place = ("memory", measure)
        rows = [
            [label or "—", row, *(cell(at(by_set.get(name), place)) for name in names)]
            for label, row, by_set in lines(told)
            if row != "no_memory" and any(at(result, place) for result in by_set.values())
        ]
        if rows:
            yield f"### {title[0].upper()}{title[1:]}"
            yield ""
            yield from _table(["model", "system", *names], rows)


def _memory(one: Told) -> Iterator[str]:
    for row in JUDGED:
        held = {result["set"]: result["memory"] for result in results(one) if result["row"] == row}
        measured = quality_rows(list(held.values()))
        if not measured:
            continue
        yield f"### {one['label']}: {row}"
        yield ""
        yield from _table(["", *held], [[label, *cells] for label, cells in measured])
        if matrix := confusion_of(one, row):
            yield "Decisions about facts in all worlds, given the memories shown with them; `none` is a fact that is none."
            yield ""
            columns = list(next(iter(matrix.values())))
            yield from _table(
                ["should have been", *(f"was {name}" for name in columns)],
                [[right, *(str(made[name]) for name in columns)] for right, made in matrix.items()],
            )


def confusion_of(one: Told, row: str) -> dict[str, dict[str, int]]:
    """The decisions of a row over all of its sets: what should have been, then what was."""
    matrix: dict[str, Counter[str]] = {}
    for result in results(one):
        if result["row"] == row:
            for right, made in confusion_rows(result["memory"]):
                # `update` keeps columns of nothing, which adding Counters drops.
                matrix.setdefault(right, Counter()).update(dict(made))
    return {right: dict(made) for right, made in matrix.items()}


def _costs(told: Sequence[Told]) -> Iterator[str]:
    rows = []
    for label, row, by_set in lines(told):
        if row in MODEL_FREE:
            continue
        for name, result in by_set.items():
            reading, answering = result["reading"], result["answering"]
            samples = reading["samples"] or 1
            questions = result["counts"]["questions"] or 1
            rows.append(
                [
                    label,
                    row,
                    name,
                    f"{reading['calls'] / samples:,.1f}",
                    f"{(reading['prompt_tokens'] + reading['output_tokens']) / samples:,.0f}",
                    _seconds(reading["seconds"]["mean"]),
                    f"{answering['calls'] / questions:,.2f}",
                    f"{(answering['prompt_tokens'] + answering['output_tokens']) / questions:,.0f}",
                    _seconds(answering["seconds"]["p50"]),
                ]
            )
    if not rows:
        return
    yield "## Costs"
    yield ""
    yield "Tokens as the backend counts them. Seconds are wall time beside all other calls in flight, waiting for a place included."
    yield ""
    yield from _table(
        [
            "model", "system", "set", "reading: calls a sample", "tokens", "seconds",
            "answering: calls a question", "tokens", "seconds (median)",
        ],
        rows,
    )  # fmt: skip


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:,.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(value.replace('|', '/') for value in row)} |"
    yield ""
