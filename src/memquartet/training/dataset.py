"""Samples as verl's parquet rows, with a manifest beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType

from pydantic import TypeAdapter, ValidationError

from memquartet.core.samples import Sample
from memquartet.errors import InputError, MissingExtraError

AGENT_NAME = "memquartet"
"""The agent loop that the rows ask for."""
FORMAT = "memquartet.rows/1"


class Split(StrEnum):
    """What a data set is for."""

    TRAIN = "train"
    """Drawn from in every step."""
    VALIDATION = "val"
    """Measured only: an episode that the world spoiled is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a data set was made of. `digest` is the BLAKE2b of the samples in order."""

    format: str
    split: str
    sources: Mapping[str, int]
    seed: int
    samples: int
    chunks: int
    questions: int
    digest: str


@cache
def _adapter() -> TypeAdapter[Sample]:
    return TypeAdapter(Sample)


def encode_sample(sample: Sample) -> str:
    """One sample as JSON."""
    return _adapter().dump_json(sample).decode()


def decode_sample(text: str) -> Sample:
    """The sample of `encode_sample`.

    Raises:
        InputError: it is not one; the message names the first wrong field.
    """
    try:
        return _adapter().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "sample"
        raise InputError(f"{place}: {first['msg']}") from error


def verl_row(sample: Sample, *, index: int, split: Split) -> dict[str, object]:
    """One row: the sample travels in `extra_info`; the prompt only names it, as the episode makes its own."""
    return {
        "data_source": sample.source or "memquartet",
        "agent_name": AGENT_NAME,
        "prompt": [{"role": "user", "content": sample.sample_id}],
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": index, "split": split, "sample": encode_sample(sample)},
    }


def parquet_writer() -> ModuleType:
    """The package pyarrow, with its `parquet`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("parquet needs pyarrow: pip install 'memquartet[train]'") from error
    module: ModuleType = pyarrow
    return module


def build_dataset(samples: Sequence[Sample], path: Path, *, split: Split, seed: int) -> Manifest:
    """Write samples to a parquet file and its manifest to the same path with `.json` added.

    Args:
        samples: in the order in which they are to stand; at least one.
        path: the parquet file; its folder is made.
        split: what it is for.
        seed: what the samples were drawn or generated with; only noted.

    Raises:
        InputError: there are no samples.
        MissingExtraError: pyarrow is not installed.
    """
    if not samples:
        raise InputError(f"no samples for {str(path)!r}: a data set needs at least one")
    arrow = parquet_writer()
    rows = [verl_row(sample, index=index, split=split) for index, sample in enumerate(samples)]
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), path)
    manifest = _manifest(samples, split=split, seed=seed)
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    path.with_name(path.name + ".json").write_text(text, encoding="utf-8")
    return manifest


def _manifest(samples: Sequence[Sample], *, split: Split, seed: int) -> Manifest:
    digest = hashlib.blake2b(digest_size=16)
    sources: dict[str, int] = {}
    for sample in samples:
        digest.update(encode_sample(sample).encode())
        sources[sample.source] = sources.get(sample.source, 0) + 1
    return Manifest(
        format=FORMAT,
        split=split,
        sources=sources,
        seed=seed,
        samples=len(samples),
        chunks=sum(len(sample.chunks) for sample in samples),
        questions=sum(len(sample.questions) for sample in samples),
        digest=digest.hexdigest(),
    )
