from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.support import play_team

from memquartet.memory.memory import Memory
from memquartet.testing.server import FakeServer


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, without settings of the machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("MEMQUARTET_DB", "MEMQUARTET_MODEL", "MEMQUARTET_EMBEDDER", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def team() -> Iterator[FakeServer]:
    """A model server that plays the four agents."""
    with FakeServer(play_team) as server:
        yield server


@pytest.fixture
def two_entries(tmp_path: Path) -> Path:
    """A memory with two entries, one of them changed once: journal records 1 to 3."""
    path = tmp_path / "memory.db"
    with Memory.open(path) as memory:
        memory.insert("semantic", "Ann lives in Leeds")
        memory.insert("episodic", "Bob ran a marathon [bold]fast[/bold]")
        memory.update("m1", "Ann lives in Bristol")
    return path
