"""A report of runs as one HTML page: scores as the papers print them, intervals, costs, and where systems disagree.

The page needs no network and no script. Runs of the same data stand in one section; the first system of a section's
first run is the one that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from memquartet.errors import ConfigError
from memquartet.evals.charts import Point, bars, cost_against_score, percent
from memquartet.evals.comparison import METHOD, Comparison, compare, systems_in
from memquartet.evals.files import read_json
from memquartet.evals.paper_tables import paper_tables
from memquartet.evals.quality_table import confusion_rows, quality_rows
from memquartet.evals.results import OVERALL, QUESTIONS_SUFFIX, QuestionResult, read_questions
from memquartet.evals.scores import summaries
from memquartet.scoring.summary import Summary

DISAGREEMENTS = 20
"""Questions shown for each pair of systems, those that they differ on most first."""
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One system of one run."""

    label: str
    system: str
    folder: Path
    told: Mapping[str, object]
    rows: Sequence[QuestionResult]
    scores: Mapping[str, Summary]

    def tokens_a_question(self) -> float:
        """Prompt and output tokens of reading and answering, by answered question; 0 when nothing was counted."""
        spent = sum(
            _number(self.told, part, kind)
            for part in ("reading", "answering")
            for kind in ("prompt_tokens", "output_tokens")
        )
        answered = sum(row.answer is not None for row in self.rows)
        return spent / answered if answered else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The systems that ran on the same data."""

    title: str
    config: Mapping[str, object]
    entries: Sequence[Entry]
    calls: Sequence[Mapping[str, object]] = ()


def report(folders: Sequence[Path]) -> str:
    """The page as text.

    Raises:
        ConfigError: a folder without results, or runs that are of the same data but score a question differently.
        InputError: a result file that cannot be read.
    """
    sections = _sections(folders)
    links = "".join(
        f'<li><a href="#data-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections)
    )
    contents = f'<nav aria-label="Data sets"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    body = contents + "".join(_section(number, section) for number, section in enumerate(sections))
    page = resources.files("memquartet.evals").joinpath("report.html").read_text(encoding="utf-8")
    systems = len({entry.label for section in sections for entry in section.entries})
    return Template(page).substitute(
        title="Memory systems compared",
        lead=f"Systems: {systems}. Scores in percent: mean and 95 % bootstrap interval over the questions. A question"
        " without an answer or a verdict is counted as unscored and never as 0.",
        body=body,
    )


def _sections(folders: Sequence[Path]) -> list[Section]:
    """Runs by the fingerprint of their data, in the order given."""
    found: dict[str, list[tuple[Path, Mapping[str, object]]]] = {}
    for folder in folders:
        if not (folder / "results.json").is_file():
            raise ConfigError(f"no results in {folder}: run `memquartet eval run --out {folder}` first")
        told = read_json(folder / "results.json")
        found.setdefault(str(told.get("fingerprint")), []).append((folder, told))
    return [_gathered(runs) for runs in found.values()]


def _gathered(runs: Sequence[tuple[Path, Mapping[str, object]]]) -> Section:
    several = [name for folder, _ in runs for name in systems_in(folder)]
    entries = []
    for folder, told in runs:
        listed = told.get("results")
        for one in listed if isinstance(listed, list) else []:
            system = str(one["system"])
            rows = read_questions(folder / f"{system}{QUESTIONS_SUFFIX}")
            entries.append(
                Entry(
                    label=f"{system} ({folder.name})" if several.count(system) > 1 else system,
                    system=system,
                    folder=folder,
                    told=one,
                    rows=rows,
                    scores=summaries(rows),
                )
            )
    config = runs[0][1].get("config")
    config = config if isinstance(config, dict) else {}
    title = str(config.get("benchmark") or config.get("dataset") or runs[0][0].name)
    told = runs[0][1]
    counts = {name: told[name] for name in ("samples", "questions") if name in told}
    calls = [call for folder, _ in runs for call in _calls(folder)]
    return Section(title=title, config={**config, **counts}, entries=entries, calls=calls)


def _calls(folder: Path) -> list[Mapping[str, object]]:
    """How a run was started and gone on with; nothing where its file does not say."""
    path = folder / "run.json"
    calls = read_json(path).get("calls") if path.is_file() else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _section(number: int, section: Section) -> str:
    first, *others = section.entries
    compared = [compare(other.rows, first.rows, name_a=other.label, name_b=first.label) for other in others]
    parts = [
        f'<section aria-labelledby="data-{number}"><h2 id="data-{number}">{escape(section.title)}</h2>',
        _config(section),
        _scores(section),
        _paper_tables(section),
        _bars(section),
        _memory(section),
        _costs(section),
        _comparisons(first, compared),
        *(_disagreements(one) for one in compared),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _config(section: Section) -> str:
    """What was run, and folded up how: versions and commands."""
    rows = "".join(
        f"<div><dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd></div>"
        for key, value in section.config.items()
        if value is not None
    )
    calls = "".join(
        f"<li><code>{escape(str(call.get('command')))}</code><br>"
        f"<span class=soft>memquartet {escape(str(call.get('memquartet')))}, Python {escape(str(call.get('python')))},"
        f" {escape(str(call.get('platform')))}</span></li>"
        for call in section.calls
    )
    how = f"<details><summary>How it was run</summary><ul>{calls}</ul></details>" if calls else ""
    return f"<dl>{rows}</dl>{how}"


def _scores(section: Section) -> str:
    """Systems down, categories across, as the papers print them; the best of a column stands out."""
    columns = _categories(section)
    best = {column: _best([entry.scores.get(column) for entry in section.entries]) for column in columns}
    rows = []
    for entry in section.entries:
        unscored = sum(row.score is None for row in entry.rows)
        cells = [_score_cell(entry.scores.get(column), best[column]) for column in columns]
        rows.append([f"<th scope=row>{escape(entry.label)}</th>", *cells, f"<td>{unscored}</td>"])
    head = [f"{name} ({_n(section, name)})" for name in columns]
    return "<h3>Scores</h3>" + _table(
        "Mean score in percent by category, with the number of questions in brackets.",
        ["system", *head, "unscored"],
        rows,
    )


def _score_cell(summary: Summary | None, best: float | None) -> str:
    if summary is None or summary.mean is None:
        return "<td>—</td>"
    bounds = ""
    if summary.low is not None and summary.high is not None:
        bounds = f"<small>{percent(summary.low)} to {percent(summary.high)}</small>"
    kind = " class=best" if summary.mean == best else ""
    return f"<td{kind}>{percent(summary.mean)}{bounds}</td>"


def _paper_tables(section: Section) -> str:
    """What the benchmark's own paper prints."""
    tables = paper_tables(section.title, {entry.label: entry.rows for entry in section.entries})
    return "".join(
        f"<h3>{escape(table.title)}</h3>"
        + _table(
            table.caption,
            table.head,
            (
                [f"<th scope=row>{escape(label)}</th>", *(f"<td>{escape(cell)}</td>" for cell in cells)]
                for label, *cells in table.rows
            ),
        )
        for table in tables
    )


