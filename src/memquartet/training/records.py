"""What a run leaves in its folder, read back: metrics by step, validation transcripts, how it was started.

verl's `file` logger writes one JSON object a step, `{"step": 1, "data": {"actor/grad_norm": 0.4, …}}`. Where it was
off, a saved console log holds the same numbers in lines that begin with `step:1 - `.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memquartet.errors import InputError

METRICS, STARTS, TRANSCRIPTS = "metrics", "start", "validation"
CONFIG = Path("hydra", ".hydra", "config.yaml")
"""The settings that Hydra composed, below a run's folder."""

_STEP_LINE = re.compile(r"\bstep:(\d+) - (.*)")
_PAIR = re.compile(r"(\S+):(?:np\.\w+\()?(-?(?:\d[\d.]*(?:e[-+]?\d+)?|inf)|nan)\b")
_MAX_LINE = 16_000_000
"""Characters of one line."""

Metrics = Mapping[int, Mapping[str, float]]
"""Finite numbers by step and name, in the order of steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model call of a validation episode, as it was dumped; what a run did not note is empty or None.

    `unit` is what the call was about, "chunk 3" or "question q1". `reward` is the call's own.
    """

    input: str
    output: str
    role: str = ""
    unit: str = ""
    status: str = ""
    reward: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A validation episode. `outcome` is the answers' correctness, None where nothing was measured."""

    calls: Sequence[Call]
    outcome: float | None
    sample_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as far as its files tell it; everything but the metrics may be missing."""

    name: str
    metrics: Metrics
    transcripts: Mapping[int, Sequence[Transcript]] = field(default_factory=dict)
    starts: Sequence[Mapping[str, object]] = ()
    config: str = ""


def read_run(path: Path) -> RunRecord:
    """Read a run's folder, or its metrics alone from a `.jsonl` file or a console log.

    Raises:
        InputError: nothing there holds metrics, or a file is not what its name says; the message names the line.
    """
    if not path.exists():
        raise InputError(f"no run at {str(path)!r}: expected a folder of `memquartet train --out`, or a log")
    if path.is_file():
        return RunRecord(name=path.stem, metrics=_checked(_read_metrics([path]), path))
    files = numbered(path, METRICS, ".jsonl") or sorted(path.glob("*.jsonl"))
    metrics = _read_metrics(files) or _read_metrics(sorted([*path.glob("*.log"), *path.glob("*.txt")]))
    config = path / CONFIG
    return RunRecord(
        name=path.resolve().name,
        metrics=_checked(metrics, path),
        # A run that began anew leaves the dumps of the one before in place.
        transcripts={
            step: _read_transcripts(file) for step, file in _dumps(path / TRANSCRIPTS) if step in metrics
        },
        starts=[value for file in numbered(path, STARTS, ".json") for _, value in _objects(file, whole=True)],
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
    )


def numbered(folder: Path, stem: str, suffix: str) -> list[Path]:
    """The files `STEM-1SUFFIX`, `STEM-2SUFFIX`, … of a folder in the order of their numbers."""
    found = [
        (int(number), file)
        for file in folder.glob(f"{stem}-*{suffix}")
        if (number := file.name.removeprefix(f"{stem}-").removesuffix(suffix)).isdecimal()
    ]
    return [file for _, file in sorted(found)]


def _checked(metrics: Metrics, path: Path) -> Metrics:
    if not metrics:
        raise InputError(
            f"{str(path)!r} holds no metrics: expected metrics-N.jsonl as `memquartet train --out` makes it, or a"
            " console log with lines 'step:N - …'"
        )
    return dict(sorted(metrics.items()))


def _read_metrics(files: Sequence[Path]) -> Metrics:
    """Later files go on where a checkpoint was: what an earlier one measured after it is given up."""
    found: dict[int, dict[str, float]] = {}
    for file in files:
        steps = list(_logged(file) if file.suffix == ".jsonl" else _printed(file))
        if steps:
            found = {step: values for step, values in found.items() if step <= steps[0][0]}
        for step, values in steps:
            found.setdefault(step, {}).update(values)
    return found


def _logged(file: Path) -> Iterator[tuple[int, dict[str, float]]]:
    for number, value in _objects(file):
        step, data = value.get("step"), value.get("data")
        if not isinstance(step, int) or not isinstance(data, dict):
            raise InputError(f'{file}:{number}: expected {{"step": N, "data": {{…}}}} as verl logs it')
        yield (
            step,
            {
                str(name): float(one)
                for name, one in data.items()
                if isinstance(one, int | float) and math.isfinite(one)
            },
        )


def _printed(file: Path) -> Iterator[tuple[int, dict[str, float]]]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _STEP_LINE.search(line):
                pairs = ((name, float(value)) for name, value in _PAIR.findall(found[2]))
                yield int(found[1]), {name: value for name, value in pairs if math.isfinite(value)}


def _dumps(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(file.stem), file) for file in folder.glob("*.jsonl") if file.stem.isdecimal())


def _read_transcripts(file: Path) -> list[Transcript]:
    """Episodes in the order of the file; calls of one episode share the beginning of their `uid`."""
    calls: dict[str, list[Call]] = {}
    outcomes: dict[str, float | None] = {}
    samples: dict[str, str] = {}
    for number, value in _objects(file):
        if not isinstance(value.get("input"), str) or not isinstance(value.get("output"), str):
            raise InputError(f"{file}:{number}: expected the texts 'input' and 'output' as verl dumps them")
        episode = str(value.get("uid", number)).rpartition("_")[0] or str(number)
        calls.setdefault(episode, []).append(_call(value))
        outcomes[episode] = _number(value.get("outcome"))
        samples[episode] = _text(value.get("sample_id"))
    return [
        Transcript(calls=said, outcome=outcomes[episode], sample_id=samples[episode])
        for episode, said in calls.items()
    ]


def _call(value: Mapping[str, object]) -> Call:
    return Call(
        input=_text(value["input"]),
        output=_text(value["output"]),
        role=_text(value.get("role")),
        unit=_text(value.get("unit")),
        status=_text(value.get("status")),
        reward=_number(value.get("own_reward")),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(file: Path, *, whole: bool = False) -> Iterator[tuple[int, Mapping[str, object]]]:
    """JSON objects with their line numbers: one a line, or the whole file as one.

    A last line that an interruption cut is left out.
    """
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = [text] if whole else text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if len(line) > _MAX_LINE:
                raise ValueError(f"longer than {_MAX_LINE:,} characters")
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines) and not whole:
                return
            raise InputError(f"{file}:{number}: no JSON ({error})") from error
        if not isinstance(value, dict):
            raise InputError(f"{file}:{number}: expected a JSON object, got {type(value).__name__}")
        yield number, value
