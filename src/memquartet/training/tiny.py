"""A tiny llama with a real tokenizer, made on the spot: what tests and the smoke run train.

Random weights never fill a JSON schema, so that only one of four agents would ever speak; a few seconds of
demonstrations make a model that does so often enough for all of them to have something to learn from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from memquartet.agents.base import shipped_prompt
from memquartet.benchmarks.synthetic import RELATIONS, ConflictShape, conflict_samples
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.settings import SHORT, TrainingSettings
from memquartet.training.sft import SftSettings, teach

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 1024
TINY_SHAPE = ConflictShape(chunks=2, lines=2, subjects=2, questions=1, small_talk=1.0)
"""Episodes that fit a tiny model: two chunks of a statement and a remark, and a question."""
TINY_SFT = SftSettings(steps=120, batch_size=12, learning_rate=5e-3)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a chat template; any text can be encoded, generated episodes in few tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [form for relation in RELATIONS for form in (*relation.stated, *relation.changed)]
    outputs = [shown.output for shown in tiny_demonstrations(20, seed=0)]
    bpe.train_from_iterator([*(shipped_prompt(role) for role in Role), *lines, *outputs], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def tiny_samples(count: int, *, seed: int) -> list[Sample]:
    """Generated samples of `TINY_SHAPE`. Every second value is accepted, so that guessing pays now and then."""
    values = [value for relation in RELATIONS for value in relation.values[::2]]
    return [
        replace(sample, questions=tuple(replace(q, answers=tuple(values)) for q in sample.questions))
        for sample in conflict_samples(count, seed=seed, shape=TINY_SHAPE)
    ]


def tiny_demonstrations(count: int, *, seed: int) -> Sequence[Demonstration]:
    """What the four agents should say on that many samples."""
    settings = TrainingSettings(prompts=SHORT)

    async def shown() -> list[Demonstration]:
        return [d for sample in tiny_samples(count, seed=seed) for d in await demonstrate(sample, settings)]

    return asyncio.run(shown())


def save_tiny_model(folder: Path, *, sft: SftSettings | None = TINY_SFT, seed: int = 0) -> Path:
    """Write a llama of two layers and some 140,000 weights, and its tokenizer, to a folder.

    Args:
        folder: where to.
        sft: how it is taught; None leaves the weights random.
        seed: of the weights and of the demonstrations.
    """
    tokenizer = tiny_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    if sft:
        teach(model, tokenizer, tiny_demonstrations(100, seed=seed), settings=sft)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
