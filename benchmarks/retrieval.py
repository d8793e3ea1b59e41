"""What a search finds, without any model: evidence on LoCoMo and LongMemEval, newest facts on FactConsolidation.

    python benchmarks/retrieval.py [--data FOLDER | LOCOMO_FILE] [--embedder static] [--json PATH] [--plot PATH.png]

FOLDER holds `locomo/`, `longmemeval/`, `memoryagentbench/`, `mab_like/` and `trex_triples/`; a part that is missing is
left out. What each part measures is said in retrieval_locomo.py, retrieval_longmemeval.py and retrieval_conflicts.py.
Numbers are means over questions with 95 % percentile bootstrap intervals (questions drawn with replacement, 1,000
draws, seed 0).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import retrieval_conflicts
import retrieval_locomo
import retrieval_longmemeval
from ranking import Row, cell

from memquartet import __version__
from memquartet.memory.embedders import make_embedder
from memquartet.memory.protocols import Embedder

DATA = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
COLUMNS = {
    "locomo": ("method", "recall@1", "recall@5", "recall@10"),
    "longmemeval": (
        "haystack",
        "level",
        "method",
        "recall_any@5",
        "recall_all@5",
        "recall_all@10",
        "ndcg@10",
    ),
    "conflicts": ("record", "memory", "method", "newest@1", "newest@10", "stale@10", "newest_before_stale"),
}
"""What the printed tables show; the JSON has all cuts."""


def measured(data: Path, embedder: Embedder) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each part whose files are there."""
    locomo = data if data.is_file() else data / "locomo" / "locomo_dev2.json"
    if locomo.exists():
        yield "locomo", list(retrieval_locomo.rows(locomo, embedder))
    longmemeval = data / "longmemeval" / "longmemeval_oracle_dev60.jsonl.gz"
    if longmemeval.exists():
        yield "longmemeval", list(retrieval_longmemeval.rows(longmemeval, embedder))
    wordings = data / "trex_triples"
    files = [
        data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz",
        data / "mab_like" / "cr_trex.jsonl.gz",
    ]
    if wordings.exists() and (there := [path for path in files if path.exists()]):
        templates = retrieval_conflicts.Templates.load(wordings)
        yield (
            "conflicts",
            [row for path in there for row in retrieval_conflicts.rows(path, templates, embedder)],
        )


def show(name: str, rows: Sequence[Row]) -> None:
    """A part's table, in Markdown."""
    columns = COLUMNS[name]
    print(f"\n{name}\n\n| {' | '.join(columns)} | n |\n|{' --- |' * (len(columns) + 1)}")
    for row in rows:
        values = [row[column] for column in columns]
        cells = [cell(value) if isinstance(value, dict) else str(value) for value in values]
        counts = {str(value["n"]) for value in values if isinstance(value, dict)}
        print(f"| {' | '.join(cells)} | {', '.join(sorted(counts, key=int, reverse=True))} |")


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--embedder", default="static", help="as for `memquartet.memory.embedders.make_embedder`"
    )
    parser.add_argument("--json", type=Path, help="write all numbers here too")
    parser.add_argument("--plot", type=Path, help="draw bars into this PNG (needs matplotlib)")
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data} is missing: give it with --data, or set MEMQUARTET_DATA")

    embedder = make_embedder(options.embedder)
    report: dict[str, object] = {
        "embedder": embedder.identity,
        "memquartet": __version__,
        "python": platform.python_version(),
    }
    for name, rows in measured(options.data, embedder):
        report[name] = rows
        show(name, rows)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from retrieval_plot import draw

        draw(report, options.plot)


if __name__ == "__main__":
    main()
