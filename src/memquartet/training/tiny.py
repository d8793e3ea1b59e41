"""A tiny llama with a real tokenizer, made on the spot: what tests and the smoke run train.

Random weights never fill a JSON schema, so that only one of four agents would ever speak; a few seconds of
demonstrations make a model that does so often enough for all of them to have something to learn from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from memquartet.agents.prompt_sets import SHORT
from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.stream import StreamForm, StreamShape
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.settings import TrainingSettings
from memquartet.training.sft import SftSettings, teach

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 1024
TINY_SHAPE = StreamShape(
    facts=3, chunk_lines=3, form=StreamForm.DIALOGUE, small_talk=0.5, joined=0.0, queries=0.0, questions=2
)
"""Episodes that fit a tiny model: two or three chunks of three lines."""
TINY_ANSWER = "Ann has a cat."
TINY_OUTPUTS = {
    Role.EXTRACTOR: (
        '{"semantic": ["Ann has a cat."], "unimportant": ["It rains."]}',
        '{"semantic": ["Ann has a dog."], "unimportant": ["It rains."]}',
        '{"semantic": ["Ann has a cat.", "Ann has a dog."], "unimportant": ["It rains."]}',
        "It rains.",
    ),
    Role.MANAGER: (
        '{"decisions": [{"fact": 0, "op": "ADD"}]}',
        '{"decisions": [{"fact": 0, "op": "UPDATE", "id": "0"}]}',
        '{"decisions": [{"fact": 0, "op": "NOOP", "id": "0"}]}',
        "It rains.",
    ),
    Role.SUMMARIZER: ("It rains.", "It rains. It rains. It rains. It rains.", "Ann has a cat."),
    Role.ANSWERER: ("no information available", TINY_ANSWER),
}
TINY_SFT = SftSettings(steps=250, batch_size=8, learning_rate=5e-3)


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
    shown = [
        text for one in tiny_demonstrations(50, seed=0) for text in (one.messages[-1].content, one.output)
    ]
    bpe.train_from_iterator(shown, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def tiny_samples(count: int, *, seed: int) -> list[Sample]:
    """Generated samples whose questions accept what a tiny model says now and then."""
    return [
        replace(sample, questions=tuple(replace(q, answers=(TINY_ANSWER,)) for q in sample.questions))
        for sample in make_worlds(WorldKind.CONFLICT, seed, count, stream=TINY_SHAPE)
    ]


def tiny_demonstrations(count: int, *, seed: int) -> Sequence[Demonstration]:
    """Prompts of that many samples, each with one of a few fixed outputs of its role, usable ones and others.

    What is true is beyond a tiny model. It learns in seconds that each role has its own form.
    """
    settings = TrainingSettings(prompts=SHORT)

    async def shown() -> list[Demonstration]:
        return [d for sample in tiny_samples(count, seed=seed) for d in await demonstrate(sample, settings)]

    draw = Random(seed)
    return [replace(one, output=draw.choice(TINY_OUTPUTS[one.role])) for one in asyncio.run(shown())]


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
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # operations this small wait for their threads longer than they compute
        teach(model, tokenizer, tiny_demonstrations(60, seed=seed), settings=sft)
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
