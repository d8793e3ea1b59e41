"""A warm start: plain supervised learning on demonstrations, before any RL.

A model that never fills a schema earns the same reward whatever it does, and equal rewards teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memquartet.errors import ConfigError
from memquartet.training.demonstrations import Demonstration
from memquartet.training.policy import ChatTokens

IGNORED = -100
"""The label of tokens that are read but not learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings:
    """`learning_rate` rises over the first tenth of the steps and falls along a line to 0. `max_length` is in tokens."""

    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 3e-4
    max_length: int = 1024
    seed: int = 0


DEFAULT_SFT = SftSettings()


def teach(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    *,
    settings: SftSettings = DEFAULT_SFT,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> float:
    """Teach a model to give the outputs of the demonstrations; only outputs are learned, not prompts.

    Args:
        model: changed in place, on its device; on a GPU the arithmetic is in bfloat16.
        tokenizer: with a chat template.
        demonstrations: drawn from at random; those longer than `max_length` are left out.
        settings: how long and how fast.
        on_step: called with the step's number and its loss (nats a token).

    Returns:
        The last step's loss.

    Raises:
        ConfigError: no demonstration is short enough.
    """
    tokens = ChatTokens(tokenizer)
    examples = [_example(tokens, tokenizer, shown) for shown in demonstrations]
    examples = [(ids, labels) for ids, labels in examples if len(ids) <= settings.max_length]
    if not examples:
        raise ConfigError(f"no demonstration has at most {settings.max_length} tokens")
    draw = Random(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95))
    rise = max(1, settings.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (settings.steps - step) / settings.steps)
    )
    model.train()
    loss = 0.0
    for step in range(settings.steps):
        batch = draw.choices(examples, k=settings.batch_size)
        loss = _step(model, optimizer, *_padded(batch, tokenizer.pad_token_id))
        schedule.step()
        on_step(step, loss)
    model.eval()
    return loss


def _example(
    tokens: ChatTokens, tokenizer: PreTrainedTokenizerBase, shown: Demonstration
) -> tuple[list[int], list[int]]:
    prompt = list(tokens.encode(shown.messages))
    output = [*tokenizer(shown.output, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return prompt + output, [IGNORED] * len(prompt) + output


def _padded(
    batch: Sequence[tuple[list[int], list[int]]], filler: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and labels of shape (batch, length), padded on the right."""
    length = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [filler] * (length - len(ids)) for ids, _ in batch])
    mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in batch])
    labels = torch.tensor([labels + [IGNORED] * (length - len(labels)) for _, labels in batch])
    return ids, mask, labels


def _step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    ids: torch.Tensor,
    mask: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    device = model.device
    learned = labels[:, 1:] != IGNORED
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        hidden = model.base_model(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
        # The output layer is the largest part of a small model: only learned positions go through it.
        logits = model.get_output_embeddings()(hidden[:, :-1][learned.to(device)])
    loss = cross_entropy(logits.float(), labels[:, 1:][learned].to(device))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()
