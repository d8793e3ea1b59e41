"""The batch path: a `DataProto` of samples in, a `DataProto` of training rows out.

For trainers that generate by calling `generate_sequences(DataProto)` on something: a worker group, verl's
`AgentLoopManager`, or `transformers_worker.TransformersWorker`. The episodes are those of the agent loop. Each runs as
far as its next model call; what they ask for then goes out as one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from tensordict import TensorDict
from transformers import PreTrainedTokenizerBase
from verl import DataProto
from verl.protocol import pad_dataproto_to_divisor, unpad_dataproto

from memquartet.agents.base import derive_seed
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError, ModelServerError
from memquartet.training.dataset import decode_sample
from memquartet.training.episodes import Lived, live
from memquartet.training.policy import ChatTokens, PolicyModel, SamplingParams, TokenReply
from memquartet.training.rows import Row
from memquartet.training.settings import TrainingSettings
from memquartet.training.tensors import Padded, TensorHelper
from memquartet.training.tokens_loop import TOKENS_AGENT

GATHER_SECONDS = 0.002
"""How long a batch waits for one more request after the last one came."""


class SequenceGenerator(Protocol):
    """What draws tokens for a batch of prompts."""

    def generate_sequences(self, prompts: DataProto) -> DataProto:
        """Responses, padded on the right, under `responses`, with the mask of prompt and response."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """Lengths are in tokens. The generator wants batches that `world_size` divides."""

    prompt_length: int
    response_length: int
    temperature: float = 1.0
    world_size: int = 1


class MemoryGenerationManager:
    """Runs the team over a batch of samples."""

    def __init__(
        self,
        generator: SequenceGenerator,
        tokenizer: PreTrainedTokenizerBase,
        *,
        settings: TrainingSettings,
        generation: GenerationSettings,
    ) -> None:
        """Take what draws the tokens, and the tokenizer that they belong to."""
        self._generator = generator
        self._tokens = ChatTokens(tokenizer)
        self._filler = tokenizer.eos_token_id
        self._helper = TensorHelper(pad_id=tokenizer.pad_token_id)
        self._settings = settings
        self._generation = generation

    def run_memory_loop(self, batch: DataProto) -> DataProto:
        """Live through every row's sample and return one row for each call of a trained role.

        Args:
            batch: `extra_info` as `build_dataset` writes it and optionally `uid`, `session_id` and the meta
                entry `global_steps`, from which with the sample's id the seeds are derived.

        Returns:
            `prompts`, `responses`, `input_ids`, `attention_mask`, `position_ids`, `response_mask`, `rm_scores` and
            `rollout_log_probs`; beside them `uid`, `session_id`, `role` and `adv_group`.

        Raises:
            ConfigError: a row has no sample.
        """
        episodes = asyncio.run(self._live(batch))
        owners = [number for number, lived in enumerate(episodes) for _ in lived.rows]
        rows = [row for lived in episodes for row in lived.rows]
        columns: dict[str, list[object]] = {
            "uid": [_column(batch, "uid", number, f"row{number}") for number in owners],
            "session_id": [_column(batch, "session_id", number, 0) for number in owners],
            "role": [row.role.value for row in rows],
            "adv_group": [row.group for row in rows],
        }
        return DataProto(
            batch=self._tensors(rows),
            non_tensor_batch={name: _objects(values) for name, values in columns.items()},
            meta_info=dict(batch.meta_info),
        )

    async def _live(self, batch: DataProto) -> list[Lived]:
        draw = _Gathering(self._draw)
        step = batch.meta_info.get("global_steps", 0)
        # All samples are read before the first token is drawn.
        samples = [_sample(batch, number) for number in range(len(batch))]
        seeds = [
            derive_seed(self._settings.seed, sample.sample_id, step, _column(batch, "session_id", number, 0))
            for number, sample in enumerate(samples)
        ]
        return await asyncio.gather(
            *(
                live(sample, self._policy(draw), self._settings, seed=seed, filler=self._filler)
                for sample, seed in zip(samples, seeds, strict=True)
            )
        )

    def _policy(self, draw: _Gathering) -> PolicyModel:
        return PolicyModel(
            generate=draw.generate,
            tokens=self._tokens,
            sampling={"temperature": self._generation.temperature, "logprobs": True},
            prompt_length=self._generation.prompt_length,
            response_length=self._generation.response_length,
            seeded=self._settings.seeded,
            timeout=self._settings.timeout,
        )

    def _draw(self, asked: Sequence[_Asked]) -> list[TokenReply]:
        """One batch of prompts through the generator."""
        prompts = self._helper.left([one.prompt for one in asked], self._generation.prompt_length)
        batch = DataProto(
            batch=TensorDict(
                {
                    "input_ids": prompts.ids,
                    "attention_mask": prompts.mask,
                    "position_ids": self._helper.position_ids(prompts.mask),
                },
                batch_size=len(asked),
            ),
            non_tensor_batch={
                "raw_prompt_ids": _objects([list(one.prompt) for one in asked]),
                "raw_prompt": _objects([[] for _ in asked]),
                "sampling": _objects([dict(one.sampling) for one in asked]),
                "agent_name": _objects([TOKENS_AGENT] * len(asked)),
            },
            meta_info={
                "eos_token_id": self._filler,
                "pad_token_id": self._helper.pad_id,
                "do_sample": self._generation.temperature > 0,
                "response_length": self._generation.response_length,
            },
        )
        return self._replies(self._generate_with_gpu_padding(batch))

    def _generate_with_gpu_padding(self, batch: DataProto) -> DataProto:
        """Generate with rows repeated until the world size divides their number; theirs are dropped again."""
        padded, extra = pad_dataproto_to_divisor(batch, self._generation.world_size)
        return unpad_dataproto(self._generator.generate_sequences(padded), extra)

    def _replies(self, output: DataProto) -> list[TokenReply]:
        responses = output.batch["responses"]
        mask = output.batch["attention_mask"][:, -responses.size(1) :]
        drawn = self._helper.rows(Padded(ids=responses, mask=mask))
        logprobs = output.batch.get("rollout_log_probs", None)
        return [
            TokenReply(
                token_ids=tuple(ids),
                logprobs=None if logprobs is None else tuple(logprobs[number, : len(ids)].tolist()),
            )
            for number, ids in enumerate(drawn)
        ]

    def _tensors(self, rows: Sequence[Row]) -> TensorDict:
        length = self._generation.response_length
        prompts = self._helper.left([row.prompt_ids for row in rows], self._generation.prompt_length)
        responses = self._helper.right([row.response_ids for row in rows], length)
        whole = self._helper.concatenate(prompts, responses)
        learned = TensorHelper(pad_id=0).right([row.mask for row in rows], length).ids
        scores = torch.zeros(len(rows), length)
        logprobs = torch.zeros(len(rows), length)
        for number, row in enumerate(rows):
            scores[number, len(row.response_ids) - 1] = row.reward
            logprobs[number, : len(row.logprobs)] = torch.tensor(row.logprobs)
        return TensorDict(
            {
                "prompts": prompts.ids,
                "responses": responses.ids,
                "input_ids": whole.ids,
                "attention_mask": whole.mask,
                "position_ids": self._helper.position_ids(whole.mask),
                "response_mask": learned,
                "rm_scores": scores,
                "rollout_log_probs": logprobs,
            },
            batch_size=len(rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    prompt: tuple[int, ...]
    sampling: SamplingParams
    reply: asyncio.Future[TokenReply]


class _Gathering:
    """Holds back requests until no more come, then draws them as one batch in a thread."""

    def __init__(self, draw: _Draw) -> None:
        self._draw = draw
        self._asked: list[_Asked] = []
        self._work: asyncio.Task[None] | None = None

    async def generate(self, prompt: Sequence[int], sampling: SamplingParams) -> TokenReply:
        reply = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(prompt=tuple(prompt), sampling=sampling, reply=reply))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve())
        return await reply

    async def _serve(self) -> None:
        while self._asked:
            count = 0
            while count < len(self._asked):
                count = len(self._asked)
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._asked = self._asked, []
            try:
                replies = await asyncio.to_thread(self._draw, batch)
            except (RuntimeError, OSError) as error:
                for one in batch:
                    one.reply.set_exception(ModelServerError(f"the generator failed: {str(error)[-400:]}"))
                continue
            for one, reply in zip(batch, replies, strict=True):
                one.reply.set_result(reply)


class _Draw(Protocol):
    def __call__(self, asked: Sequence[_Asked]) -> list[TokenReply]: ...


def _sample(batch: DataProto, number: int) -> Sample:
    extra = _column(batch, "extra_info", number, None)
    if not isinstance(extra, Mapping) or not isinstance(extra.get("sample"), str):
        raise ConfigError(
            f"row {number} has no extra_info with a sample: build the data with `memquartet data build`"
        )
    return decode_sample(extra["sample"])


def _column(batch: DataProto, name: str, number: int, default: object) -> object:
    column = batch.non_tensor_batch.get(name)
    return default if column is None else column[number]


def _objects(values: Sequence[object]) -> np.ndarray:
    """An array of objects, one a row; numpy would make a table of lists of equal length."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
