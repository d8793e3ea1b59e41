"""verl's client without its servers: a model in this process, or failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.workers.rollout.replica import TokenOutput

from memquartet.core.samples import Sample
from memquartet.training.agent_loop import MemoryAgentLoop, TurnOutput
from memquartet.training.dataset import Split, verl_row
from memquartet.training.sampler import Request, Sampler

PROMPT, RESPONSE = 192, 48


class SamplerClient:
    """Draws from a model, as verl's client does through a server."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.prompts: list[int] = []

    async def generate(
        self, request_id: str, *, prompt_ids: Sequence[int], sampling_params: Mapping[str, Any]
    ) -> TokenOutput:
        self.prompts.append(len(prompt_ids))
        request = Request(
            prompt=tuple(prompt_ids),
            max_tokens=sampling_params["max_tokens"],
            temperature=sampling_params["temperature"],
            seed=sampling_params.get("seed"),
        )
        (drawn,) = self._sampler.run([request])
        return output(drawn.tokens, drawn.logprobs)


class WordsClient:
    """Says the same text to everyone; with `dies_after` it fails from that call on."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: str, dies_after: int | None = None) -> None:
        self._ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        self._calls, self._dies_after = 0, dies_after

    async def generate(self, **_: object) -> TokenOutput:
        self._calls += 1
        if self._dies_after is not None and self._calls > self._dies_after:
            raise RuntimeError("the server is gone")
        return output(self._ids, [-1.0] * len(self._ids))


def output(ids: Sequence[int], logprobs: Sequence[float]) -> TokenOutput:
    versions = {"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3}
    return TokenOutput(
        token_ids=list(ids), log_probs=list(logprobs), stop_reason="completed", extra_fields=versions
    )


def load(folder: Path) -> tuple[Sampler, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    return Sampler(model, [tokenizer.eos_token_id]), tokenizer


def config(**settings: object) -> DictConfig:
    section = {"prompts": "short", "seeded": True, **settings}
    rollout = {"prompt_length": PROMPT, "response_length": RESPONSE}
    return OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}, "data": {}, "memquartet": section})


def loop(client: object, tokenizer: PreTrainedTokenizerBase, **settings: object) -> MemoryAgentLoop:
    trainer = config(**settings)
    return MemoryAgentLoop(
        DictConfigWrap(trainer), client, tokenizer, None, RLHFDataset, DictConfigWrap(trainer.data)
    )


async def run(
    agent: MemoryAgentLoop,
    sample: Sample,
    *,
    session: int = 0,
    split: Split = Split.TRAIN,
    temperature: float = 1.0,
) -> list[TurnOutput]:
    row = verl_row(sample, index=0, split=split)
    sampling = {"temperature": temperature, "top_p": 1.0, "top_k": -1, "logprobs": True}
    return await agent.run(sampling, **row, global_steps=3, session_id=session, uid="u", raw_prompt=[])


def batch_of(samples: Sequence[Sample]) -> DataProto:
    rows = [verl_row(sample, index=0, split=Split.TRAIN) for sample in samples]
    extra = np.empty(len(rows), dtype=object)
    extra[:] = [row["extra_info"] for row in rows]
    return DataProto(
        batch=None,
        non_tensor_batch={"extra_info": extra, "session_id": np.zeros(len(rows), dtype=int)},
        meta_info={"global_steps": 3},
    )
