"""The tiny llama and adapters of it, as llama.cpp and PEFT have them, written without our exporter."""

from __future__ import annotations

from pathlib import Path

import torch
from gguf import GGUFReader, GGUFWriter, quants
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from memquartet.llm.gguf_file import Array

HEADS, KEY_HEADS, WIDTH = 4, 2, 16
"""Of the tiny llama: heads, heads of keys, and numbers a head."""


def halves_interleaved(weight: Array, heads: int) -> Array:
    """The rows of each head as llama.cpp wants them: 0, 8, 1, 9, … in place of 0, 1, 2, …"""
    order = [
        head * WIDTH + place + half * WIDTH // 2
        for head in range(heads)
        for place in range(WIDTH // 2)
        for half in range(2)
    ]
    return weight[order]


def tensors_of(path: Path) -> dict[str, Array]:
    return {one.name: quants.dequantize(one.data, one.tensor_type) for one in GGUFReader(path).tensors}


def save_base(model: Path, path: Path) -> Path:
    """The tiny llama as llama.cpp would have it."""
    writer = GGUFWriter(path, "llama")
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_token_list(["a", "b"])
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    for layer in range(2):
        for theirs, ours in names.items():
            weight = weights[f"model.layers.{layer}.{theirs}.weight"].numpy()
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(ours)
            laid_out = halves_interleaved(weight, heads) if heads else weight
            writer.add_tensor(f"blk.{layer}.{ours}.weight", laid_out)
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def save_adapter(model: PreTrainedModel, folder: Path, *, rank: int, size: float = 0.1) -> Path:
    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, size)
    adapted.save_pretrained(folder)
    return folder
