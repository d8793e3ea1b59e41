"""A short conversation of our own writing: two friends, five sessions, facts that change."""

from __future__ import annotations

from importlib.resources import as_file, files

from memquartet.benchmarks.dataset import load_samples
from memquartet.core.samples import Sample


def load_demo() -> list[Sample]:
    """One sample: 55 turns from March to June 2024 and 10 questions, one of which has no answer."""
    with as_file(files("memquartet.benchmarks").joinpath("data", "demo.jsonl")) as path:
        return load_samples(path)
