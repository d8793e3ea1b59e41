"""Whether an adapter says the same through llama.cpp (GGUF) and through transformers (PEFT).

    python benchmarks/adapter_parity.py --model HF_FOLDER --adapter PEFT_FOLDER --gguf ADAPTER.gguf \
        --demonstrations sft-val.parquet [--base smollm2-135m] [--n 60] [--tokens 64]

llama.cpp answers held-out prompts greedily. Each of its tokens is then compared with the one that transformers finds
likeliest after the same tokens, which is what greedy decoding there would give. The base without the adapter is
measured the same way: it shows how much the two differ by their arithmetic alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memquartet.core.messages import Message
from memquartet.llm.local import LocalChatModel
from memquartet.llm.protocols import ChatRequest, Completion, Sampling
from memquartet.training.demonstration_sets import read_demonstrations
from memquartet.training.policy import ChatTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


async def said(model: LocalChatModel, prompts: Sequence[Sequence[Message]], tokens: int) -> list[Completion]:
    requests = [
        ChatRequest(messages=tuple(prompt), sampling=Sampling(max_tokens=tokens), logprobs=True)
        for prompt in prompts
    ]
    found = await asyncio.gather(*map(model.complete, requests))
    await model.aclose()
    return list(found)


def compare(model: PreTrainedModel, completions: Sequence[Completion]) -> dict[str, float]:
    import torch

    whole = tokens = equal = 0
    gaps: list[float] = []
    for one in completions:
        prompt, output = list(one.prompt_ids or ()), list(one.output_ids or ())
        with torch.no_grad():
            logits = model(torch.tensor([prompt + output])).logits[0, len(prompt) - 1 : -1].float()
        same = logits.argmax(-1) == torch.tensor(output)
        whole += bool(same.all())
        tokens += len(output)
        equal += int(same.sum())
        own = logits.log_softmax(-1).gather(1, torch.tensor(output)[:, None])[:, 0]
        gaps += (own - torch.tensor(one.logprobs)).abs().tolist()
    gaps.sort()
    return {
        "outputs": len(completions),
        "outputs_equal": whole,
        "tokens": tokens,
        "tokens_equal": equal,
        "logprob_difference_median": gaps[len(gaps) // 2],
        "logprob_difference_p95": gaps[int(len(gaps) * 0.95)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--demonstrations", type=Path, required=True)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=64)
    given = parser.parse_args()

    prompts = [shown.messages for shown in read_demonstrations(given.demonstrations)[: given.n]]
    base = LocalChatModel(given.base)
    adapted = LocalChatModel(f"{given.base}+{given.gguf}")
    by_base = asyncio.run(said(base, prompts, given.tokens))
    by_adapted = asyncio.run(said(adapted, prompts, given.tokens))
    # Only now: torch and llama.cpp each bring threads that wait by spinning, and would slow each other down.
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = ChatTokens(AutoTokenizer.from_pretrained(given.model))
    prompts_equal = sum(
        tokens.encode(prompt) == one.prompt_ids for prompt, one in zip(prompts, by_adapted, strict=True)
    )
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
    told = {
        "prompts_equal": prompts_equal,
        "changed_by_the_adapter": sum(a.text != b.text for a, b in zip(by_base, by_adapted, strict=True)),
        "base": compare(model, by_base),
        "adapter": compare(PeftModel.from_pretrained(model, given.adapter).eval(), by_adapted),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
