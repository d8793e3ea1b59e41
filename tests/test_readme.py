"""What the README and the docs say is tried out."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
from tests.cli.support import model_of, play_team

from memquartet.testing.server import FakeServer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {
    f"{page.name}:{number}": code
    for page in PAGES
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    )
}


def blocks(*, with_model: bool) -> list[str]:
    return [name for name, code in BLOCKS.items() if ("local:" in code) is with_model]


@pytest.mark.parametrize("name", blocks(with_model=False))
def test_code_on_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[name], name, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page


def test_the_readmes_comments_say_what_its_code_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = BLOCKS["README.md:0"]
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    promised = re.findall(r"^ *print\(.*\)  +# (.*)$", code, re.M)
    assert len(promised) == 3
    assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.model
@pytest.mark.parametrize("name", blocks(with_model=True))
def test_code_on_a_page_runs_with_the_local_model(name: str) -> None:
    exec(compile(BLOCKS[name], name, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(play_team) as server:
        monkeypatch.setattr(sys, "argv", [str(path), model_of(server)])
        runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "docs" / "design").glob("*.md"))], ids=lambda page: page.name
)
def test_links_on_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_names_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "memquartet").glob("*/__init__.py")}
    named = set(re.findall(r"^\| `src/memquartet/(\w+)/`", PAGES[0].read_text(encoding="utf-8"), re.M))
    assert named == rooms


def test_the_index_of_design_pages_is_complete() -> None:
    folder = ROOT / "docs" / "design"
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert named == {page.name for page in folder.glob("*.md")} - {"README.md"}


def test_the_commands_page_is_what_the_commands_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write_command_docs.py"))
    written = (ROOT / "docs" / "10-commands.md").read_text(encoding="utf-8")
    assert written == script["render"](), "run: python scripts/write_command_docs.py"
