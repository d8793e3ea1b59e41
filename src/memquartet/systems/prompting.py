"""The systems' prompts, one file a call: `prompts/NAME.md`, in the form that `render_prompt` reads."""

from __future__ import annotations

from functools import cache
from importlib import resources

from memquartet.agents.base import render_prompt
from memquartet.core.messages import Message


def prompt(name: str, **values: str) -> tuple[Message, ...]:
    """The messages of `prompts/NAME.md` with its `$names` filled."""
    return render_prompt(prompt_text(name), values)


@cache
def prompt_text(name: str) -> str:
    """The text of `prompts/NAME.md`."""
    return resources.files("memquartet.systems").joinpath(f"prompts/{name}.md").read_text(encoding="utf-8")
