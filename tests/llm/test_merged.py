"""A base and its adapter as one file: small GGUF files written here, and the model that comes with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf")

from gguf import GGMLQuantizationType, GGUFWriter, quants

from memquartet.core.messages import Message, Speaker
from memquartet.errors import InputError, StoreError
from memquartet.llm import merged
from memquartet.llm.gguf_file import Array, GgufFile
from memquartet.llm.local import LocalChatModel
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
    path: Path, a: Array = A, b: Array = B, name: str = "blk.0.ffn_up.weight", alpha: float = ALPHA
) -> Path:
    halves = {f"{name}.lora_a": a, f"{name}.lora_b": b}
    return written(path, halves, general__type="adapter", adapter__type="lora", adapter__lora__alpha=alpha)


@pytest.mark.parametrize(("alpha", "factor"), [(ALPHA, ALPHA / RANK), (0.0, 1.0)])
def test_what_the_adapter_changes_is_added_and_all_else_is_as_in_the_base(
    base: Path, tmp_path: Path, alpha: float, factor: float
) -> None:
    path = merged.merged(base, adapter(tmp_path / "mine.gguf", alpha=alpha), tmp_path / "merged")
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


def test_it_is_made_once_and_anew_for_another_adapter_of_that_name(base: Path, tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine.gguf", tmp_path / "merged"
    other = merged.merged(base, adapter(tmp_path / "other.gguf"), folder)
    first = merged.merged(base, adapter(mine), folder)
    assert first is not None
    assert other is not None
    made = first.stat().st_mtime_ns
    assert merged.merged(base, mine, folder) == first
    assert first.stat().st_mtime_ns == made
    second = merged.merged(base, adapter(mine, b=2 * B), folder)
    assert second != first
    assert not first.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [
        (A, B, "token_embd.weight"),
        (A, B[:-32], "blk.0.ffn_up.weight"),
        (A[:, :16], B, "blk.0.ffn_up.weight"),
    ],
)
def test_what_is_no_change_of_a_plain_matrix_is_left_to_llama_cpp(
    base: Path, tmp_path: Path, a: Array, b: Array, name: str
) -> None:
    given = adapter(tmp_path / "mine.gguf", a=np.ascontiguousarray(a), b=b, name=name)
    assert merged.merged(base, given, tmp_path / "merged") is None
    assert not list((tmp_path / "merged").glob("*.gguf*"))


def test_a_damaged_adapter_is_named(base: Path, tmp_path: Path) -> None:
    broken = adapter(tmp_path / "mine.gguf", b=np.ascontiguousarray(B[:, :2]))
    with pytest.raises(InputError, match=r"mine\.gguf.*different ranks"):
        merged.merged(base, broken, tmp_path / "merged")
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=r"mine\.gguf"):
        merged.merged(base, broken, tmp_path / "merged")


@pytest.mark.model
async def test_the_shipped_model_says_the_same_as_one_file_and_beside_its_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = []

    def full(*given: object) -> Path:
        refused.append(given)
        raise StoreError("the disk is full")

    request = ChatRequest(
        messages=(
            Message(speaker=Speaker.SYSTEM, content="Facts as JSON."),
            Message(speaker=Speaker.USER, content="Text:\nAnn: I moved to Rome in May."),
        )
    )
    said = []
    for make in (merged.merged, full):
        monkeypatch.setattr(merged, "merged", make)
        model = LocalChatModel("memquartet-135m")
        said.append((await model.complete(request)).text)
        await model.aclose()
    assert said[0] == said[1]
    assert "Rome" in said[0]
    assert refused
