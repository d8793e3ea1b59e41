"""`memquartet doctor`: what is installed, what is missing, and how to get it. Changes nothing, asks no network."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import click

from memquartet.cli.command import Command
from memquartet.cli.options import Target, screen_options, target_options
from memquartet.cli.screen import Screen
from memquartet.errors import MemquartetError
from memquartet.llm.download import sha256_of
from memquartet.llm.models import CATALOGUE, cache_dir, installed, path_of
from memquartet.memory.embedders import make_embedder

SUPPORTED = ((3, 11), (3, 12))
MIN_SQLITE = (3, 35)
MIN_FREE_BYTES = 500_000_000
EXTRAS = {
    "openai": ("openai", "models and embeddings behind an OpenAI-compatible server"),
    "local": ("xllamacpp", "models in this process, through llama.cpp"),
    "score": ("nltk", "the scores of LoCoMo"),
    "eval": ("bpe_openai", "other benchmarks: their files, chunks and scores"),
    "embed": ("sentence_transformers", "embedders that need torch"),
    "train": ("verl", "training on verl"),
}
"""Extra: the module that shows it is there, and what it is for."""


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    """Works."""
    MISSING = "missing"
    """Not there; needed for some things only."""
    BROKEN = "broken"
    """Has to be repaired before memquartet works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; `step` says how to get what is missing."""

    what: str
    state: State
    detail: str
    step: str = ""


@click.command(
    "doctor",
    cls=Command,
    examples=["memquartet doctor", "memquartet doctor --json | python -m json.tool"],
)
@target_options
@screen_options
def command(*, target: Target, screen: Screen) -> None:
    """Say what is installed, what is missing and how to get it.

    Looks only: nothing is installed, fetched or changed, and no server is asked. Exit code 1 when something is
    broken; what is merely missing is no error.
    """
    findings = list(_findings(target))
    broken = [finding for finding in findings if finding.state is State.BROKEN]
    if screen.as_json:
        screen.json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
    else:
        marks = {State.OK: "ok", State.MISSING: "—", State.BROKEN: "NO"}
        screen.table(
            ["", "WHAT", "FOUND"],
            [[marks[f.state], f.what, f.detail + (f"  → {f.step}" if f.step else "")] for f in findings],
        )
    if broken:
        raise SystemExit(1)


def _findings(target: Target) -> Iterator[Finding]:
    yield _python()
    yield Finding(what="memquartet", state=State.OK, detail=importlib.metadata.version("memquartet"))
    yield from map(_extra, EXTRAS)
    yield from _models()
    yield _embedder(target.embedder)
    yield _sqlite()
    yield _memory_file(target)
    yield _disk(target.db)
    yield _api_key()


def _python() -> Finding:
    fits = sys.version_info[:2] in SUPPORTED
    return Finding(
        what="Python",
        state=State.OK if fits else State.BROKEN,
        detail=f"{platform.python_version()} ({sys.executable})",
        step="" if fits else "use Python 3.11 or 3.12",
    )


def _extra(name: str) -> Finding:
    module, purpose = EXTRAS[name]
    # find_spec looks without importing: no torch is loaded to say that it is there.
    if importlib.util.find_spec(module):
        found = importlib.metadata.version(module.replace("_", "-"))
        return Finding(what=f"extra {name}", state=State.OK, detail=f"{module} {found}: {purpose}")
    return Finding(
        what=f"extra {name}", state=State.MISSING, detail=purpose, step=f"pip install 'memquartet[{name}]'"
    )


def _models() -> Iterator[Finding]:
    here = set(installed())
    for model in CATALOGUE:
        what = f"model {model.name}"
        pull = f"memquartet model pull {model.name}"
        if model not in here:
            detail = f"not in {cache_dir()} ({model.size / 1e6:.0f} MB)"
            yield Finding(what=what, state=State.MISSING, detail=detail, step=pull)
            continue
        path = path_of(model.name)
        if sha256_of(path) == model.sha256:
            yield Finding(what=what, state=State.OK, detail=f"{path}, checksum right")
        else:
            yield Finding(
                what=what,
                state=State.BROKEN,
                detail=f"{path} has the wrong checksum",
                step=f"delete it and run: {pull}",
            )


def _embedder(spec: str) -> Finding:
    what = f"embedder {spec}"
    if not spec.startswith(("static", "none")):
        return Finding(what=what, state=State.OK, detail="not tried: it would load a model or ask a server")
    try:
        embedder = make_embedder(spec)
        embedder.embed(["Does it work?"])
    except MemquartetError as error:
        return Finding(what=what, state=State.BROKEN, detail=str(error))
    return Finding(what=what, state=State.OK, detail=f"{embedder.identity}, {embedder.dim} numbers a vector")


def _sqlite() -> Finding:
    fits = sqlite3.sqlite_version_info >= MIN_SQLITE
    return Finding(
        what="SQLite",
        state=State.OK if fits else State.BROKEN,
        detail=sqlite3.sqlite_version,
        step="" if fits else f"needs {'.'.join(map(str, MIN_SQLITE))} or newer: use another build of Python",
    )


def _memory_file(target: Target) -> Finding:
    what = f"memory {target.db}"
    if not target.db.exists():
        return Finding(
            what=what, state=State.MISSING, detail="no such file yet", step="memquartet ingest FILE"
        )
    try:
        with target.open() as memory:
            return Finding(
                what=what, state=State.OK, detail=f"{len(memory):,} entries, {memory.seq:,} journal records"
            )
    except MemquartetError as error:
        return Finding(what=what, state=State.BROKEN, detail=str(error))


def _disk(db: Path) -> Finding:
    folder = next(parent for parent in db.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    enough = free >= MIN_FREE_BYTES
    return Finding(
        what="disk",
        state=State.OK if enough else State.BROKEN,
        detail=f"{free / 1e9:.1f} GB free at {folder}",
        step="" if enough else "free some space, or give another --db",
    )


def _api_key() -> Finding:
    if os.environ.get("OPENAI_API_KEY"):
        return Finding(what="OPENAI_API_KEY", state=State.OK, detail="set")
    return Finding(
        what="OPENAI_API_KEY",
        state=State.MISSING,
        detail="not set: needed for openai:MODEL; a server of your own mostly wants none",
        step="export OPENAI_API_KEY=…",
    )
