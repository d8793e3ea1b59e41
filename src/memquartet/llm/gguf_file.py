"""GGUF files, which llama.cpp runs: read with limits, written whole or not at all."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants
from numpy.typing import DTypeLike, NDArray
from typing_extensions import override

from memquartet.errors import InputError, StoreError

Array = NDArray[np.float32]
Q8_BLOCK = 32
HEADER_PARTS = 4_000_000
"""More than the largest vocabularies need; a damaged length would have billions read."""


class FileType(StrEnum):
    """How weights are kept."""

    F16 = "f16"
    Q8_0 = "q8_0"


class GgufFile:
    """A GGUF file, read with limits."""

    def __init__(self, path: Path) -> None:
        """Read what the file says of itself; its tensors are read when they are looked at.

        Raises:
            InputError: it is no GGUF file, or a damaged one.
        """
        self.path = path
        try:
            self.reader = _Reader(path)
        # A damaged file fails wherever its bytes stop making sense to the reader, which has no error of its own.
        except (OSError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise InputError(
                f"{str(path)!r} is no GGUF file, or a damaged one ({error}): fetch or export it again"
            ) from error
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        # Tensors may lie on top of each other: a small file would fill the memory.
        if sum(int(tensor.n_bytes) for tensor in self.tensors.values()) > path.stat().st_size:
            raise InputError(
                f"{str(path)!r} is damaged: its tensors are larger than it; fetch or export it again"
            )

    def value(self, key: str) -> object:
        """What the file says of this key, or None.

        Raises:
            InputError: it is no text in UTF-8.
        """
        field = self.reader.get_field(key)
        try:
            return None if field is None else field.contents()
        except ValueError as error:
            raise InputError(f"{str(self.path)!r} is damaged: {key} cannot be read ({error})") from error

    def weight(self, name: str) -> Array:
        """A tensor's values.

        Raises:
            InputError: it is of a kind that cannot be read.
        """
        tensor = self.tensors[name]
        try:
            return quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        except (ValueError, NotImplementedError) as error:
            raise InputError(f"{str(self.path)!r}: {name} cannot be read ({error})") from error


class _Reader(GGUFReader):
    """gguf's reader, which takes what lies behind the end of a file for nothing, as often as a damaged length asks."""

    _parts = 0

    @override
    def _get(
        self,
        offset: int,
        dtype: DTypeLike,
        count: int = 1,
        override_order: Literal["I", "S", "<"] | None = None,
    ) -> NDArray[Any]:
        found = super()._get(offset, dtype, count, override_order)
        self._parts += 1
        if len(found) < count or self._parts > HEADER_PARTS:
            raise ValueError("a length in it is wrong, or its end is missing")
        return found


_OWN = frozenset({"general.architecture", "general.name", "general.file_type", "general.alignment"})
"""What a new file says for itself."""


def copy_header(writer: GGUFWriter, source: GgufFile) -> None:
    """Say of a new file what the source says of itself, but for its name, the kinds of its numbers and its layout.

    Raises:
        InputError: the source says something that cannot be read.
    """
    for key, field in source.reader.fields.items():
        value = None if key.startswith("GGUF.") or key in _OWN else source.value(key)
        if value is None or value == []:  # the writer has no form for an empty list
            continue
        inner = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(key, value, field.types[0], inner)


def add_weight(writer: GGUFWriter, name: str, weight: Array, file_type: FileType) -> None:
    """One tensor; vectors stay in 32 bits, and rows that Q8_0's blocks do not divide in 16."""
    if weight.ndim == 1:
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
    elif file_type is FileType.F16 or weight.shape[-1] % Q8_BLOCK:
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float16))
    else:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quants.quantize(np.ascontiguousarray(weight), kind), raw_dtype=kind)


def finish(writer: GGUFWriter, out: Path) -> None:
    """Write to a file that appears only when it is complete: llama.cpp would take half an adapter for a whole one.

    Raises:
        StoreError: the disk refused.
    """
    partial = out.with_name(f"{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(out)
    except OSError as error:
        raise StoreError(
            f"{str(out)!r} cannot be written: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        writer.close()
        partial.unlink(missing_ok=True)
