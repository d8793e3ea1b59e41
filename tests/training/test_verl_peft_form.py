"""Adapters from GGUF back to PEFT's form; needs torch. The base is a tiny llama, and once the real one."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("verl")

import torch
from gguf import GGUFReader, GGUFWriter
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from tests.cli.support import read_json, run
from tests.training.verl_gguf import save_adapter, save_base, tensors_of
from transformers import AutoModelForCausalLM

from memquartet.errors import ConfigError, InputError, StoreError
from memquartet.llm.gguf_file import Array, FileType
from memquartet.llm.models import files_of, pull
from memquartet.training.checkpoints import from_gguf, merge_adapter
from memquartet.training.export import export
from memquartet.training.peft_form import to_peft

pytestmark = pytest.mark.train
KEY, WEIGHTS = "blk.0.attn_k.weight", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tiny_model, tmp_path_factory.mktemp("base") / "tiny.gguf")


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter in PEFT's form whose numbers 16 bits hold."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    folder = save_adapter(model, tmp_path_factory.mktemp("trained") / "adapter", rank=32)
    weights = weights_of(folder)
    save_file({key: weight.half().float() for key, weight in weights.items()}, folder / WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "adapter.gguf"
    export(trained, out, base, file_type=FileType.F16)
    return out


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / WEIGHTS))


def config_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))


def save_gguf(
    path: Path,
    tensors: dict[str, Array],
    *,
    alpha: float | str | None = 64.0,
    kind: str = "lora",
    architecture: str = "llama",
) -> Path:
    writer = GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    if isinstance(alpha, str):
        writer.add_string("adapter.lora.alpha", alpha)
    elif alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    for name, weight in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_in_16_bits_comes_back_as_it_was(
    trained: Path, exported: Path, base: Path, tmp_path: Path
) -> None:
    made = to_peft(exported, tmp_path / "back", base, model="tiny")
    assert (made.tensors, made.rank, made.alpha) == (2 * 2 * 7, 32, 64)
    before, after = weights_of(trained), weights_of(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[key]) for key, weight in before.items())
    told, wanted = config_of(tmp_path / "back"), config_of(trained)
    assert told.pop("base_model_name_or_path") == "tiny"
    assert told.pop("target_modules") == [f"{part}_proj" for part in ("down", "gate", *"koq", "up", "v")]
    assert all(wanted[key] == value for key, value in told.items())
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == ["adapter_config.json", WEIGHTS]


def test_an_adapter_in_8_bits_comes_back_within_their_rounding(
    trained: Path, base: Path, tmp_path: Path
) -> None:
    export(trained, tmp_path / "8.gguf", base, file_type=FileType.Q8_0)
    to_peft(tmp_path / "8.gguf", tmp_path / "back", base, model="tiny")
    before, after = weights_of(trained), weights_of(tmp_path / "back")
    for key, weight in before.items():
        # A block of 32 has 127 steps on each side, and its size is kept in 16 bits.
        largest = weight.reshape(len(weight), -1, 32).abs().amax(-1, keepdim=True).expand(-1, -1, 32)
        assert ((after[key] - weight).abs() <= largest.reshape(weight.shape) * (0.51 / 127 + 1e-3)).all()
    assert not all(torch.equal(weight, after[key]) for key, weight in before.items())


def test_peft_computes_with_it_what_it_computed_before(
    tiny_model: Path, trained: Path, exported: Path, base: Path, tmp_path: Path
) -> None:
    to_peft(exported, tmp_path / "back", base, model=str(tiny_model))
    assert PeftConfig.from_pretrained(tmp_path / "back").base_model_name_or_path == str(tiny_model)
    ids = torch.arange(12)[None]
    said = []
    for folder in (trained, tmp_path / "back"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        with torch.no_grad():
            said.append(PeftModel.from_pretrained(model, folder)(ids).logits)
    assert torch.equal(*said)
    merge_adapter(tmp_path / "back", tiny_model, tmp_path / "whole")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, said[0], rtol=0.05, atol=0.05)
    with pytest.raises(InputError, match="holds a model already"):
        merge_adapter(tmp_path / "back", tiny_model, tmp_path / "whole")


def test_matrices_of_several_ranks_make_the_difference_that_llama_cpp_makes(
    tiny_model: Path, exported: Path, base: Path, tmp_path: Path
) -> None:
    tensors = tensors_of(exported)
    tensors[f"{KEY}.lora_a"] = tensors[f"{KEY}.lora_a"][:12]
    tensors[f"{KEY}.lora_b"] = tensors[f"{KEY}.lora_b"][:, :12]
    uneven = save_gguf(tmp_path / "uneven.gguf", tensors)
    assert to_peft(uneven, tmp_path / "back", base, model="tiny").rank == 32
    # Exported again it is a plain adapter of one rank, and what llama.cpp adds is the same.
    export(tmp_path / "back", tmp_path / "again.gguf", base, file_type=FileType.F16)
    again = tensors_of(tmp_path / "again.gguf")
    for name in (name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")):
        wanted, found = (
            64 / len(one[f"{name}.lora_a"]) * one[f"{name}.lora_b"] @ one[f"{name}.lora_a"]
            for one in (tensors, again)
        )
        np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("alpha", [None, 0.0])
def test_without_an_alpha_the_factor_is_one(
    alpha: float | None, exported: Path, base: Path, tmp_path: Path
) -> None:
    plain = save_gguf(tmp_path / "plain.gguf", tensors_of(exported), alpha=alpha)
    assert to_peft(plain, tmp_path / "back", base, model="tiny").alpha == 32
    assert config_of(tmp_path / "back")["lora_alpha"] == 32


def test_an_adapter_of_some_layers_changes_no_others(
    tiny_model: Path, exported: Path, base: Path, tmp_path: Path
) -> None:
    one = {name: weight for name, weight in tensors_of(exported).items() if name.startswith(KEY)}
    to_peft(save_gguf(tmp_path / "one.gguf", one), tmp_path / "back", base, model="tiny")
    assert config_of(tmp_path / "back")["target_modules"] == ["model.layers.0.self_attn.k_proj"]
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, tmp_path / "back")
    assert sum("lora_" in name for name, _ in adapted.named_parameters()) == 2


def without_end(tensors: dict[str, Array]) -> dict[str, Array]:
    return {name: weight for name, weight in tensors.items() if name != f"{KEY}.lora_b"}


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (dict[str, Array], {"architecture": "qwen2"}, "general.architecture is 'qwen2'"),
        (dict[str, Array], {"kind": "control_vector"}, "adapter.type is 'control_vector'"),
        (dict[str, Array], {"alpha": "much"}, "alpha is 'much'"),
        (dict[str, Array], {"alpha": -1.0}, "alpha is '-1.0'"),
        (dict[str, Array], {"alpha": float("nan")}, "alpha is 'nan'"),
        (lambda _: {}, {}, "an adapted layer, or half of one, is missing"),
        (without_end, {}, "half of one, is missing"),
        (
            lambda old: {**old, "token_embd.weight.lora_a": old[f"{KEY}.lora_a"]},
            {},
            "'token_embd.weight.lora_a' is no part of a LoRA of linear layers",
        ),
        (lambda old: {**old, f"{KEY}.lora_b": old[f"{KEY}.lora_b"][:, :9]}, {}, "of ranks 32 and 9"),
        (lambda old: {**old, f"{KEY}.lora_b": old[f"{KEY}.lora_b"][:8]}, {}, "base does not go with it"),
        (lambda old: {**old, f"{KEY}.lora_a": old[f"{KEY}.lora_a"][0]}, {}, "of 1 dimensions"),
        (lambda old: {**old, f"{KEY}.lora_a": old[f"{KEY}.lora_a"] * np.nan}, {}, "holds what is no number"),
        (
            lambda old: {**old, f"{KEY}.lora_a": np.zeros((2000, 4), np.float32)},
            {},
            "of rank 2000, not of 1 to 1024",
        ),
    ],
)
def test_what_is_no_adapter_of_the_base_is_refused_and_nothing_is_left(
    change: Callable[[dict[str, Array]], dict[str, Array]],
    options: dict[str, Any],
    words: str,
    exported: Path,
    base: Path,
    tmp_path: Path,
) -> None:
    bad = save_gguf(tmp_path / "bad.gguf", change(tensors_of(exported)), **options)
    with pytest.raises(InputError, match=words):
        to_peft(bad, tmp_path / "back", base, model="tiny")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.gguf"]


def test_a_model_and_a_file_of_something_else_are_refused(
    exported: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"general\.type is 'None'; expected a LoRA's GGUF file"):
        to_peft(base, tmp_path / "back", base, model="tiny")
    (tmp_path / "text.gguf").write_text("no adapter at all", encoding="utf-8")
    with pytest.raises(InputError, match="is no GGUF file"):
        to_peft(tmp_path / "text.gguf", tmp_path / "back", base, model="tiny")
    with pytest.raises(InputError, match="no such file"):
        to_peft(tmp_path / "nowhere.gguf", tmp_path / "back", base, model="tiny")
    other = save_gguf(tmp_path / "other.gguf", {}, architecture="qwen2")
    with pytest.raises(ConfigError, match="only 'llama' is known"):
        to_peft(exported, tmp_path / "back", other, model="tiny")
    monkeypatch.setattr("memquartet.training.peft_form.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="more than any adapter"):
        to_peft(exported, tmp_path / "back", base, model="tiny")
    assert not (tmp_path / "back").exists()


def test_a_file_cut_anywhere_is_refused(exported: Path, base: Path, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    for end in (0, 3, 12, 30, 100, 200, 500, 1500, len(whole) // 2, len(whole) - 64):
        (tmp_path / "cut.gguf").write_bytes(whole[:end])
        with pytest.raises(InputError, match="damaged"):
            to_peft(tmp_path / "cut.gguf", tmp_path / "back", base, model="tiny")
    assert not (tmp_path / "back").exists()


def test_a_length_that_is_wrong_ends_at_the_end_of_the_file(base: Path, tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "long.gguf", "llama")
    writer.add_array("some.numbers", [7, 7, 7])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    content = (tmp_path / "long.gguf").read_bytes()
    three = (3).to_bytes(8, "little")
    place = content.index(three, content.index(b"some.numbers") + 12)
    (tmp_path / "long.gguf").write_bytes(
        content[:place] + (2**60).to_bytes(8, "little") + content[place + 8 :]
    )
    with pytest.raises(InputError, match="a length in it is wrong"):
        to_peft(tmp_path / "long.gguf", tmp_path / "back", base, model="tiny")


def test_tensors_on_top_of_each_other_are_refused(exported: Path, base: Path, tmp_path: Path) -> None:
    content = bytearray(exported.read_bytes())
    reader = GGUFReader(exported)
    largest = max(int(tensor.n_bytes) for tensor in reader.tensors)
    for tensor in reader.tensors:
        place = tensor.field.offset + sum(int(part.nbytes) for part in tensor.field.parts) - 8
        content[place : place + 8] = bytes(8)
    (tmp_path / "piled.gguf").write_bytes(content[: reader.data_offset + largest])
    with pytest.raises(InputError, match="its tensors are larger than it"):
        to_peft(tmp_path / "piled.gguf", tmp_path / "back", base, model="tiny")


def test_a_folder_that_holds_something_stays_as_it_is(exported: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    to_peft(exported, tmp_path / "back", base, model="tiny")
    before = (tmp_path / "back" / WEIGHTS).stat()
    with pytest.raises(ConfigError, match="choose another folder"):
        to_peft(exported, tmp_path / "back", base, model="other")
    assert (tmp_path / "back" / WEIGHTS).stat() == before


def test_a_full_disk_leaves_nothing(
    exported: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        assert path.with_name(WEIGHTS).stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="cannot be written: No space left"):
        to_peft(exported, tmp_path / "back", base, model="tiny")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError):
        to_peft(exported, tmp_path / "empty", base, model="tiny")
    assert not list((tmp_path / "empty").iterdir())


def test_neither_verl_nor_transformers_is_needed() -> None:
    program = (
        "import sys, memquartet.training.peft_form; print({'verl', 'transformers', 'peft'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_the_command_names_the_base_and_how_to_make_it(exported: Path, base: Path, tmp_path: Path) -> None:
    asked = ("train", "adapter", str(exported), str(tmp_path / "back"), "--base", str(base))
    told = read_json(run(*asked, "--json"))
    assert (told["rank"], told["model"]) == (32, "tiny")
    assert told["make_model"].endswith(f"checkpoints gguf {base} tiny")
    assert config_of(tmp_path / "back")["base_model_name_or_path"] == "tiny"
    said = run(*asked[:3], str(tmp_path / "other"), *asked[4:], "--model", str(tmp_path / "made"))
    assert f"made by: python -m memquartet.training.checkpoints gguf {base}" in said.stdout
    assert config_of(tmp_path / "other")["base_model_name_or_path"] == str(tmp_path / "made")
    refused = run("train", "adapter", "memquartet-135m", str(tmp_path / "no"), "--base", str(base))
    assert refused.exit_code == 1
    assert "has its own base" in refused.stderr


@pytest.mark.model
@pytest.mark.slow
def test_the_adapter_of_the_package_is_loaded_by_peft(tmp_path: Path) -> None:
    pull("smollm2-135m")
    files = files_of("memquartet-135m")
    from_gguf(files.path, tmp_path / "model")
    assert files.adapter is not None
    made = to_peft(files.adapter, tmp_path / "adapter", files.path, model=str(tmp_path / "model"))
    assert (made.tensors, made.rank, made.alpha) == (420, 32, 32)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, tmp_path / "adapter", is_trainable=True)
    weights = dict(adapted.named_parameters())
    for key, weight in weights_of(tmp_path / "adapter").items():
        assert torch.equal(weight, weights[key.replace(".weight", ".default.weight")])
    assert sum(weight.requires_grad for weight in weights.values()) == 420
    # As a GGUF file again it is what was shipped.
    export(tmp_path / "adapter", tmp_path / "again.gguf", files.path)
    before, again = tensors_of(files.adapter), tensors_of(tmp_path / "again.gguf")
    assert before.keys() == again.keys()
    for name, shipped in before.items():
        np.testing.assert_allclose(again[name], shipped, rtol=2e-3, atol=1e-6)
