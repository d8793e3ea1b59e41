"""Prompt sets by name: a text for each role."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError

SHIPPED = "shipped"
"""Full instructions, for models that were not taught the roles. The agents know these texts themselves."""
SHORT = "short"
"""A line or two, for models that learned their roles by heart."""
TAUGHT_CHUNK_TOKENS = 128
"""Tokens of text that a model of that kind reads at a time: it learned on short texts with few facts."""
TAUGHT_SEARCHES = 2
"""How often a model of that kind may search again before it answers: its demonstrations had up to so many searches."""
TAUGHT_TOP_K = 6
"""Facts that a model of that kind is shown with each search: it takes one for another where there are many."""
TAUGHT_LINES = 5
"""Lines of the text, word for word, that a model of that kind is shown with each search: it is small and overlooks much."""


def prompt_set(name: str) -> Mapping[Role, str]:
    """The prompt texts of a set; empty for the shipped ones, which the agents know themselves.

    Args:
        name: "shipped", "short" or a folder with a file ROLE.md for each role.

    Raises:
        ConfigError: `name` is no set, and no folder with a file for each role.
    """
    if name == SHIPPED:
        return {}
    if name == SHORT:
        short = resources.files("memquartet.agents").joinpath("prompts", name)
        return {role: short.joinpath(f"{role}.md").read_text(encoding="utf-8") for role in Role}
    try:
        return {role: (Path(name) / f"{role}.md").read_text(encoding="utf-8") for role in Role}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"prompts {name!r}: use {SHIPPED!r}, {SHORT!r} or a folder with a file ROLE.md for each role ({error})"
        ) from error
