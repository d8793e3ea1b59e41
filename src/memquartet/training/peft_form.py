"""An adapter of llama.cpp (GGUF) in PEFT's form, for transformers, vLLM and further training: the reverse of `export`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gguf import GGMLQuantizationType
from safetensors.numpy import save

from memquartet.errors import ConfigError, InputError, StoreError
from memquartet.llm.gguf_file import Array, GgufFile
from memquartet.training.export import ARCHITECTURE, LINEAR, Base

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MAX_BYTES = 2**31
MAX_RANK = 1024

_TENSOR = re.compile(r"(blk\.(\d+)\.(\w+)\.weight)\.lora_([ab])", re.ASCII)
_TRAINED = {
    ours: f"{'self_attn' if ours.startswith('attn') else 'mlp'}.{theirs}_proj"
    for theirs, ours in LINEAR.items()
}
_KINDS = (
    GGMLQuantizationType.F32,
    GGMLQuantizationType.F16,
    GGMLQuantizationType.BF16,
    GGMLQuantizationType.Q8_0,
)
_EXPECTED = "expected a LoRA's GGUF file, as `memquartet train export` writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written: `bytes` are those of the weights."""

    tensors: int
    rank: int
    alpha: float
    bytes: int


def to_peft(source: Path, folder: Path, base: Path, *, model: str) -> Written:
    """Write an adapter's GGUF file as a folder that PEFT loads, in 32 bits, so that nothing is rounded again.

    Matrices of smaller rank than the largest are filled up with zeros: servers want one rank for all.

    Args:
        source: a LoRA's GGUF file.
        folder: gets both files or none; it must be empty or not be there.
        base: the GGUF file that the adapter was taught from, which says how the attention's heads are laid out.
        model: the Hugging Face folder made from the base, as adapter_config.json is to name it.

    Raises:
        InputError: the source is damaged, no LoRA of a llama's linear layers, or does not go with the base.
        ConfigError: the base is of an unknown architecture, or the folder holds something.
        StoreError: the disk refused; nothing is left of the files.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{str(folder)!r} holds files already: choose another folder")
    adapter = _opened(source)
    alpha = _alpha(adapter)
    pairs = _pairs(adapter)
    beneath = Base(base)
    rank = max(len(adapter.tensors[f"{name}.lora_a"].data) for name in pairs)
    weights: dict[str, Array] = {}
    for name, module in pairs.items():
        a, b = (_weight(adapter, f"{name}.lora_{half}") for half in "ab")
        if b.shape[1] != len(a):
            raise InputError(f"{str(source)!r}: the halves of {name} are of ranks {len(a)} and {b.shape[1]}")
        beneath.check(name, (len(b), a.shape[1]))
        lacking = rank - len(a)
        if lacking and alpha:
            # llama.cpp divides alpha by each matrix's own rank, PEFT by the one of the adapter.
            b = b * np.float32(rank / len(a))
        key = f"base_model.model.{module}"
        weights[f"{key}.lora_A.weight"] = np.pad(a, ((0, lacking), (0, 0)))
        weights[f"{key}.lora_B.weight"] = np.pad(beneath.as_trained(name, b), ((0, 0), (0, lacking)))
    # llama.cpp takes an alpha of 0 for a factor of 1.
    alpha = alpha or float(rank)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model,
        "target_modules": _targets(pairs, beneath),
        "r": rank,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    size = _write(folder, weights, config)
    return Written(tensors=len(weights), rank=rank, alpha=alpha, bytes=size)


def _opened(path: Path) -> GgufFile:
    """The file, which says that it is a LoRA of a llama and is no larger than it may be."""
    if not path.is_file():
        raise InputError(f"{str(path)!r}: no such file; {_EXPECTED}, or a taught model's name")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{str(path)!r} has {size / 1e9:.1f} GB, more than any adapter; {_EXPECTED}")
    adapter = GgufFile(path)
    for key, wanted in (
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.architecture", ARCHITECTURE),
        ("adapter.alora.invocation_tokens", None),  # switched on by words of the prompt
    ):
        found = adapter.value(key)
        if found != wanted:
            raise InputError(
                f"{str(path)!r} is no LoRA of a llama: {key} is {str(found)[:40]!r}; {_EXPECTED}"
            )
    return adapter


def _alpha(adapter: GgufFile) -> float:
    alpha = adapter.value("adapter.lora.alpha")
    if alpha is None:
        return 0.0
    if not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha < 0:
        raise InputError(
            f"{str(adapter.path)!r}: its alpha is {str(alpha)[:40]!r}, which is no scale; {_EXPECTED}"
        )
    return float(alpha)


def _pairs(adapter: GgufFile) -> dict[str, str]:
    """The names of adapted matrices in GGUF, and of their modules in transformers.

    Raises:
        InputError: there are none, one is no linear layer's, lacks a half, or is kept in an unknown form.
    """
    halves: dict[str, set[str]] = {}
    modules: dict[str, str] = {}
    for name, tensor in adapter.tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None or found[3] not in _TRAINED:
            raise InputError(
                f"{str(adapter.path)!r}: {name[:60]!r} is no part of a LoRA of linear layers; {_EXPECTED}"
            )
        if tensor.tensor_type not in _KINDS or len(tensor.shape) != 2:
            raise InputError(
                f"{str(adapter.path)!r}: {name} is kept as {tensor.tensor_type.name} of {len(tensor.shape)} dimensions;"
                f" {_EXPECTED}"
            )
        if found[4] == "a" and not 1 <= len(tensor.data) <= MAX_RANK:
            raise InputError(
                f"{str(adapter.path)!r}: {name} is of rank {len(tensor.data)}, not of 1 to {MAX_RANK}; {_EXPECTED}"
            )
        halves.setdefault(found[1], set()).add(found[4])
        modules[found[1]] = f"model.layers.{found[2]}.{_TRAINED[found[3]]}"
    if not halves or any(len(found) < 2 for found in halves.values()):
        raise InputError(f"{str(adapter.path)!r}: an adapted layer, or half of one, is missing; {_EXPECTED}")
    return modules


def _weight(adapter: GgufFile, name: str) -> Array:
    weight = adapter.weight(name)
    if not np.isfinite(weight).all():
        raise InputError(
            f"{str(adapter.path)!r} is damaged: {name} holds what is no number; fetch or export it again"
        )
    return weight


def _targets(pairs: Mapping[str, str], base: Base) -> list[str]:
    """What PEFT is to adapt: the parts of a layer by name, or each module where not all layers have the same."""
    parts = {name.split(".")[2] for name in pairs}
    everywhere = {name for name in base.tensors if name.startswith("blk.") and name.split(".")[2] in parts}
    if everywhere == pairs.keys():
        return sorted(_TRAINED[part].rpartition(".")[2] for part in parts)
    return sorted(pairs.values())


def _write(folder: Path, weights: Mapping[str, Array], config: Mapping[str, object]) -> int:
    """Write both files; the one that makes the folder an adapter comes last."""
    content = save(
        {key: np.ascontiguousarray(weight) for key, weight in weights.items()}, metadata={"format": "pt"}
    )
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with TemporaryDirectory(prefix="unfinished-", dir=folder) as place:
                beside = Path(place)
                (beside / WEIGHTS).write_bytes(content)
                (beside / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
                for name in (WEIGHTS, CONFIG):
                    (beside / name).replace(folder / name)
        finally:
            if new and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise StoreError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}; free space or choose another folder"
        ) from error
    return len(content)
