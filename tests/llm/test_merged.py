"""A base and its adapter as one file: small GGUF files written here, and the model that comes with the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf")

from gguf import GGMLQuantizationType, GGUFWriter, quants

from memquartet.core.messages import Message, Speaker
from memquartet.errors import InputError, StoreError
from memquartet.llm import merged, models
from memquartet.llm.gguf_file import Array, GgufFile
from memquartet.llm.local import LocalChatModel
from memquartet.llm.merged import merged_file
from memquartet.llm.protocols import ChatRequest

RANK, ALPHA, ROWS, COLUMNS = 4, 8.0, 64, 32
RANDOM = np.random.default_rng(0)
A, B = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((RANK, COLUMNS), (ROWS, RANK)))
WEIGHT, OTHER = (RANDOM.normal(size=(ROWS, COLUMNS)).astype(np.float32) for _ in range(2))
Q4 = GGMLQuantizationType.Q4_1


def written(path: Path, tensors: dict[str, Array], **said: str | float) -> Path:
    writer = GGUFWriter(path, "llama")
    for key, value in said.items():
        name = key.replace("__", ".")
        if isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_float32(name, value)
    for key, tensor in tensors.items():
        quantized = key.endswith(".weight")
        writer.add_tensor(
            key, quants.quantize(tensor, Q4) if quantized else tensor, raw_dtype=Q4 if quantized else None
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return written(
        tmp_path / "base.gguf",
        {"blk.0.ffn_up.weight": WEIGHT, "blk.0.ffn_gate.weight": OTHER, "output_norm": WEIGHT[0]},
        tokenizer__ggml__model="gpt2",
    )


def adapter(
    path: Path,
    a: Array = A,
    b: Array = B,
    name: str = "blk.0.ffn_up.weight",
    alpha: float = ALPHA,
    kind: str = "lora",
) -> Path:
    halves = {f"{name}.lora_a": np.ascontiguousarray(a), f"{name}.lora_b": np.ascontiguousarray(b)}
    return written(path, halves, general__type="adapter", adapter__type=kind, adapter__lora__alpha=alpha)


@pytest.mark.parametrize(("alpha", "factor"), [(ALPHA, ALPHA / RANK), (0.0, 1.0)])
def test_what_the_adapter_changes_is_added_and_all_else_is_as_in_the_base(
    base: Path, tmp_path: Path, alpha: float, factor: float
) -> None:
    path = merged_file(base, adapter(tmp_path / "mine.gguf", alpha=alpha), tmp_path / "merged")
    assert path is not None
    beneath, found = GgufFile(base), GgufFile(path)
    changed = beneath.weight("blk.0.ffn_up.weight") + factor * (B @ A)
    assert np.abs(found.weight("blk.0.ffn_up.weight") - changed).max() <= np.abs(changed).max() / 127
    assert found.tensors["blk.0.ffn_gate.weight"].tensor_type is Q4
    np.testing.assert_array_equal(
        found.tensors["blk.0.ffn_gate.weight"].data, beneath.tensors["blk.0.ffn_gate.weight"].data
    )
    np.testing.assert_array_equal(found.weight("output_norm"), WEIGHT[0])
    assert found.value("general.architecture") == "llama"
    assert found.value("tokenizer.ggml.model") == "gpt2"


def test_it_is_made_once_and_the_folder_stays_small(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged, "KEPT", 2)
    folder = tmp_path / "merged"
    given = [adapter(tmp_path / f"{number}.gguf", b=number * B) for number in (1, 2, 3)]
    first, second = (merged_file(base, one, folder) for one in given[:2])
    assert first is not None
    assert second is not None
    os.utime(second, (0, 0))
    made = first.stat().st_ino
    assert merged_file(base, given[0], folder) == first
    assert first.stat().st_ino == made
    third = merged_file(base, given[2], folder)
    assert set(folder.glob("*.gguf")) == {first, third}


@pytest.mark.parametrize(
    "given",
    [
        {"name": "token_embd.weight"},
        {"b": B[:-32]},
        {"a": A[:, :16]},
        {"kind": "another"},
        {"alpha": float("nan")},
    ],
)
def test_what_is_no_change_of_a_plain_matrix_is_left_to_llama_cpp(
    base: Path, tmp_path: Path, given: dict[str, Any]
) -> None:
    mine = adapter(tmp_path / "mine.gguf", **given)
    assert merged_file(base, mine, tmp_path / "merged") is None
    assert not list((tmp_path / "merged").glob("*.gguf*"))


def test_large_bases_are_left_to_llama_cpp(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged, "MAX_BYTES", 1000)
    assert merged_file(base, adapter(tmp_path / "mine.gguf"), tmp_path / "merged") is None


def test_a_damaged_adapter_is_named_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    broken = adapter(tmp_path / "mine.gguf", b=B[:, :2])
    with pytest.raises(InputError, match=r"mine\.gguf.*different ranks"):
        merged_file(base, broken, tmp_path / "merged")
    adapter(broken, a=A * np.float32(1e30), b=B * np.float32(1e30))
    with pytest.raises(InputError, match=r"mine\.gguf.*no number"):
        merged_file(base, broken, tmp_path / "merged")
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=r"mine\.gguf"):
        merged_file(base, broken, tmp_path / "merged")
    broken.unlink()
    with pytest.raises(StoreError, match=r"mine\.gguf"):
        merged_file(base, broken, tmp_path / "merged")
    assert not list((tmp_path / "merged").glob("*.gguf*"))


@pytest.mark.model
async def test_the_shipped_model_runs_as_one_file_and_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = models.path_of("smollm2-135m")
    monkeypatch.setenv("MEMQUARTET_CACHE", str(tmp_path))
    folder = models.cache_dir() / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / path.name).symlink_to(path)
    made = models.cache_dir() / "merged"
    request = ChatRequest(
        messages=(
            Message(speaker=Speaker.SYSTEM, content="Facts as JSON."),
            Message(speaker=Speaker.USER, content="Text:\nAnn: I moved to Rome in May."),
        )
    )

    async def said() -> str:
        model = LocalChatModel("memquartet-135m")
        text = (await model.complete(request)).text
        await model.aclose()
        return text

    assert "Rome" in await said()
    (file,) = made.glob("*.gguf")

    file.write_bytes(file.read_bytes()[:1000])
    assert "Rome" in await said(), "what was damaged since is no obstacle"
    assert not list(made.glob("*.gguf"))

    def refused(*_: object) -> Path:
        raise StoreError("the disk is full")

    monkeypatch.setattr(merged, "merged_file", refused)
    assert "Rome" in await said()
