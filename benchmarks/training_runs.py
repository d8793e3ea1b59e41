"""Runs of `memquartet train` side by side: what rose, what the held-out episodes say, and how long a step took.

    python benchmarks/training_runs.py role=RUN broadcast=RUN … --page docs/results/NAME

A run is its folder. "First" and "last" are means over a run's first and last steps, each over that step's own episodes.
Validation episodes are the same ones every time, played greedily: their intervals are bootstrapped over the episodes,
and differences are paired by episode.

Prints the tables. Writes PAGE.json and PAGE.png (with matplotlib).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from memquartet.core.trajectory import Role, TurnStatus
from memquartet.errors import InputError
from memquartet.scoring.summary import summarize
from memquartet.training.records import Metrics, RunRecord, Transcript, read_run

AVERAGED = 5
"""Steps at the beginning and at the end whose mean is told."""
Measure = Callable[[Mapping[str, float]], float | None]
"""What a step's metrics say of something; None where they do not."""


def _logged(key: str) -> Measure:
    return lambda data: data.get(key)


def _usable(role: Role) -> Measure:
    key = f"role/{role}/invalid"
    return lambda data: 1 - data[key] if key in data else None


CURVES: Mapping[str, Measure] = {
    **{f"{role}: usable outputs": _usable(role) for role in (Role.EXTRACTOR, Role.MANAGER)},
    "manager: format": _logged(f"role/{Role.MANAGER}/part/format"),
    "operations carried out": _logged(f"role/{Role.MANAGER}/part/operations"),
    "answers accepted": _logged("episode/outcome_mean"),
    **{f"{role}: reward": _logged(f"role/{role}/reward_mean") for role in Role},
}
"""A format is 1 as it stood, .5 after repair and 0 unusable; broadcast credit does not log it."""
TIMES = ("rollout", "environment", "log_prob", "advantage", "update")

Row = Mapping[str, object]
"""What is told of a run."""


def row_of(label: str, run: RunRecord) -> dict[str, object]:
    """A run's curves, ends, validations and times."""
    metrics = run.metrics
    steps = [data for data in metrics.values() if "timing_s/step" in data]
    return {
        "label": label,
        "steps": len(steps),
        "rows": sum(int(data.get(f"role/{role}/rows", 0)) for data in steps for role in Role),
        "drawn_tokens": sum(int(data.get(f"role/{role}/tokens", 0)) for data in steps for role in Role),
        "tokens": sum(int(data.get("perf/total_num_tokens", 0)) for data in steps),
        "curves": {name: curve(metrics, measure) for name, measure in CURVES.items()},
        "validation": {step: _validated(episodes) for step, episodes in run.transcripts.items()},
        "change": _change(run.transcripts),
        # In the first step much is done for the first time.
        "seconds": _seconds(steps[1:]),
        "start": run.starts[0] if run.starts else {},
    }


def curve(metrics: Metrics, measure: Measure) -> list[tuple[int, float]]:
    """The values of a measure with their steps."""
    found = ((step, measure(data)) for step, data in metrics.items())
    return [(step, value) for step, value in found if value is not None]


def ends(values: Sequence[tuple[int, float]], steps: int) -> tuple[float | None, float | None]:
    """The means over the run's first and over its last steps; None where these have no value, as of a role that was not asked."""
    first = [value for step, value in values if step <= AVERAGED]
    last = [value for step, value in values if step > steps - AVERAGED]
    return mean(first) if first else None, mean(last) if last else None


