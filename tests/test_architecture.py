"""What must stay true of the package as a whole."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import memquartet

SOURCE = Path(memquartet.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 500
TRAINER = {"torch", "verl", "ray", "tensordict", "transformers", "hydra", "omegaconf"}
EXTRAS = {"openai", "xllamacpp", "huggingface_hub", "sentence_transformers", "nltk", "mem0", "rank_bm25"}
EDGE = "training"
"""The one room that may import the trainer."""


def imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running the code."""
    shown = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(text))


def test_importing_the_package_imports_nothing_else() -> None:
    assert not imported_by("import memquartet") & {"numpy", "pydantic", "click", "rich", *TRAINER, *EXTRAS}


def test_no_room_but_the_edge_imports_the_trainer_or_an_extra() -> None:
    names = [
        "memquartet." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] != EDGE and path.name not in {"__main__.py", "__init__.py"}
    ]
    code = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names)
    assert not imported_by(code) & (TRAINER | EXTRAS)


def test_the_public_list_is_exact() -> None:
    assert sorted(memquartet.__all__) == ["Memory", "__version__"]
    public = {name for name in dir(memquartet) if not name.startswith("_")}
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    modules = {path.stem for path in SOURCE.glob("*.py")}
    assert public - rooms - modules <= {"Memory", "TYPE_CHECKING", "annotations"}
    assert all(getattr(memquartet, name) is not None for name in memquartet.__all__)


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert memquartet.__version__ == version("memquartet")