def _bars(section: Section) -> str:
    top = _top(section)
    panels = []
    for column in _categories(section):
        rows = [(entry.label, entry.scores[column]) for entry in section.entries if column in entry.scores]
        svg = bars(f"Scores: {column}", rows, top=top)
        panels.append(f"<figure><figcaption>{escape(column)}</figcaption>{svg}</figure>")
    scale = f'<p class="soft">Bars and intervals from 0 to {100 * top:.0f} %.</p>'
    return f'<h3>By category</h3>{scale}<div class="panels">{"".join(panels)}</div>'


def _memory(section: Section) -> str:
    """How good the memories are, and what became of facts beside what should have, where the data carries truth."""
    told = {
        entry.label: memory
        for entry in section.entries
        if isinstance(memory := entry.told.get("memory"), Mapping)
    }
    rows = [
        [f"<th scope=row>{escape(label)}</th>", *map(_quality_cell, cells)]
        for label, cells in quality_rows(list(told.values()))
    ]
    if not rows:
        return ""
    parts = ["<h3>Memory</h3>", _table("Shares in percent with 95 % interval.", ["", *told], rows)]
    for label, memory in told.items():
        if matrix := confusion_rows(memory):
            lines = [
                [f"<th scope=row>{escape(right)}</th>", *(f"<td>{count}</td>" for _, count in made)]
                for right, made in matrix
            ]
            head = ["should have been", *(f"was {name}" for name, _ in matrix[0][1])]
            parts.append(
                _table(f"{label}: decisions about facts, given the memories shown with them.", head, lines)
            )
    return "".join(parts)