def ends_table(rows: Sequence[Row]) -> str:
    """A line a run, in Markdown: the first and the last steps."""
    lines = ["| run | steps | rows | " + " | ".join(CURVES) + " |", "|" + " --- |" * (3 + len(CURVES))]
    for row in rows:
        cells = []
        for name in CURVES:
            values = row["curves"][name]  # type: ignore[index]  # our own rows
            before, after = ("—" if one is None else f"{one:.2f}" for one in ends(values, row["steps"]))  # type: ignore[arg-type]  # as above
            cells.append(f"{before} → {after}")
        lines.append(f"| {row['label']} | {row['steps']} | {row['rows']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def validation_table(rows: Sequence[Row]) -> str:
    """Held-out episodes in percent, with 95 % intervals: every time they were played, and the change from the first to the last."""
    lines = [
        "| run | step | " + " | ".join(_MEASURES) + " | episodes |",
        "|" + " --- |" * (3 + len(_MEASURES)),
    ]
    for row in rows:
        for step, told in (*row["validation"].items(), ("change", row["change"])):  # type: ignore[attr-defined]  # as above
            if told:
                cells = [_cell(told[name], signed=step == "change") for name in _MEASURES]
                lines.append(f"| {row['label']} | {step} | {' | '.join(cells)} | {told['n']} |")
    return "\n".join(lines)


def times_table(rows: Sequence[Row]) -> str:
    """Median seconds of a step, without the first."""
    lines = [
        "| run | step | " + " | ".join(TIMES) + " | tokens drawn a second |",
        "|" + " --- |" * (3 + len(TIMES)),
    ]
    for row in rows:
        seconds = row["seconds"]
        if seconds:
            cells = [f"{seconds[name]:.1f}" for name in ("step", *TIMES)]  # type: ignore[index]  # as above
            lines.append(f"| {row['label']} | {' | '.join(cells)} | {seconds['drawn_a_second']:,.0f} |")  # type: ignore[index]  # as above
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """The curves, a panel a metric and a line a run."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: pip install 'memquartet[bench]'")
        return
    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [name for name in CURVES if not name.endswith("reward")]
    # A panel more than there are curves has the legend.
    columns = -(-(len(shown) + 1) // 2)
    figure, panels = pyplot.subplots(2, columns, figsize=(4 * columns, 6.2), sharey=True)
    *axes, last = panels.flat
    for axis, name in zip(axes, shown, strict=False):
        for number, row in enumerate(rows):
            values = row["curves"][name]  # type: ignore[index]  # our own rows
            if values:
                axis.plot(*zip(*values, strict=True), color=f"C{number}", alpha=0.8, label=str(row["label"]))
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1.02)
    for axis in [*axes[len(shown) :], last]:
        axis.axis("off")
    last.legend(
        handles=[
            pyplot.Line2D([], [], color=f"C{number}", label=str(row["label"]))
            for number, row in enumerate(rows)
        ],
        loc="center",
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _outcome(episode: Transcript) -> float | None:
    return episode.outcome


def _abstained(episode: Transcript) -> float | None:
    """Those in about the words that the prompts ask for, which is "no information available"."""
    said = [
        call.output.strip().lower().startswith("no information")
        for call in episode.calls
        if call.role == Role.ANSWERER
    ]
    return mean(said) if said else None


def _share_of(role: Role, *wanted: TurnStatus) -> Callable[[Transcript], float | None]:
    def share(episode: Transcript) -> float | None:
        said = [call.status in wanted for call in episode.calls if call.role == role]
        return mean(said) if said else None

    return share


_MEASURES: Mapping[str, Callable[[Transcript], float | None]] = {
    "answers": _outcome,
    **{
        f"{role}: {name}": _share_of(role, *wanted)
        for role in (Role.EXTRACTOR, Role.MANAGER)
        for name, wanted in (
            ("usable", (TurnStatus.OK, TurnStatus.REPAIRED)),
            ("as it stood", (TurnStatus.OK,)),
        )
    },
    "abstentions": _abstained,
}


def _validated(episodes: Sequence[Transcript]) -> dict[str, object]:
    measured = {
        name: summarize([measure(one) for one in episodes]).as_json() for name, measure in _MEASURES.items()
    }
    return {"n": len(episodes), **measured}


def _change(transcripts: Mapping[int, Sequence[Transcript]]) -> dict[str, object]:
    """The last validation against the first, on the samples that both hold."""
    if len(transcripts) < 2:
        return {}
    times = [transcripts[step] for step in (min(transcripts), max(transcripts))]
    first, last = ({one.sample_id: one for one in episodes} for episodes in times)
    if any(len(named) < len(episodes) for named, episodes in zip((first, last), times, strict=True)):
        raise InputError(
            "a validation played a sample more than once, or does not name it: nothing to pair by"
        )
    both = [(first[name], last[name]) for name in first if name in last]
    found: dict[str, object] = {"n": len(both)}
    for name, measure in _MEASURES.items():
        pairs = [(measure(before), measure(after)) for before, after in both]
        found[name] = summarize(
            [after - before for before, after in pairs if before is not None and after is not None]
        ).as_json()
    return found


def _cell(told: Mapping[str, float | None], *, signed: bool) -> str:
    middle, low, high = (
        "—" if (value := told[name]) is None else f"{100 * value:{'+' if signed else ''}.1f}"
        for name in ("mean", "low", "high")
    )
    return middle if low == "—" else f"{middle} [{low}, {high}]"


def _seconds(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not steps:
        return {}
    drawn = [
        sum(data.get(f"role/{role}/tokens", 0.0) for role in Role) / data["timing_s/gen"] for data in steps
    ]
    return {
        "step": median(data["timing_s/step"] for data in steps),
        **{name: median(data.get(f"timing/{name}", 0.0) for data in steps) for name in TIMES},
        "drawn_a_second": median(drawn),
    }


def main() -> None:
    """Read, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="LABEL=FOLDER")
    parser.add_argument("--page", type=Path, help="write PAGE.json and PAGE.png")
    options = parser.parse_args()
    rows = []
    for one in options.runs:
        label, _, folder = one.partition("=")
        if not folder:
            parser.error(f"{one!r}: expected LABEL=FOLDER")
        rows.append(row_of(label, read_run(Path(folder))))
    print(ends_table(rows), validation_table(rows), times_table(rows), sep="\n\n")
    if options.page:
        text = json.dumps({"runs": rows}, indent=1, ensure_ascii=False)
        options.page.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        plot(rows, options.page.with_suffix(".png"))


if __name__ == "__main__":
    main()
