"""A base and its adapter as one file: llama.cpp is a third faster with it than with both, which it multiplies one by one."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from memquartet.errors import InputError, StoreError
from memquartet.llm.gguf_file import FileType, GgufFile, add_weight, copy_header, finish
from memquartet.llm.models import locked

MAX_BYTES = 1_000_000_000
"""Larger bases are left alone: the sum would take minutes and gigabytes, and large products hide the small ones."""
KEPT = 4
"""Files in the folder; those that were not used for longest go first."""
WAIT_SECONDS = 60.0
"""For another process that is making one."""

_HALVES = (".lora_a", ".lora_b")
_PLAIN = (GGMLQuantizationType.F16, GGMLQuantizationType.BF16, GGMLQuantizationType.F32)


def merged_file(base: Path, adapter: Path, folder: Path) -> Path | None:
    """The file of both, made where it is not in the folder yet: some seconds for 135 million weights.

    Matrices that the adapter changes are kept in Q8_0, or in F16 where the base has them unquantised; all others are
    as in the base.

    Args:
        base: a model's GGUF file.
        adapter: a LoRA's GGUF file for it.
        folder: of such files and of nothing else.

    Returns:
        None where llama.cpp has to apply the adapter: a large base, one in several files, or an adapter that is no plain
        low-rank change of the base's matrices.

    Raises:
        InputError: one of the files is damaged.
        StoreError: the file cannot be written.
        DownloadError: the folder cannot be used.
    """
    try:
        state = base.stat()
        if state.st_size + adapter.stat().st_size > MAX_BYTES:
            return None
        known = hashlib.sha256(f"{base.resolve()} {state.st_size} {state.st_mtime_ns}".encode())
        known.update(adapter.read_bytes())
        path = folder / f"{known.hexdigest()[:24]}.gguf"
        if path.is_file():
            os.utime(path)
            return path
        with locked(path, seconds=WAIT_SECONDS):
            if not path.is_file() and not _merge(base, adapter, path):
                return None
            _evict(folder)
    except OSError as error:
        raise StoreError(
            f"no file of {str(base)!r} and {str(adapter)!r} in {str(folder)!r}: {error}"
        ) from error
    return path


def _merge(base: Path, adapter: Path, path: Path) -> bool:
    beneath, lora = GgufFile(base), GgufFile(adapter)
    factors = _factors(beneath, lora)
    if not factors:
        return False
    writer = GGUFWriter(None, str(beneath.value("general.architecture")))
    copy_header(writer, beneath)
    writer.add_name(adapter.stem)
    for name, tensor in beneath.tensors.items():
        if name not in factors:
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        a, b = (lora.weight(f"{name}{half}") for half in _HALVES)
        with np.errstate(all="ignore"):
            weight = beneath.weight(name) + np.float32(factors[name]) * (b @ a)
        if not np.isfinite(weight).all():
            raise InputError(f"{str(adapter)!r} is damaged: {name} comes out as no number")
        add_weight(writer, name, weight, FileType.F16 if tensor.tensor_type in _PLAIN else FileType.Q8_0)
    finish(writer, path)
    return True


def _factors(base: GgufFile, lora: GgufFile) -> dict[str, float]:
    """By what each matrix's change is multiplied; empty where the adapter is more than a change of plain matrices."""
    alpha = lora.value("adapter.lora.alpha")
    if (
        lora.value("general.type") != "adapter"
        or lora.value("adapter.type") != "lora"
        or lora.value("general.architecture") != base.value("general.architecture")
        or lora.value("adapter.alora.invocation_tokens") is not None
        or base.value("split.count") not in (None, 0, 1)
        or not isinstance(alpha, int | float)
        or not math.isfinite(alpha)
    ):
        return {}
    found: dict[str, float] = {}
    for name in lora.tensors:
        of = name.removesuffix(_HALVES[0]).removesuffix(_HALVES[1])
        # Shapes in GGUF begin with the rows' length; those of an embedding's halves stand the other way round.
        shapes = [_shape(lora, of + half) for half in _HALVES]
        if [len(shape) for shape in shapes] != [2, 2]:
            return {}
        (columns, rank), (inner, rows) = shapes
        if _shape(base, of) != [columns, rows] or rank < 1:
            return {}
        if inner != rank:
            raise InputError(f"{str(lora.path)!r} is damaged: the halves of {of} are of different ranks")
        # llama.cpp takes an alpha of 0 for a factor of 1.
        found[of] = alpha / rank if alpha else 1.0
    return found


def _shape(file: GgufFile, name: str) -> list[int]:
    return [int(n) for n in file.tensors[name].shape] if name in file.tensors else []


def _evict(folder: Path) -> None:
    files = sorted(folder.glob("*.gguf"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        with suppress(OSError):  # another process may have it open
            file.unlink()
