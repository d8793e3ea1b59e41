from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from memquartet.benchmarks.dataset import save_samples
from memquartet.benchmarks.demo import load_demo
from memquartet.testing.server import FakeServer, Received, Served

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate_on_gpu.py"


def evaluated(folder: Path, server: FakeServer, *more: str) -> Any:  # Any: the table's JSON
    save_samples(folder / "demo.jsonl", load_demo())
    command: list[str | Path] = [
        sys.executable,
        SCRIPT,
        "--sets",
        folder,
        "--out",
        folder / "out",
        "--server",
        server.base_url,
    ]
    subprocess.run([*command, "--set", "demo", *more], check=True, capture_output=True)
    return json.loads((folder / "out" / "table.json").read_text(encoding="utf-8"))


def test_every_system_has_a_row_and_the_runs_are_packed(tmp_path: Path) -> None:
    with FakeServer(["Bristol"]) as server:
        table = evaluated(tmp_path, server, "--system", "no_memory", "--system", "rag_bm25")
    assert [(row["set"], row["system"], row["n"]) for row in table["rows"]] == [
        ("demo", "no_memory", 10),
        ("demo", "rag_bm25", 10),
    ]
    assert "| no_memory | " in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "report.html").exists()
    with tarfile.open(tmp_path / "out" / "runs.tar.gz") as packed:
        assert "runs/demo/rag_bm25/rag_bm25.questions.jsonl" in packed.getnames()


def test_what_is_not_finished_in_time_is_missing_and_the_rest_is_kept(tmp_path: Path) -> None:
    def slow_readers(received: Received) -> Served | str:
        messages = received.body["messages"]
        assert isinstance(messages, list)
        return Served(delay=60.0) if "You extract facts" in messages[0]["content"] else "Bristol"

    with FakeServer(slow_readers) as server:
        table = evaluated(
            tmp_path,
            server,
            "--system",
            "quartet",
            "--system",
            "no_memory",
            "--seconds",
            "20",
            "--grace",
            "1",
        )
    assert [(row["system"], row["n"]) for row in table["rows"]] == [("quartet", 0), ("no_memory", 10)]
