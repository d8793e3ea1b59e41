"""FSDP2 on a CPU; importing this module registers the engines with verl."""

from __future__ import annotations

from typing import Any

import torch
import verl.utils.model as verl_models
from transformers import AutoModelForTokenClassification, PretrainedConfig, PreTrainedModel
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead


class _InHostMemory:
    """Builds a forward-only engine like a trainable one.

    verl offloads a reference model with pinned memory, which needs an accelerator; on a CPU there is nothing to
    offload.
    """

    engine_config: Any  # verl's dataclass, not typed

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        config = self.engine_config
        forward_only = config.forward_only
        object.__setattr__(config, "forward_only", False)  # verl freezes the dataclass
        try:
            return super()._build_fsdp_module(module)  # type: ignore[misc]  # the engine comes next in the MRO
        finally:
            object.__setattr__(config, "forward_only", forward_only)


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
class CpuEngine(_InHostMemory, FSDPEngineWithLMHead):
    """The actor's and the reference model's engine."""


@EngineRegistry.register(model_type="value_model", backend="fsdp2", device="cpu")
class CpuValueEngine(_InHostMemory, FSDPEngineWithValueHead):
    """The critic's engine.

    verl loads critics with FlashAttention 2 whatever the configuration says, which has no CPU version.
    """

    def _build_module(self) -> torch.nn.Module:
        loader = verl_models.load_valuehead_model
        verl_models.load_valuehead_model = _load_critic
        try:
            return super()._build_module()
        finally:
            verl_models.load_valuehead_model = loader


def _load_critic(
    *,
    local_path: str,
    torch_dtype: torch.dtype,
    model_config: PretrainedConfig,
    trust_remote_code: bool,
) -> PreTrainedModel:
    return AutoModelForTokenClassification.from_pretrained(
        local_path,
        dtype=torch_dtype,
        config=model_config,
        attn_implementation="sdpa",
        trust_remote_code=trust_remote_code,
    )
