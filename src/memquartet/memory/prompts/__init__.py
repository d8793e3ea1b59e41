"""System prompts that show a memory to a model, one text file a mode.

What was remembered is data: it stands between tags that no remembered text can close, each entry on one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files
from string import Template

from memquartet.core.memory import MemoryEntry, MemoryState
from memquartet.memory.limits import SAID_AT, chosen

NOTHING = "(empty)"
LOOK_ALIKE = "\u2039"
"""Stands for the "<" of a tag of ours inside remembered text."""

# An opening or closing tag of ours inside remembered text.
_OUR_TAGS = re.compile(r"<(?=\s*/?\s*(?:state|notes|memories)\b)", re.IGNORECASE)


class PromptMode(StrEnum):
    """What the model is about to do with the memory it is shown."""

    MEMORIZE = "memorize"
    """Read new text and bring the memory up to date; sees ids to update or delete by."""
    CHAT = "chat"
    """Answer from memory."""
    RETHINK = "rethink"
    """Merge and remove redundant entries."""


def prompt_mode_named(name: str) -> PromptMode:
    """The mode of that name.

    Raises:
        ConfigError: there is none.
    """
    return chosen(PromptMode, name, "prompt mode")


def render(mode: PromptMode, state: MemoryState, entries: Sequence[MemoryEntry]) -> str:
    """The system prompt of a mode, with entries in the given order."""
    return _template(mode).substitute(
        state=_inert(state.text) or NOTHING,
        notes="\n".join(f"- {_quoted(note)}" for note in state.notes) or NOTHING,
        memories="\n".join(map(entry_line, entries)) or NOTHING,
    )


def entry_line(entry: MemoryEntry) -> str:
    """An entry as one line: `[m3] 2023-05-08 13:56 semantic: "…"`; the time is when it was said, in UTC."""
    said_at = entry.meta.get(SAID_AT)
    time = said_at if isinstance(said_at, str) else entry.created_at.isoformat()
    return f"[{entry.entry_id}] {time[:10]} {time[11:16]} {entry.memory_type}: {_quoted(entry.content)}"


def _quoted(text: str) -> str:
    return json.dumps(_inert(text), ensure_ascii=False)


def _inert(text: str) -> str:
    return _OUR_TAGS.sub(LOOK_ALIKE, text)


@cache
def _template(mode: PromptMode) -> Template:
    return Template(files(__name__).joinpath(f"{mode}.md").read_text(encoding="utf-8").strip())
