"""Starting a run: presets and overrides become one verl command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from memquartet.errors import ConfigError

PLUGIN = "memquartet.training.plugin"
CONFIGS = "memquartet.training.configs"
CPU_PRESET = "cpu"

_CPU_ENVIRONMENT = {"VERL_PLATFORM": "cpu"}
_ENVIRONMENT = {
    # Loud: a plug-in that verl finds by its entry point fails in silence.
    "VERL_USE_EXTERNAL_MODULES": PLUGIN,
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run as it would be started: the command, and what it adds to the environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def shell(self) -> str:
        """One line for a shell."""
        settings = (f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        return " ".join([*settings, shlex.join(self.command)])

    def full_environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment with the run's own settings and `more` in it."""
        return {**os.environ, **self.environment, **(more or {})}


def presets() -> Mapping[str, str]:
    """Every preset's name and its first line of comment."""
    folder = resources.files(CONFIGS).joinpath("preset")
    found = sorted(item.name for item in folder.iterdir() if item.name.endswith(".yaml"))
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in found}
    return {name.removesuffix(".yaml"): text.splitlines()[1].lstrip("# ") for name, text in texts.items()}


def plan(
    names: Sequence[str],
    overrides: Sequence[str],
    *,
    train: Sequence[Path] = (),
    val: Sequence[Path] = (),
    model: str | None = None,
) -> Launch:
    """The command of a run.

    Args:
        names: presets, later ones winning; none means `grpo`.
        overrides: `key=value` as Hydra reads them, for any key of verl or of `memquartet`; they win over presets.
        train: parquet files to train on; None of them where an override names them.
        val: parquet files to measure on.
        model: a model's folder or name.

    Raises:
        ConfigError: no preset of this name, or an override without `=`.
    """
    known = presets()
    for name in names:
        if name not in known:
            raise ConfigError(f"no preset {name!r}: use some of {', '.join(known)}")
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"override {override!r}: expected key=value, or ~key to remove one")
    chosen = [f"preset=[{','.join(names)}]"] if names else []
    files = [
        f"data.{key}=[{','.join(_quoted(str(path.resolve())) for path in paths)}]"
        for key, paths in (("train_files", train), ("val_files", val))
        if paths
    ]
    path = [f"actor_rollout_ref.model.path={_quoted(model)}"] if model else []
    command = (
        sys.executable,
        "-m",
        "verl.trainer.main_ppo",
        "--config-path",
        f"pkg://{CONFIGS}",
        "--config-name",
        "memquartet",
        *chosen,
        *files,
        *path,
        *overrides,
    )
    extra = _CPU_ENVIRONMENT if CPU_PRESET in names else {}
    return Launch(command=command, environment={**_ENVIRONMENT, **extra})


def start(launch: Launch, *, timeout: float | None = None) -> int:
    """Run it to its end in this terminal and return its exit status.

    Args:
        launch: from `plan`.
        timeout: seconds; Ray waits in silence where it lacks resources, so a bound is worth having.

    Raises:
        subprocess.TimeoutExpired: it took longer; the run was ended.
    """
    return subprocess.run(
        launch.command, env=launch.full_environment(), timeout=timeout, check=False
    ).returncode


def _quoted(text: str) -> str:
    """A string as Hydra's grammar wants it, whatever stands in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
