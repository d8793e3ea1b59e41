"""From a model's folder to one that knows the roles: demonstrations of generated samples, learned by heart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memquartet.core.samples import Sample
from memquartet.training.demonstrations import Demonstration, demonstrate
from memquartet.training.settings import TrainingSettings
from memquartet.training.sft import DEFAULT_SFT, SftSettings, teach

REPORT_EVERY = 20
"""Steps."""


def warm_start(
    model_folder: Path,
    out: Path,
    samples: Sequence[Sample],
    *,
    settings: TrainingSettings,
    sft: SftSettings = DEFAULT_SFT,
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Teach a model its roles and save it with its tokenizer, on the GPU where there is one.

    Args:
        model_folder: a Hugging Face model with a chat template.
        out: the taught model's folder; it appears when the teaching is done.
        samples: generated ones.
        settings: those of the training to come.
        sft: how long and how fast.
        report: called with a line every now and then.

    Raises:
        InputError: a sample carries no truth.
        ConfigError: no demonstration is short enough.
    """
    demonstrations = asyncio.run(_demonstrations(samples, settings))
    report(f"{len(demonstrations)} demonstrations of {len(samples)} samples")
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model.to("cuda" if torch.cuda.is_available() else "cpu")

    def on_step(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0:
            report(f"step {step}: {loss:.4f} nats a token")

    teach(model, tokenizer, demonstrations, settings=sft, on_step=on_step)
    model.to("cpu").save_pretrained(out)
    tokenizer.save_pretrained(out)


async def _demonstrations(samples: Sequence[Sample], settings: TrainingSettings) -> list[Demonstration]:
    return [shown for sample in samples for shown in await demonstrate(sample, settings)]
