"""Log-probs of packed rows as the preset `h100` has verl compute them: verl's plain path takes them token by token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import verl.utils.torch_functional as verl_F
from peft import LoraConfig, get_peft_model
from tests.training.test_verl_configs import composed
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from verl.models.transformers.monkey_patch import patch_forward_with_backends
from verl.utils import tensordict_utils
from verl.utils.dataset.dataset_utils import DatasetPadMode
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from memquartet.training.tiny import VOCABULARY

pytestmark = pytest.mark.train

LENGTHS = (5, 400, 1, 211)
"""Together more than a chunk of verl's fused kernel."""
TEMPERATURE = 0.7

Tensors = Mapping[str, torch.Tensor]


def packed(model: torch.nn.Module, *, fused: bool) -> Tensors:
    """What verl's engine makes of packed rows, and the gradients of a loss of it."""
    engine = object.__new__(FSDPEngineWithLMHead)  # its own start wants a process group
    engine.pad_to_length = engine.use_ulysses_sp = False
    engine.engine_config = SimpleNamespace(
        entropy_checkpointing=False, entropy_from_logits_with_chunking=False
    )
    engine.compute_entropy_from_logits = verl_F.entropy_from_logits
    torch.manual_seed(0)

    def rows(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.nested.as_nested_tensor(list(tensors), layout=torch.jagged)

    batch = tensordict_utils.get_tensordict(
        {
            "input_ids": rows(*(torch.randint(VOCABULARY, (length,)) for length in LENGTHS)),
            "position_ids": rows(*(torch.arange(length) for length in LENGTHS)),
        },
        {
            "temperature": TEMPERATURE,
            "calculate_entropy": True,
            "use_remove_padding": True,
            "use_fused_kernels": fused,
            "pad_mode": DatasetPadMode.NO_PADDING,
        },
    )
    inputs, noted = engine.prepare_model_inputs(batch)
    made = engine.prepare_model_outputs(model(**inputs, use_cache=False), noted, batch, None)
    log_probs, entropy = made["log_probs"].values(), made["entropy"].values()
    (log_probs @ torch.randn(sum(LENGTHS)) + entropy @ torch.randn(sum(LENGTHS))).backward()
    grads = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return {"log_probs": log_probs.detach(), "entropy": entropy.detach(), **grads}


def loaded(folder: Path, *, lora: bool) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    if not lora:
        return model
    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))


@pytest.mark.parametrize("lora", [False, True])
def test_the_fused_kernel_gives_what_the_loop_over_tokens_gives(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, *, lora: bool
) -> None:
    looped: list[int] = []
    loop = verl_F.logprobs_from_logits_v2

    def counted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        looped.append(len(logits))
        return loop(logits, labels)

    monkeypatch.setattr(verl_F, "logprobs_from_logits_v2", counted)
    monkeypatch.setattr(verl_F, "FLAH_ATTN_CROSS_ENTROPY_LOSS_AVAILABLE", False)
    plain = packed(loaded(tiny_model, lora=lora), fused=False)
    assert looped == [sum(LENGTHS)]

    chosen: Any = composed(["h100"]).actor_rollout_ref.model
    assert chosen.use_remove_padding
    model = loaded(tiny_model, lora=lora)
    monkeypatch.setattr(LlamaForCausalLM, "forward", LlamaForCausalLM.forward)  # verl changes the class
    patch_forward_with_backends(
        model.get_base_model() if lora else model,
        use_fused_kernels=chosen.use_fused_kernels,
        fused_kernels_backend=chosen.fused_kernel_options.impl_backend,
    )
    fused = packed(model, fused=chosen.use_fused_kernels)

    assert looped == [sum(LENGTHS)]
    assert fused.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(fused[name], value, msg=name, rtol=1e-4, atol=1e-4)


def test_a_critic_keeps_its_own_forward() -> None:
    assert not composed(["ppo", "h100"]).critic.model.use_fused_kernels
