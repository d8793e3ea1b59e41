"""What was trained, as a GGUF file for llama.cpp: an adapter, a whole model, or the adapter nearest to a whole model.

The base is always the GGUF file that the result is to be used with or in place of: it says how the attention's heads are
laid out, and holds the tokenizer that a whole model needs. Only the llama architecture is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFWriter
from safetensors import SafetensorError
from safetensors.torch import load_file

from memquartet.errors import ConfigError, InputError
from memquartet.llm.gguf_file import Array, FileType, GgufFile, add_weight, copy_header, finish

ARCHITECTURE = "llama"

_LAYER = re.compile(r"model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)_proj\.weight")
LINEAR = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_NORM = re.compile(r"model\.layers\.(\d+)\.(input|post_attention)_layernorm\.weight")
_NORMS = {"input": "attn_norm", "post_attention": "ffn_norm"}
_SINGLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_ADAPTED = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written: `kind` is "adapter" or "model"; `missed` is the share of the difference (squared) left out."""

    kind: str
    tensors: int
    bytes: int
    missed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """A difference of one matrix: b @ a · alpha / rank, with a of shape (rank, in) and b of shape (out, rank)."""

    a: Array
    b: Array


class Base(GgufFile):
    """The GGUF file beneath."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            InputError: it is no GGUF file, or a damaged one.
            ConfigError: its architecture is unknown.
        """
        super().__init__(path)
        architecture = self.value("general.architecture")
        if architecture != ARCHITECTURE:
            raise ConfigError(
                f"{str(path)!r} is a model of the kind {architecture!r}; only {ARCHITECTURE!r} is known"
            )
        self.heads = {
            "attn_q": self.value("llama.attention.head_count"),
            "attn_k": self.value("llama.attention.head_count_kv"),
        }

    def laid_out(self, name: str, weight: Array) -> Array:
        """Rows of a query's or key's matrix as llama.cpp wants them: halves of each head interleaved."""
        heads = self._heads(name, len(weight))
        if heads is None:
            return weight
        halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
        return halves.swapaxes(1, 2).reshape(weight.shape)

    def as_trained(self, name: str, weight: Array) -> Array:
        """Rows of a query's or key's matrix as transformers wants them: what `laid_out` did is undone."""
        heads = self._heads(name, len(weight))
        if heads is None:
            return weight
        pairs = weight.reshape(heads, -1, 2, *weight.shape[1:])
        return pairs.swapaxes(1, 2).reshape(weight.shape)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse what does not fit.

        Raises:
            InputError: the base has no such tensor, or one of another shape.
        """
        tensor = self.tensors.get(name)
        if tensor is None or tuple(int(n) for n in reversed(tensor.shape)) != shape:
            found = None if tensor is None else tuple(int(n) for n in reversed(tensor.shape))
            raise InputError(
                f"the base does not go with it: {name} is {shape} here and {found} there; name its own with --base"
            )

    def _heads(self, name: str, rows: int) -> int | None:
        """How many heads share the rows of this matrix; None where their order is the same everywhere."""
        part = next((part for part in self.heads if f".{part}." in name), None)
        if part is None:
            return None
        heads = self.heads[part]
        if not isinstance(heads, int) or heads < 1 or rows % (2 * heads):
            raise InputError(f"{str(self.path)!r} does not go with it: {rows} rows of {name}, {heads} heads")
        return heads


def export(
    source: Path,
    out: Path,
    base: Path,
    *,
    file_type: FileType = FileType.Q8_0,
    rank: int = 0,
    name: str = "memquartet",
    report: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a GGUF file for llama.cpp.

    Args:
        source: a folder with an adapter in PEFT's form, or with a Hugging Face model.
        out: the file; it appears only when it is complete.
        base: the GGUF file that the source was trained from.
        file_type: how weights are kept; small ones stay in 32 bits.
        rank: above 0, a whole model is written as the adapter nearest to it, by the largest singular values of the
            difference of each linear layer. Changes of norms and embeddings are lost, and counted as missed.
        name: written into the file.
        report: called with a line every now and then.

    Raises:
        InputError: the source is neither, or does not go with the base.
        ConfigError: the base is of an unknown architecture, `out` is the base, or `rank` was given with an adapter.
        StoreError: the disk refused; an earlier file stays.
    """
    if out.resolve() == base.resolve():
        raise ConfigError(f"{str(out)!r} is the base itself: choose another file")
    beneath = Base(base)
    if (source / "adapter_config.json").is_file():
        if rank:
            raise ConfigError(f"{str(source)!r} is an adapter already: its rank cannot be chosen")
        factors, alpha = _read_adapter(source, beneath)
        return _write_adapter(out, beneath, factors, alpha=alpha, file_type=file_type, name=name)
    weights = _read_model(source, beneath)
    if rank:
        report(f"looking for the nearest difference of rank {rank}")
        factors, missed = _nearest(weights, beneath, rank)
        return _write_adapter(
            out, beneath, factors, alpha=float(rank), file_type=file_type, name=name, missed=missed
        )
    return _write_model(out, beneath, weights, file_type=file_type, name=name)


