"""Adapters and models as GGUF; needs torch. The base is a tiny llama, and once the real one through llama.cpp."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("verl")

import torch
from gguf import GGUFReader, GGUFWriter
from peft import PeftModel
from tests.training.verl_gguf import KEY_HEADS, save_adapter, save_base, tensors_of
from tokenizers import decoders
from transformers import AutoModelForCausalLM, AutoTokenizer

from memquartet.core.messages import Message, Speaker
from memquartet.errors import ConfigError, InputError, StoreError
from memquartet.llm.gguf_file import FileType
from memquartet.training.checkpoints import from_gguf
from memquartet.training.export import export
from memquartet.training.tiny import save_tiny_model

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), sft=None)


@pytest.fixture(scope="module")
def base(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(model_folder, tmp_path_factory.mktemp("base") / "tiny.gguf")


@pytest.mark.parametrize(("file_type", "exact"), [(FileType.F16, 1e-3), (FileType.Q8_0, 2e-2)])
def test_an_adapters_factors_give_the_difference_that_it_makes(
    model_folder: Path, base: Path, tmp_path: Path, file_type: FileType, exact: float
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    adapter = save_adapter(model, tmp_path / "adapter", rank=32)
    made = export(adapter, tmp_path / "out.gguf", base, file_type=file_type)
    assert (made.kind, made.tensors, made.missed) == ("adapter", 2 * 2 * 7, 0)
    fields = GGUFReader(tmp_path / "out.gguf").fields
    assert fields["general.type"].contents() == "adapter"
    assert fields["adapter.type"].contents() == "lora"
    scale = fields["adapter.lora.alpha"].contents() / 32
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32), adapter
    ).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    export(tmp_path / "merged", tmp_path / "merged.gguf", base, file_type=FileType.F16)
    before, after, factors = (
        tensors_of(path) for path in (base, tmp_path / "merged.gguf", tmp_path / "out.gguf")
    )
    for name in (name.removesuffix(".lora_a") for name in factors if name.endswith(".lora_a")):
        difference = scale * factors[f"{name}.lora_b"] @ factors[f"{name}.lora_a"]
        error = np.abs(difference - (after[name] - before[name])).max()
        assert error < exact * np.abs(difference).max() + 1e-3


def test_a_whole_model_keeps_what_its_base_says_of_words_and_its_own_weights(
    model_folder: Path, base: Path, tmp_path: Path
) -> None:
    made = export(model_folder, tmp_path / "model.gguf", base, file_type=FileType.F16)
    assert made.kind == "model"
    written, expected = tensors_of(tmp_path / "model.gguf"), tensors_of(base)
    assert written.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_allclose(written[name], weight, rtol=1e-2, atol=1e-3)
    fields = GGUFReader(tmp_path / "model.gguf").fields
    assert fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert fields["llama.attention.head_count_kv"].contents() == KEY_HEADS


def test_the_nearest_adapter_of_a_difference_of_low_rank_is_the_difference(
    model_folder: Path, base: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    adapter = save_adapter(model, tmp_path / "adapter", rank=4)
    whole = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32), adapter
    ).merge_and_unload()
    whole.save_pretrained(tmp_path / "whole")
    near = export(tmp_path / "whole", tmp_path / "near.gguf", base, file_type=FileType.F16, rank=4)
    half = export(tmp_path / "whole", tmp_path / "half.gguf", base, file_type=FileType.F16, rank=2)
    assert near.kind == "adapter"
    assert near.missed < 1e-3 < half.missed < 1


def test_a_rank_above_a_matrix_s_own_changes_no_factor(
    model_folder: Path, base: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    adapter = save_adapter(model, tmp_path / "adapter", rank=4)
    whole = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32), adapter
    ).merge_and_unload()
    whole.save_pretrained(tmp_path / "whole")
    export(tmp_path / "whole", tmp_path / "whole.gguf", base, file_type=FileType.F16)
    export(tmp_path / "whole", tmp_path / "near.gguf", base, file_type=FileType.F16, rank=48)
    before, after, factors = (
        tensors_of(tmp_path / name if name else base) for name in ("", "whole.gguf", "near.gguf")
    )
    alpha = GGUFReader(tmp_path / "near.gguf").fields["adapter.lora.alpha"].contents()
    for name in (name.removesuffix(".lora_a") for name in factors if name.endswith(".lora_a")):
        b = factors[f"{name}.lora_b"]
        # As llama.cpp scales it: by the rank it finds.
        made, wanted = alpha / b.shape[1] * b @ factors[f"{name}.lora_a"], after[name] - before[name]
        assert np.abs(made - wanted).max() < 1e-2 * np.abs(wanted).max() + 1e-3


def test_what_does_not_go_together_is_refused(model_folder: Path, base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    adapter = save_adapter(model, tmp_path / "adapter", rank=4)
    with pytest.raises(ConfigError, match="adapter already"):
        export(adapter, tmp_path / "out.gguf", base, rank=4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither an adapter"):
        export(tmp_path / "empty", tmp_path / "out.gguf", base)
    with pytest.raises(InputError, match="no GGUF file"):
        export(adapter, tmp_path / "out.gguf", adapter / "adapter_config.json")
    with pytest.raises(ConfigError, match="the base itself"):
        export(model_folder, base, base)
    (tmp_path / "cut.gguf").write_bytes(base.read_bytes()[:300])
    with pytest.raises(InputError, match="damaged"):
        export(adapter, tmp_path / "out.gguf", tmp_path / "cut.gguf")
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    for change, words in (
        ({"use_dora": True}, "plain LoRA"),
        ({"alpha_pattern": {"q_proj": 64}}, "plain LoRA"),
        ({"lora_alpha": 0}, "does not say its alpha"),
    ):
        (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
        with pytest.raises(InputError, match=words):
            export(adapter, tmp_path / "out.gguf", base)
    assert not (tmp_path / "out.gguf").exists()


def test_a_disk_that_is_full_in_the_middle_leaves_the_earlier_file_and_nothing_else(
    model_folder: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.gguf"
    export(model_folder, out, base)
    before = out.read_bytes()

    def full(_writer: GGUFWriter) -> None:
        assert (tmp_path / "model.gguf.partial").stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(StoreError, match="cannot be written: No space left"):
        export(model_folder, out, base, file_type=FileType.F16)
    assert out.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.gguf"]


@pytest.mark.model
@pytest.mark.slow
async def test_an_adapter_says_the_same_through_llama_cpp_and_transformers(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from memquartet.llm.local import LocalChatModel
    from memquartet.llm.models import pull
    from memquartet.llm.protocols import ChatRequest, Sampling

    gguf = pull("smollm2-135m")
    from_gguf(gguf, tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    adapter = save_adapter(model, tmp_path / "adapter", rank=32, size=0.006)
    made = export(adapter, tmp_path / "out.gguf", gguf)
    assert made.bytes < 15_000_000
    words = AutoTokenizer.from_pretrained(tmp_path / "model")
    # As grammars of vLLM read it: a token's "Ġ" is a space.
    assert isinstance(words.backend_tokenizer.decoder, decoders.ByteLevel)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32), adapter
    )
    texts = ["Where does Mira live?", "Name a colour.", "Count to five.", "What is a cat?"]
    with_it, without = (
        LocalChatModel(name, parallel=1, context=256) for name in (f"{gguf}+{tmp_path / 'out.gguf'}", gguf)
    )
    equal = tokens = changed = 0
    for text in texts:
        chat = (Message(speaker=Speaker.USER, content=text),)
        request = ChatRequest(messages=chat, sampling=Sampling(max_tokens=12), logprobs=True)
        said, plain = await with_it.complete(request), await without.complete(request)
        changed += said.text != plain.text
        ids = words.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        assert tuple(ids) == said.prompt_ids
        output = list(said.output_ids or ())
        with torch.no_grad():
            logits = adapted(torch.tensor([ids + output])).logits[0, len(ids) - 1 : -1]
        equal += int((logits.argmax(-1) == torch.tensor(output)).sum())
        tokens += len(output)
    await with_it.aclose()
    await without.aclose()
    assert changed >= 1  # which texts change differs with the number of threads
    # llama.cpp rounds activations to 8 bits: near ties may fall the other way.
    assert equal >= 0.9 * tokens
