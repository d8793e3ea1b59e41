"""Starting a run: presets and overrides become one verl command."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path

from memquartet.errors import ConfigError
from memquartet.training.records import CONFIG, METRICS, STARTS, TRANSCRIPTS, numbered

PLUGIN = "memquartet.training.plugin"
CONFIGS = "memquartet.training.configs"
CPU_PRESET, FUSED_PRESET = "cpu", "h100"
FUSED = "actor_rollout_ref.model.use_fused_kernels"
_OWN_LOGITS = ("logits_scaling", "final_logit_softcapping")
"""Settings of models whose logits verl's fused loss would not compute as they do."""

_NOTED = ("memquartet", "verl", "torch", "vllm", "transformers", "ray", "tensordict", "TransferQueue")
"""Packages whose versions a run notes."""
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
    out: Path | None = None,
) -> Launch:
    """The command of a run.

    Args:
        names: presets, later ones winning; none means `grpo`.
        overrides: `key=value` as Hydra reads them, for any key of verl or of `memquartet`; they win over presets.
        train: parquet files to train on; None of them where an override names them.
        val: parquet files to measure on.
        model: a model's folder or name.
        out: the run's folder, for everything it leaves; None leaves verl's own places. A run that goes on where a
            checkpoint was writes its metrics to a file of its own, since verl's logger begins its file anew.

    Raises:
        ConfigError: no preset of this name, an override without `=`, or a model that the preset's loss does not fit.
    """
    known = presets()
    for name in names:
        if name not in known:
            raise ConfigError(f"no preset {name!r}: use some of {', '.join(known)}")
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"override {override!r}: expected key=value, or ~key to remove one")
    if FUSED_PRESET in names and model and not any(one.startswith(f"{FUSED}=") for one in overrides):
        _check_fused(Path(model))
    chosen = [f"preset=[{','.join(names)}]"] if names else []
    files = [
        f"data.{key}=[{','.join(_quoted(str(path.resolve())) for path in paths)}]"
        for key, paths in (("train_files", train), ("val_files", val))
        if paths
    ]
    extra = _CPU_ENVIRONMENT if CPU_PRESET in names else _vllm()
    environment = {**_ENVIRONMENT, **extra, **_loggers(out)}
    told = ",".join(f"{name}:{_quoted(value)}" for name, value in environment.items())
    # The workers of a Ray that runs already are no children of this process.
    passed_on = [f"++ray_kwargs.ray_init.runtime_env.env_vars={{{told}}}"] if _joins_ray(overrides) else []
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
        *_places(out),
        *passed_on,
        *overrides,
    )
    return Launch(command=command, environment=environment)


def _check_fused(model: Path) -> None:
    """Refuse models for which verl's fused loss stops or, worse, computes other log-probs without a word.

    Raises:
        ConfigError: the model, as far as its folder is here, is such a one.
    """
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    reasons = [key for key in _OWN_LOGITS if config.get(key) not in (None, 1, 1.0)]
    if config.get("tie_word_embeddings") is False:
        reasons.append("untied embeddings")
    if reasons:
        raise ConfigError(
            f"{str(model)!r} has {reasons[0]}, which verl's fused loss does not know: add {FUSED}=false"
            " and actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=32768"
        )


def _vllm() -> Mapping[str, str]:
    """On a GPU vLLM 0.24 wants FlashInfer's sampler, and where FlashInfer is missing it does not start without this."""
    return {} if find_spec("flashinfer") else {"VLLM_USE_FLASHINFER_SAMPLER": "0"}


def runs_beside(launch: Launch) -> tuple[int, ...]:
    """Process ids of other runs on this machine with which this one would interfere.

    verl 0.9.1 sends weights to vLLM through a socket in /tmp that is named by Ray's job, and each Ray counts its jobs
    from 1; and the runs of one Ray (`ray_kwargs.ray_init.address` or RAY_ADDRESS) find their samples in one queue,
    which it looks up by a fixed name. A run on the CPU has no vLLM, and the CPU preset starts a Ray of its own. Runs
    that each have a Ray and a /tmp of their own (in a container or a mount namespace) do not meet.
    """
    if launch.environment.get("VERL_PLATFORM") == "cpu":
        return ()
    import psutil

    return tuple(
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "verl.trainer.main_ppo" in (process.info["cmdline"] or ())
        and process.pid != os.getpid()
        and (_joins_ray(launch.command) or _shares_tmp(process.pid))
    )


def _shares_tmp(pid: int) -> bool:
    """Whether the process sees the same /tmp as this one; True where nothing tells."""
    try:
        return Path(f"/proc/{pid}/root/tmp").samefile("/tmp")
    except OSError:
        return True


def note_start(launch: Launch, out: Path) -> None:
    """Write the command, the time and the versions of packages to the run's folder, for its report."""
    told = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(launch.command),
        "environment": dict(launch.environment),
        "versions": {"python": platform.python_version(), **_versions()},
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{STARTS}-{_next_number(out)}.json"
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def start(launch: Launch, *, timeout: float | None = None, stdout: int | None = None) -> int:
    """Run it to its end in this terminal and return its exit status.

    Args:
        launch: from `plan`.
        stdout: a file descriptor for what it prints; None is this process's own stdout.
        timeout: seconds; Ray waits in silence where it lacks resources, so a bound is worth having.

    Raises:
        subprocess.TimeoutExpired: it took longer; the run was ended.
    """
    return subprocess.run(
        launch.command, env=launch.full_environment(), timeout=timeout, check=False, stdout=stdout
    ).returncode


def _joins_ray(overrides: Sequence[str]) -> bool:
    """Whether a run goes to a Ray that runs already: one that is named, or else that of RAY_ADDRESS."""
    named = [part.partition("ray_init.address=")[2].strip("'\"") for part in overrides]
    address = next((one for one in reversed(named) if one), "null")
    return address != "local" and (address != "null" or bool(os.environ.get("RAY_ADDRESS")))


def _places(out: Path | None) -> list[str]:
    if out is None:
        return []
    folder = out.resolve()
    places = {
        "trainer.default_local_dir": folder / "checkpoints",
        "trainer.validation_data_dir": folder / TRANSCRIPTS,
        "hydra.run.dir": folder / CONFIG.parts[0],
    }
    return [f"{key}={_quoted(str(path))}" for key, path in places.items()]


def _loggers(out: Path | None) -> Mapping[str, str]:
    """Where the loggers `file`, `tensorboard` and `wandb` write; they take it from the environment only."""
    if out is None:
        return {}
    folder = out.resolve()
    return {
        "VERL_FILE_LOGGER_PATH": str(folder / f"{METRICS}-{_next_number(out)}.jsonl"),
        "TENSORBOARD_DIR": str(folder / "tensorboard"),
        "WANDB_DIR": str(folder),
    }


def _next_number(out: Path) -> int:
    """The first number that neither a start nor a metrics file of the folder bears."""
    used = [*numbered(out, STARTS, ".json"), *numbered(out, METRICS, ".jsonl")]
    return 1 + max((int(file.stem.rpartition("-")[2]) for file in used), default=0)


def _versions() -> Mapping[str, str]:
    found = {}
    for name in _NOTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _quoted(text: str) -> str:
    """A string as Hydra's grammar wants it, whatever stands in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