def _quality_cell(cell: str) -> str:
    value, _, rest = cell.partition(" ")
    return f"<td>{escape(value)}{f'<small>{escape(rest)}</small>' if rest else ''}</td>"


def _costs(section: Section) -> str:
    rows = []
    for entry in section.entries:
        told = entry.told
        samples = _number(told, "reading", "samples") or 1
        cells = [
            f"{_number(told, 'reading', 'calls') / samples:,.1f}",
            f"{_number(told, 'reading', 'prompt_tokens') / samples + _number(told, 'reading', 'output_tokens') / samples:,.0f}",
            _seconds(told, "reading", "mean"),
            f"{_number(told, 'answering', 'shown_tokens', 'mean'):,.0f}",
            _seconds(told, "answering", "p50"),
            _seconds(told, "answering", "p95"),
            f"{entry.tokens_a_question():,.0f}",
        ]
        rows.append([f"<th scope=row>{escape(entry.label)}</th>", *(f"<td>{cell}</td>" for cell in cells)])
    head = [
        "system",
        "reading: calls",
        "tokens",
        "seconds",
        "answering: shown tokens",
        "seconds p50",
        "seconds p95",
        "tokens a question in all",
    ]
    points = [
        Point(name=entry.label, cost=entry.tokens_a_question(), summary=entry.scores[OVERALL])
        for entry in section.entries
    ]
    chart = cost_against_score("Cost against score", points, top=_top(section))
    return (
        "<h3>Costs</h3>"
        + _table("Reading is by sample, answering by question; seconds as run, side by side.", head, rows)
        + (f"<figure><figcaption>Cost against score</figcaption>{chart}</figure>" if chart else "")
    )


def _comparisons(first: Entry, compared: Sequence[Comparison]) -> str:
    if not compared:
        return ""
    rows = []
    for one in compared:
        overall = one.categories[0]
        interval = f"{_signed(overall.low)} to {_signed(overall.high)}" if overall.low is not None else "—"
        p = "—" if overall.p is None else f"{overall.p:.4f}"
        cells = [
            str(overall.n), _signed(overall.difference), interval, p,
            str(overall.better_b), str(overall.better_a),
        ]  # fmt: skip
        rows.append([f"<th scope=row>{escape(one.name_a)}</th>", *(f"<td>{cell}</td>" for cell in cells)])
    return f"<h3>{escape(first.label)} against each other system</h3>" + _table(
        f"Difference of {first.label} to the system of the row in points; {METHOD}.",
        ["system", "n", "difference", "95 % interval", "p", f"{first.label} better", "worse"],
        rows,
    )


