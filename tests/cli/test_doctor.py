from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.cli.support import read_json, run

from memquartet.cli.doctor import EXTRAS


def test_every_finding_that_is_missing_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEMQUARTET_CACHE", str(tmp_path / "cache"))
    told = read_json(run("doctor", "--json"))
    findings = {finding["what"]: finding for finding in told["findings"]}
    assert findings["Python"]["state"] == "ok"
    assert findings["model smollm2-135m"]["state"] == "missing"
    assert findings["model smollm2-135m"]["step"] == "memquartet model pull smollm2-135m"
    assert findings["OPENAI_API_KEY"]["state"] == "missing"
    assert all(finding["step"] for finding in findings.values() if finding["state"] != "ok")


def test_every_extra_that_a_user_may_want_is_looked_for() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    provided = set(settings["project"]["optional-dependencies"])
    assert provided - {"dev", "bench"} == set(EXTRAS)


def test_a_key_is_reported_but_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    result = run("doctor")
    assert "OPENAI_API_KEY" in result.stdout
    assert "sk-secret" not in result.output


def test_looking_changes_nothing(tmp_path: Path) -> None:
    run("doctor")
    assert list(tmp_path.iterdir()) == []


def test_a_memory_is_counted(two_entries: Path) -> None:
    assert "2 entries, 3 journal records" in run("doctor").stdout


def test_a_model_file_with_the_wrong_checksum_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from memquartet.llm.models import CATALOGUE, cache_dir

    monkeypatch.setenv("MEMQUARTET_CACHE", str(tmp_path / "cache"))
    model = CATALOGUE[0]
    path = cache_dir() / model.name / model.file
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(model.size)
    result = run("doctor")
    assert result.exit_code == 1
    assert "wrong checksum" in result.stdout
    assert f"memquartet model pull {model.name}" in result.stdout


def test_models_are_listed_with_where_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMQUARTET_CACHE", str(tmp_path / "cache"))
    assert "memquartet model pull smollm2-135m" in run("model", "list").stdout
    assert read_json(run("model", "list", "--json"))[0]["installed"] is False


def test_an_unknown_model_cannot_be_pulled() -> None:
    result = run("model", "pull", "gpt-7")
    assert result.exit_code == 1
    assert "cannot pull 'gpt-7'" in result.stderr
