from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.support import run, start

from memquartet.cli.command import Command
from memquartet.cli.main import COMMANDS, cli


def every_command() -> Iterator[tuple[str, click.Command]]:
    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from walk(f"{name} {child}".strip(), found)

    yield from walk("", cli)


ALL = dict(every_command())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(name: str, flag: str) -> None:
    result = run(*name.split(), flag)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")
    assert ALL[name].help


@pytest.mark.parametrize("name", [name for name, found in ALL.items() if not isinstance(found, click.Group)])
def test_every_command_shows_examples_of_itself(name: str) -> None:
    found = ALL[name]
    assert isinstance(found, Command)
    assert any(f"{example} ".startswith(f"memquartet {name} ") for example in found.examples)
    shown = run(*name.split(), "-h").stdout
    assert all(example in shown for example in found.examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_commands_help_begins_with(name: str) -> None:
    assert (ALL[name].help or "").startswith(COMMANDS[name].removesuffix("."))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from memquartet.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'pydantic', 'rich', 'tokenizers', 'sqlite3', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.startswith("memquartet, version ")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = run("remember")
    assert result.exit_code == 2
    assert "No such command 'remember'" in result.stderr


def test_an_error_is_one_line_with_the_next_step() -> None:
    result = run("memory", "list")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: no memory at 'memory.db'")
    assert "memquartet ingest FILE" in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    child = start("memory", "list", "--debug", cwd=tmp_path)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert b"Traceback" in err


def test_a_closed_pipe_is_quiet(tmp_path: Path, two_entries: Path) -> None:
    command = f"{sys.executable} -m memquartet memory export - | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_is_printed_in_any_locale(tmp_path: Path, encoding: str) -> None:
    assert run("memory", "import", _export_of("東京 🦊 Zoë"), "--db", tmp_path / "m.db").exit_code == 0
    for json in ([], ["--json"]):
        child = start("memory", "list", "--db", "m.db", *json, cwd=tmp_path, PYTHONIOENCODING=encoding)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert b"Traceback" not in err
        if encoding == "utf-8":
            assert "東京 🦊 Zoë" in out.decode()


def _export_of(content: str) -> Path:
    from memquartet.memory.memory import Memory

    memory = Memory()
    memory.insert("semantic", content)
    memory.export("export.jsonl")
    return Path("export.jsonl")
