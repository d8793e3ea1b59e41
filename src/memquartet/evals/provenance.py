"""What a run was made with: versions, machine, command, and a hash of every prompt that ships with the package."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from memquartet import __version__

_PROMPTS = ("memquartet.agents", "memquartet.systems")


def made_with(command: str) -> dict[str, str]:
    """Versions, platform and command, as `run.json` tells them; none of it makes two runs different runs."""
    return {
        "memquartet": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": command,
    }


@cache
def prompts_hash() -> str:
    """A hash (hex) of the names and texts of all shipped prompts: equal hashes, equal prompts, without asking git."""
    digest = hashlib.blake2b(digest_size=16)
    for package in _PROMPTS:
        for name, text in sorted(_texts(resources.files(package).joinpath("prompts"), package)):
            digest.update(f"{name}\x1f{text}\x1e".encode("utf-8", "replace"))
    return digest.hexdigest()


def _texts(folder: Traversable, name: str) -> list[tuple[str, str]]:
    """Every Markdown file below a folder, by its path."""
    found = []
    for entry in folder.iterdir():
        inner = f"{name}/{entry.name}"
        if entry.is_dir():
            found += _texts(entry, inner)
        elif entry.name.endswith(".md"):
            # Line ends are the file system's, not the prompt's.
            found.append((inner, entry.read_text(encoding="utf-8").replace("\r\n", "\n")))
    return found