def _read_adapter(folder: Path, base: Base) -> tuple[dict[str, _Factors], float]:
    """Factors by the tensor's name in GGUF, laid out as llama.cpp wants them, and alpha."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        alpha, rank = float(config["lora_alpha"]), int(config["r"])
        plain = not any(config.get(name) for name in ("use_dora", "rank_pattern", "alpha_pattern"))
        if config.get("use_rslora"):
            alpha *= rank**0.5
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(folder)!r} holds no adapter of PEFT: {error}") from error
    if not plain:
        raise InputError(f"{str(folder)!r} is no plain LoRA with one rank and alpha: llama.cpp cannot use it")
    if alpha <= 0:
        # verl's merger writes 0 where a checkpoint does not say it; llama.cpp takes that for a factor of 1.
        raise InputError(
            f"{str(folder)!r} does not say its alpha: set lora_alpha in adapter_config.json to that of the training"
        )
    parts: dict[str, dict[str, Array]] = {}
    for key, weight in _safetensors(folder / "adapter_model.safetensors").items():
        found = _ADAPTED.fullmatch(key)
        if found is None:
            raise InputError(f"{str(folder)!r}: {key} is no part of a LoRA of linear layers")
        parts.setdefault(_gguf_name(f"{found[1]}.weight"), {})[found[2]] = weight
    try:
        factors = {
            name: _Factors(a=part["A"], b=base.laid_out(name, part["B"])) for name, part in parts.items()
        }
    except KeyError as error:
        raise InputError(f"{str(folder)!r}: a layer has only one half of its adapter") from error
    return factors, alpha


def _read_model(folder: Path, base: Base) -> dict[str, Array]:
    """The weights of a model by their names in GGUF, laid out as llama.cpp wants them."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{str(folder)!r} holds neither an adapter (adapter_config.json) nor a model (*.safetensors)"
        )
    weights: dict[str, Array] = {}
    for file in files:
        for key, weight in _safetensors(file).items():
            name = _gguf_name(key)
            if name == "output.weight" and name not in base.tensors:
                continue  # tied to the embeddings
            base.check(name, weight.shape)
            weights[name] = base.laid_out(name, weight)
    if missing := base.tensors.keys() - weights.keys():
        raise InputError(f"{str(folder)!r} lacks what the base has: {', '.join(sorted(missing)[:3])}")
    return weights


def _nearest(weights: Mapping[str, Array], base: Base, rank: int) -> tuple[dict[str, _Factors], float]:
    """The factors of that rank nearest to each matrix's difference, and the share (squared) that they miss."""
    factors: dict[str, _Factors] = {}
    whole = kept = 0.0
    for name, weight in weights.items():
        difference = weight - base.weight(name)
        whole += float((difference**2).sum())
        if weight.ndim == 1 or not name.startswith("blk."):
            continue
        u, s, v = np.linalg.svd(difference, full_matrices=False)
        kept += float((s[:rank] ** 2).sum())
        # A small matrix has fewer values than the rank asked for, and llama.cpp divides alpha by those it finds.
        root = np.sqrt(s[:rank] * len(s[:rank]) / rank)
        factors[name] = _Factors(a=root[:, None] * v[:rank], b=u[:, :rank] * root)
    return factors, 1 - kept / whole if whole else 0.0


def _write_adapter(
    out: Path,
    base: Base,
    factors: Mapping[str, _Factors],
    *,
    alpha: float,
    file_type: FileType,
    name: str,
    missed: float = 0.0,
) -> Exported:
    writer = GGUFWriter(None, ARCHITECTURE)
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for tensor, pair in factors.items():
        base.check(tensor, (pair.b.shape[0], pair.a.shape[1]))
        add_weight(writer, f"{tensor}.lora_a", pair.a, file_type)
        add_weight(writer, f"{tensor}.lora_b", pair.b, file_type)
    finish(writer, out)
    return Exported(kind="adapter", tensors=2 * len(factors), bytes=out.stat().st_size, missed=missed)


def _write_model(
    out: Path, base: Base, weights: Mapping[str, Array], *, file_type: FileType, name: str
) -> Exported:
    writer = GGUFWriter(None, ARCHITECTURE)
    copy_header(writer, base)
    writer.add_name(name)
    for tensor, weight in weights.items():
        add_weight(writer, tensor, weight, file_type)
    finish(writer, out)
    return Exported(kind="model", tensors=len(weights), bytes=out.stat().st_size)


def _gguf_name(key: str) -> str:
    """The name in GGUF of a weight of a Hugging Face llama.

    Raises:
        InputError: a llama has no such weight.
    """
    if found := _LAYER.fullmatch(key):
        part = LINEAR.get(found[2])
        if part is not None:
            return f"blk.{found[1]}.{part}.weight"
    if found := _NORM.fullmatch(key):
        return f"blk.{found[1]}.{_NORMS[found[2]]}.weight"
    if key in _SINGLE:
        return _SINGLE[key]
    raise InputError(f"{key} is no weight of a llama; only those can be exported")


def _safetensors(path: Path) -> dict[str, Array]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    return {key: tensor.float().numpy() for key, tensor in tensors.items()}
