from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.systems.support import run, sample, scripted

from memquartet.errors import ConfigError
from memquartet.memory.embedders import NoEmbedder
from memquartet.systems.living import settings_of
from memquartet.systems.registry import GROUP, OURS, make_system, system_names

MODULE = """
from dataclasses import dataclass
from memquartet.systems.raw import NoMemory
from memquartet.systems.registry import read_settings

@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3

def make(parts, given):
    return NoMemory(answerer=parts.team.answerer, settings=read_settings(Settings, given), name="theirs")

broken = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings the systems "theirs", "broken" and "gone"."""
    (tmp_path / "their_systems.py").write_text(MODULE, encoding="utf-8")
    info = tmp_path / "their_systems-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-systems\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\ntheirs = their_systems:make\nbroken = their_systems:broken\ngone = their_systems:gone\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def make(name: str, **settings: object) -> object:
    return make_system(name, scripted({}), embedder=NoEmbedder(), settings=settings)


def test_every_system_of_the_issue_is_there() -> None:
    assert set(OURS) == {
        "quartet", "no_memory", "full_context", "rag_bm25", "rag_embedding", "rag_hybrid",
        "mem_alpha", "memagent", "mem0", "memory_r1", "mmoa_rag", "camelot", "oracle",
    }  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_a_system_is_called_by_its_name_and_tells_its_settings(name: str) -> None:
    system = make_system(name, scripted({}), embedder=NoEmbedder())
    assert system.name == name
    assert isinstance(settings_of(system), dict)


def test_settings_are_read_from_text_and_told() -> None:
    system = make_system("rag_bm25", scripted({}), embedder=NoEmbedder(), settings={"top_k": "5"})
    assert settings_of(system)["top_k"] == 5


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no system 'elephant': use quartet, no_memory, rag_bm25"):
        make("elephant")


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no setting 'k': use unit, top_k, context_tokens"):
        make("rag_bm25", k=5)


def test_a_setting_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ConfigError, match=r"setting 'top_k'.*given 'many'"):
        make("rag_bm25", top_k="many")


def test_a_package_brings_its_own_system(package: Path) -> None:
    assert {"broken", "gone", "theirs"} <= set(system_names())
    system = make_system("theirs", scripted({}), embedder=NoEmbedder(), settings={"size": "4"})
    assert system.name == "theirs"
    assert settings_of(system) == {"size": 4}
    assert run("theirs", scripted({"answerer": "Oslo"}), sample("x")).answers[0].text == "Oslo"


def test_an_entry_point_that_cannot_be_loaded_says_so(package: Path) -> None:
    with pytest.raises(ConfigError, match=r"'gone' .their_systems:gone. cannot be loaded"):
        make("gone")
    with pytest.raises(ConfigError, match="is no factory, but a int"):
        make("broken")


@pytest.mark.parametrize("name", ["quartet", "rag_hybrid", "memory_r1"])
def test_equal_runs_make_equal_requests_so_that_a_cache_can_answer_them(name: str) -> None:
    lines = "\n".join(f"Person{n} lives in Oslo." for n in range(40))
    facts = [{"speaker": "", "text": f"Person{n} lives in Oslo."} for n in range(40)]
    replies = {
        "extractor": json.dumps({"semantic": lines.splitlines(), "episodic": [], "unimportant": []}),
        "manager": json.dumps({"decisions": [{"fact": n, "op": "ADD"} for n in range(40)]}),
        "r1_extract": json.dumps({"facts": facts}),
        "r1_manage": json.dumps({"memory": [{"id": "x", "event": "ADD", **fact} for fact in facts]}),
        "answerer": "Oslo",
        "r1_answer": "**Answer:** Oslo",
    }
    first, second = scripted(replies), scripted(replies)
    for model in (first, second):
        run(name, model, sample(lines, lines))
    assert first.requests == second.requests