def _disagreements(one: Comparison) -> str:
    """The questions that the two differ on most, each folded up."""
    different = sorted(
        (pair for pair in one.pairs if pair[0].score != pair[1].score),
        key=lambda pair: -abs((pair[0].score or 0) - (pair[1].score or 0)),
    )
    if not different:
        return ""
    shown = different[:DISAGREEMENTS]
    count = f"{len(different)} question{'s' if len(different) > 1 else ''}"
    head = f"{one.name_b} and {one.name_a}: {count} scored differently"
    more = f", {len(shown)} of them below" if len(shown) < len(different) else ""
    questions = "".join(_question(other, first, one) for other, first in shown)
    return f"<h3>{escape(head + more)}</h3>{questions}"


def _question(other: QuestionResult, first: QuestionResult, one: Comparison) -> str:
    gold = " / ".join(first.gold) or "(the text does not say)"
    evidence = _listed("Evidence", first.evidence, opened=True)
    sides = "".join(_side(name, row) for name, row in ((one.name_b, first), (one.name_a, other)))
    scores = f"{percent(first.score)} : {percent(other.score)}"
    return (
        f'<details><summary>{escape(first.question[:400])} <span class="soft">({scores}, {escape(first.category)})</span>'
        f"</summary><p>Right: <b>{escape(gold)}</b> <span class=soft>· {escape(first.sample_id)} ·"
        f' {escape(first.question_id)}</span></p>{evidence}<div class="answers">{sides}</div></details>'
    )


def _side(name: str, row: QuestionResult) -> str:
    kind = "right" if row.score and row.score >= 0.5 else "" if row.score else "wrong"
    shown = _listed("What it was shown", row.shown)
    return (
        f"<div><h5>{escape(name)}: {percent(row.score)}</h5>"
        f'<div class="answer {kind}">{escape(row.answer or "")}</div>{shown}</div>'
    )


def _listed(head: str, texts: Sequence[str], *, opened: bool = False) -> str:
    if not texts:
        return f'<p class="soft">{head}: nothing</p>'
    items = "".join(f"<li>{escape(text)}</li>" for text in texts[:_SHOWN])
    rest = f'<p class="soft">and {len(texts) - _SHOWN} more</p>' if len(texts) > _SHOWN else ""
    state = " open" if opened else ""
    return f"<details{state}><summary>{head} ({len(texts)})</summary><ol>{items}</ol>{rest}</details>"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # A long name of a data set breaks behind its underscores.
    columns = "".join(f"<th scope=col>{escape(name).replace('_', '_<wbr>')}</th>" for name in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    # A table wider than the screen scrolls by keyboard, too.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}'
        f"</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _categories(section: Section) -> list[str]:
    """Overall first, then the categories in order of their names; a lone category says what overall says."""
    names = sorted({name for entry in section.entries for name in entry.scores} - {OVERALL})
    return [OVERALL, *names] if len(names) > 1 else [OVERALL]


def _best(found: Sequence[Summary | None]) -> float | None:
    """The highest mean; None where all are equal, since none stands out then."""
    means = {one.mean for one in found if one is not None and one.mean is not None}
    return max(means) if len(means) > 1 else None


def _top(section: Section) -> float:
    """Where the axes end: the next of 10, 20, 50 and 100 % above every interval, or what a judge's scale gave."""
    highest = max(
        (summary.high or summary.mean or 0 for entry in section.entries for summary in entry.scores.values()),
        default=0.0,
    )
    return next((top for top in (0.1, 0.2, 0.5, 1.0) if highest <= top), highest)


def _n(section: Section, category: str) -> int:
    summary = next((e.scores[category] for e in section.entries if category in e.scores), None)
    return summary.n + summary.unscored if summary else 0


def _number(told: object, *path: str) -> float:
    """A number inside nested objects; 0 where there is none."""
    for key in path:
        told = told.get(key) if isinstance(told, Mapping) else None
    return float(told) if isinstance(told, int | float) else 0.0


def _seconds(told: Mapping[str, object], part: str, which: str) -> str:
    value = _number(told, part, "seconds", which)
    return f"{value:,.3f}" if value < 10 else f"{value:,.0f}"


def _signed(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:+.1f}"
