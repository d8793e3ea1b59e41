"""What stands between this machine and a training run: packages, the plug-in, the accelerator.

verl drops a plug-in that cannot be imported without a word, and its own package checks come late. Everything
that needs an import is asked of a fresh process, so that this one stays without torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from memquartet.training.launch import PLUGIN

VERL = "0.9.1"
_NEEDED = ("torch", "ray", "transformers", "tensordict", "TransferQueue", "pyarrow", "psutil")
_NAME = "memquartet"
_INSTALL = "pip install 'memquartet[train]' (on a machine without GPU after `pip install torch==2.13.0`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `needed` tells whether a run fails without it; `advice` is the next step."""

    name: str
    ok: bool
    detail: str
    advice: str = ""
    needed: bool = True


def diagnose(*, seconds: float = 120.0) -> list[Finding]:
    """Look at everything; importing verl takes some ten seconds.

    Args:
        seconds: bound of each of the two processes that import it.
    """
    found = [_verl_version(), *map(_package, _NEEDED)]
    if all(finding.ok for finding in found):
        found += [*_registered(seconds), _entry_point(), _accelerator(seconds)]
    return [*found, _vllm()]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _verl_version() -> Finding:
    version = _version("verl")
    return Finding(
        name="verl",
        ok=version == VERL,
        detail=version or "not installed",
        advice=f"the trainer is written against verl {VERL}: {_INSTALL}",
    )


def _package(name: str) -> Finding:
    version = _version(name)
    return Finding(name=name, ok=version is not None, detail=version or "not installed", advice=_INSTALL)


def _vllm() -> Finding:
    version = _version("vllm")
    return Finding(
        name="vllm",
        ok=version is not None,
        detail=version or "not installed",
        advice="needed for rollouts on a GPU: pip install vllm==0.24.0",
        needed=False,
    )


def _entry_point() -> Finding:
    found = [entry.value for entry in metadata.entry_points(group="verl.plugins") if entry.name == _NAME]
    return Finding(
        name="entry point",
        ok=found == [PLUGIN],
        detail=", ".join(found) or "missing",
        advice="install the package again; runs started by `memquartet train` do without it",
        needed=False,
    )


def _registered(seconds: float) -> Iterator[Finding]:
    """Whether the plug-in is imported and known to verl, or what verl would have swallowed."""
    code, output, errors = _python(["-m", "memquartet.training.probe"], seconds)
    if code:
        yield Finding(
            name="plug-in",
            ok=False,
            detail=errors.strip().splitlines()[-1] if errors.strip() else f"exit status {code}",
            advice=f"see the whole traceback: VERL_USE_EXTERNAL_MODULES={PLUGIN} {sys.executable} -c 'import verl'",
        )
        return
    registries = json.loads(output.splitlines()[-1])
    for name in ("agent loop", "trainer", "advantage estimator"):
        known = registries[name]
        yield Finding(
            name=name,
            ok=_NAME in known,
            detail=", ".join(known),
            advice=f"{PLUGIN} was imported but did not register: report this",
        )


def _accelerator(seconds: float) -> Finding:
    program = "import torch; print(torch.cuda.device_count(), torch.version.cuda)"
    code, output, _ = _python(["-c", program], seconds)
    count, _, cuda = output.strip().partition(" ")
    usable = code == 0 and count != "0"
    return Finding(
        name="GPU",
        ok=usable,
        detail=f"{count} visible, CUDA {cuda}" if usable else "none visible to torch",
        advice="train a tiny model with --preset cpu, or start on a machine with a GPU",
        needed=False,
    )


def _python(arguments: list[str], seconds: float) -> tuple[int, str, str]:
    environment = {**os.environ, "VERL_USE_EXTERNAL_MODULES": PLUGIN}
    try:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {seconds:g} s"
    return ended.returncode, ended.stdout, ended.stderr
