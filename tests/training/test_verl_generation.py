from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.verl_fakes import PROMPT, RESPONSE, SamplerClient, batch_of, load, loop, run
from transformers import AutoModelForCausalLM
from verl import DataProto

from memquartet.errors import ConfigError
from memquartet.training.generation import GenerationSettings, MemoryGenerationManager
from memquartet.training.settings import TrainingSettings
from memquartet.training.tensors import TensorHelper
from memquartet.training.tiny import tiny_samples
from memquartet.training.transformers_worker import TransformersWorker

pytestmark = pytest.mark.train
SAMPLES = tiny_samples(3, seed=8)
rows = st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=5)


class Counting:
    """A worker group that refuses batches its world size does not divide."""

    def __init__(self, worker: TransformersWorker, world_size: int) -> None:
        self._worker, self._world_size = worker, world_size
        self.sizes: list[int] = []

    def generate_sequences(self, prompts: DataProto) -> DataProto:
        assert len(prompts) % self._world_size == 0
        self.sizes.append(len(prompts))
        return self._worker.generate_sequences(prompts)


def manager(folder: Path, world_size: int = 1) -> tuple[MemoryGenerationManager, Counting]:
    _, tokenizer = load(folder)
    worker = TransformersWorker(
        AutoModelForCausalLM.from_pretrained(folder),
        [tokenizer.eos_token_id],
        pad_id=tokenizer.pad_token_id,
        response_length=RESPONSE,
    )
    counting = Counting(worker, world_size)
    generation = GenerationSettings(prompt_length=PROMPT, response_length=RESPONSE, world_size=world_size)
    settings = TrainingSettings(prompts="short", seeded=True)
    return MemoryGenerationManager(counting, tokenizer, settings=settings, generation=generation), counting


async def loop_rows(folder: Path) -> list[tuple[str, list[int], float]]:
    sampler, tokenizer = load(folder)
    agent = loop(SamplerClient(sampler), tokenizer)
    outputs = [o for sample in SAMPLES for o in await run(agent, sample)]
    return [(o.role, o.response_ids, o.own_reward) for o in outputs]


def test_the_batch_path_lives_the_same_episodes_as_the_agent_loop(taught: Path) -> None:
    import asyncio

    made = manager(taught)[0].run_memory_loop(batch_of(SAMPLES))
    expected = asyncio.run(loop_rows(taught))
    assert list(made.non_tensor_batch["role"]) == [role for role, _, _ in expected]
    for number, (_, ids, reward) in enumerate(expected):
        mask = made.batch["response_mask"][number].bool()
        assert made.batch["responses"][number][mask].tolist() == ids
        assert made.batch["rm_scores"][number].sum() == pytest.approx(reward)


def test_episodes_ask_together_and_batches_fit_the_world_size(taught: Path) -> None:
    made, counting = manager(taught, world_size=4)
    rows = made.run_memory_loop(batch_of(SAMPLES))
    assert counting.sizes
    assert all(size % 4 == 0 for size in counting.sizes)
    assert len(counting.sizes) < len(rows)
    assert set(rows.non_tensor_batch["uid"]) == {"row0", "row1", "row2"}


def test_a_row_without_a_sample_is_refused(taught: Path) -> None:
    batch = batch_of(SAMPLES)
    batch.non_tensor_batch["extra_info"][1] = {"index": 1}
    with pytest.raises(ConfigError, match="row 1"):
        manager(taught)[0].run_memory_loop(batch)


@given(rows=rows)
def test_padding_loses_no_token_on_either_side(rows: list[list[int]]) -> None:
    helper = TensorHelper(pad_id=0)
    for padded in (helper.left(rows, 8), helper.right(rows, 8)):
        assert padded.ids.shape == (len(rows), 8)
        assert helper.rows(padded) == rows
        assert helper.rows(helper.cut(padded)) == rows
        assert torch.equal(helper.mask_of(padded.ids), padded.mask)


@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.integers(1, 9), min_size=1, max_size=5), st.lists(st.integers(1, 9), max_size=5)
        ),
        min_size=1,
    )
)
def test_positions_count_real_tokens_across_prompt_and_response(
    rows: list[tuple[list[int], list[int]]],
) -> None:
    helper = TensorHelper(pad_id=0)
    prompts, responses = helper.left([p for p, _ in rows]), helper.right([r for _, r in rows])
    whole = helper.concatenate(prompts, responses)
    positions = helper.position_ids(whole.mask)
    assert helper.rows(whole) == [p + r for p, r in rows]
    for (p, r), found, mask in zip(rows, positions, whole.mask, strict=True):
        assert found[mask.bool()].tolist() == list(range(len(p) + len(r)))


def test_a_row_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="3 tokens"):
        TensorHelper(pad_id=0).left([[1, 2, 3]], 2)
