"""Demonstrations as token ids, and batches of them without much padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import torch
from transformers import PreTrainedTokenizerBase

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.training.demonstrations import Demonstration

IGNORED = -100
"""The label of tokens that are read but not learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One demonstration: the ids of prompt and output, the end-of-turn token last."""

    role: Role
    ids: tuple[int, ...]
    prompt_length: int

    @property
    def learned(self) -> int:
        """Tokens of the output."""
        return len(self.ids) - self.prompt_length


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What is computed at once, a row an example, or all of them in one row behind each other.

    Args:
        examples: in the order of the rows.
        ids: shape (rows, length), filled up on the right. Attention is causal, so that no mask is needed: what is
            learned stands before the filling and never sees it. Packed: shape (1, tokens).
        labels: shape of `ids`; `IGNORED` outside outputs.
        positions: of packed examples, shape of `ids`; each example's begin at 0. None for rows.
    """

    examples: Sequence[Example]
    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None = None


def encode(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[Demonstration], *, max_length: int
) -> list[Example]:
    """The demonstrations' ids, all in one call of the tokenizer, which works on every core.

    Args:
        tokenizer: a fast one with a chat template.
        demonstrations: what to encode.
        max_length: in tokens; longer demonstrations are left out.

    Raises:
        ConfigError: no demonstration is short enough.
    """
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": m.speaker.value, "content": m.content} for m in shown.messages],
            add_generation_prompt=True,
            tokenize=False,
        )
        for shown in demonstrations
    ]
    read = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    said = tokenizer([shown.output for shown in demonstrations], add_special_tokens=False)["input_ids"]
    examples = [
        Example(role=shown.role, ids=(*prompt, *output, tokenizer.eos_token_id), prompt_length=len(prompt))
        for shown, prompt, output in zip(demonstrations, read, said, strict=True)
    ]
    short = [example for example in examples if len(example.ids) <= max_length]
    if not short:
        raise ConfigError(f"no demonstration has at most {max_length} tokens")
    return short


def filler_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up shorter rows; nothing looks at it, so that any will do where there is none for it."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def batch_at(examples: Sequence[Example], step: int, *, size: int, seed: int) -> list[Example]:
    """The batch of a step: every example once in each pass, in a new order; the same for equal arguments."""
    drawn: list[Example] = []
    place = step * size
    while len(drawn) < size:
        epoch, offset = divmod(place, len(examples))
        taken = _order(len(examples), epoch, seed)[offset : offset + size - len(drawn)]
        drawn += [examples[index] for index in taken]
        place += len(taken)
    return drawn


def micro_batches(examples: Sequence[Example], *, tokens: int, filler: int) -> Iterator[MicroBatch]:
    """Split examples into batches of like lengths with at most so many tokens each, filling included.

    Args:
        examples: in any order.
        tokens: an example longer than this makes a batch of its own.
        filler: the id to fill up with.
    """
    waiting: list[Example] = []
    for example in sorted(examples, key=lambda one: len(one.ids)):
        if waiting and (len(waiting) + 1) * len(example.ids) > tokens:
            yield _filled(waiting, filler)
            waiting = []
        waiting.append(example)
    if waiting:
        yield _filled(waiting, filler)


def packed_batches(examples: Sequence[Example], *, tokens: int) -> Iterator[MicroBatch]:
    """Split examples into packed batches with at most so many tokens each; nothing is filled up.

    Args:
        examples: in any order.
        tokens: an example longer than this makes a batch of its own.
    """
    waiting: list[Example] = []
    for example in examples:
        if waiting and sum(len(one.ids) for one in waiting) + len(example.ids) > tokens:
            yield _packed(waiting)
            waiting = []
        waiting.append(example)
    if waiting:
        yield _packed(waiting)


def role_weights(examples: Sequence[Example]) -> Mapping[Role, float]:
    """A weight for each token of a role, so that all roles weigh the same however much they say; their mean is 1."""
    counts: dict[Role, int] = {}
    for example in examples:
        counts[example.role] = counts.get(example.role, 0) + example.learned
    total = sum(counts.values())
    return {role: total / (len(counts) * count) for role, count in counts.items()}


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, seed: int) -> Sequence[int]:
    order = list(range(count))
    Random(f"sft/{seed}/{epoch}").shuffle(order)
    return order


def _filled(examples: Sequence[Example], filler: int) -> MicroBatch:
    length = max(len(example.ids) for example in examples)
    ids = [[*one.ids, *[filler] * (length - len(one.ids))] for one in examples]
    labels = [[*_labels(one), *[IGNORED] * (length - len(one.ids))] for one in examples]
    return MicroBatch(examples=tuple(examples), ids=torch.tensor(ids), labels=torch.tensor(labels))


def _packed(examples: Sequence[Example]) -> MicroBatch:
    # An example's first token is never learned, so that none is foretold from the example before.
    return MicroBatch(
        examples=tuple(examples),
        ids=torch.tensor([[token for one in examples for token in one.ids]]),
        labels=torch.tensor([[label for one in examples for label in _labels(one)]]),
        positions=torch.cat([torch.arange(len(one.ids)) for one in examples]).unsqueeze(0),
    )


def _labels(example: Example) -> list[int]:
    return [*[IGNORED] * example.prompt_length, *example.ids[example.prompt_length :]]
