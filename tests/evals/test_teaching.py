"""The command behind the page of results, on a few questions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memquartet.testing.server import FakeServer

REPOSITORY = Path(__file__).parents[2]


def teaching(*arguments: str) -> str:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "teaching.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(server: FakeServer, label: str, out: Path) -> Any:  # Any: parsed JSON, looked into by the test
    teaching(
        "run", "--label", label, "--model", f"openai:m@{server.base_url}", "--out", str(out), "--episodes", "1",
        "--only", "world-conflict", "--rows", "quartet", "no_memory", "oracle", "--prompts", "short",
    )  # fmt: skip
    return json.loads((out / "teaching.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_model_s_rows_are_measured_once_and_stand_beside_another_s(tmp_path: Path) -> None:
    with FakeServer(["no information available"]) as server:
        first = run(server, "first", tmp_path / "a")
        asked = len(server.requests)
        assert run(server, "first", tmp_path / "a")["results"] == first["results"]
        assert len(server.requests) == asked
        run(server, "second", tmp_path / "b")
    rows = {result["row"]: result for result in first["results"]}
    assert set(rows) == {"quartet", "no_memory", "oracle"}
    assert first["config"]["prompts"] == "short"
    assert rows["quartet"]["memory"]["invalid"]["extractor"]["mean"] == 1.0
    assert rows["oracle"]["memory"]["right_decisions"]["mean"] == 1.0
    assert first["paired"][0]["a"] == "no_memory"
    files = [str(tmp_path / name / "teaching.json") for name in "ab"]
    teaching("merge", *files, "--out", str(tmp_path / "page"))
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| first | no_memory |" in page
    assert "| second | quartet |" in page
    assert "first quartet | second quartet" in page
    assert page.count("| — | oracle |") >= 1
