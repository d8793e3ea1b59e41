"""A `generate_sequences(DataProto)` over a transformers model in this process, for tests and small machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tensordict import TensorDict
from transformers import PreTrainedModel
from verl import DataProto

from memquartet.training.sampler import Request, Sampler
from memquartet.training.tensors import Padded, TensorHelper


class TransformersWorker:
    """Draws with the sampler of the CPU's rollout, so that both give equal tokens for equal seeds."""

    def __init__(
        self,
        model: PreTrainedModel,
        eos_ids: Iterable[int],
        *,
        pad_id: int,
        response_length: int,
        seed: int = 0,
    ) -> None:
        """Take over a model.

        Args:
            model: a causal language model on the CPU.
            eos_ids: tokens that end an output.
            pad_id: fills responses up.
            response_length: tokens of the `responses` tensor, and of the longest output.
            seed: for rows without one.
        """
        self._sampler = Sampler(model, eos_ids, seed=seed)
        self._helper = TensorHelper(pad_id=pad_id)
        self._response_length = response_length

    def generate_sequences(self, prompts: DataProto) -> DataProto:
        """Responses for prompts in `input_ids`, by each row's `sampling` (vLLM's names)."""
        padded = Padded(ids=prompts.batch["input_ids"], mask=prompts.batch["attention_mask"])
        asked = prompts.non_tensor_batch.get("sampling", [{}] * len(prompts))
        requests = [
            self._request(row, sampling)
            for row, sampling in zip(self._helper.rows(padded), asked, strict=True)
        ]
        drawn = self._sampler.run(requests)
        responses = self._helper.right([one.tokens for one in drawn], self._response_length)
        whole = self._helper.concatenate(padded, responses)
        logprobs = torch.zeros(len(drawn), self._response_length)
        for number, one in enumerate(drawn):
            logprobs[number, : len(one.logprobs)] = torch.tensor(one.logprobs)
        tensors = {
            "prompts": padded.ids,
            "responses": responses.ids,
            "input_ids": whole.ids,
            "attention_mask": whole.mask,
            "position_ids": self._helper.position_ids(whole.mask),
            "rollout_log_probs": logprobs,
        }
        return DataProto(batch=TensorDict(tensors, batch_size=len(drawn)), meta_info=dict(prompts.meta_info))

    def _request(self, prompt: list[int], sampling: Mapping[str, Any]) -> Request:  # the caller's names
        return Request(
            prompt=tuple(prompt),
            max_tokens=min(sampling.get("max_tokens", self._response_length), self._response_length),
            temperature=sampling.get("temperature", 1.0),
            top_p=sampling.get("top_p", 1.0),
            top_k=sampling.get("top_k", -1),
            seed=sampling.get("seed"),
        )
