from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.verl_fakes import PROMPT, SamplerClient, WordsClient, load, loop, run
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from memquartet.core.samples import Chunk
from memquartet.core.trajectory import Role
from memquartet.training.clock import EpisodeTime
from memquartet.training.dataset import Split
from memquartet.training.tiny import tiny_samples

pytestmark = pytest.mark.train
SAMPLE = tiny_samples(1, seed=5)[0]


async def test_every_call_is_an_output_with_its_own_tokens_reward_and_group(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    outputs = await run(loop(SamplerClient(sampler), tokenizer), SAMPLE)
    assert outputs[0].role == Role.EXTRACTOR
    assert outputs[-1].role == Role.ANSWERER
    for one in outputs:
        assert len(one.response_ids) == len(one.response_mask) == len(one.response_logprobs or [])
        assert set(one.response_mask) == {1}
        assert one.adv_group.endswith(f"/{one.role}")
    assert len({o.own_reward for o in outputs}) > 1


async def test_a_row_keeps_its_reward_where_verl_writes_the_last_ones_over_it(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    first, *_, last = await run(loop(SamplerClient(sampler), tokenizer), SAMPLE)
    first.reward_score = 0.123
    row = first.as_dict()
    assert row["rm_scores"].sum() == pytest.approx(first.own_reward)
    assert (row["adv_group"], row["role"]) == (first.adv_group, first.role)
    # verl makes columns of them, so every row must have the same.
    assert row.keys() == last.as_dict().keys()
    assert len(list_of_dict_to_tensordict([row, last.as_dict()])) == 2


async def test_equal_seeds_live_the_same_and_sessions_differ(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    agent = loop(SamplerClient(sampler), tokenizer)
    one, again, other = [await run(agent, SAMPLE, session=session) for session in (0, 0, 1)]
    assert [o.response_ids for o in one] == [o.response_ids for o in again]
    assert [o.response_ids for o in one] != [o.response_ids for o in other]


async def test_garbage_in_every_role_is_rewarded_at_the_floor_and_trained_on(taught: Path) -> None:
    _, tokenizer = load(taught)
    outputs = await run(loop(WordsClient(tokenizer, "\x01\x02 }{ ]["), tokenizer), SAMPLE)
    assert all(set(o.response_mask) == {1} for o in outputs)
    assert all(math.isfinite(o.own_reward) for o in outputs)
    assert {o.own_reward for o in outputs if o.role == Role.EXTRACTOR} == {0.0}


async def test_a_server_that_dies_masks_the_session(taught: Path) -> None:
    _, tokenizer = load(taught)
    for calls in (0, 1):
        client = WordsClient(tokenizer, '{"semantic": ["Anna lives in Rome."]}', dies_after=calls)
        outputs = await run(loop(client, tokenizer), SAMPLE)
        assert outputs
        assert all(set(o.response_mask) == {0} for o in outputs)
        assert all(o.extra_fields["max_global_steps"] == 3 for o in outputs)


async def test_an_episode_whose_reward_is_no_number_is_masked_and_counted(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memquartet.rewards.outcome.score", lambda *_: math.nan)
    sampler, tokenizer = load(taught)
    outputs = await run(loop(SamplerClient(sampler), tokenizer), SAMPLE)
    assert all(set(o.response_mask) == {0} for o in outputs)
    assert outputs[0].extra_fields["reward_extra_info"]["unrewarded"] == 1.0
    assert "outcome" not in outputs[0].extra_fields["reward_extra_info"]


async def test_a_validation_episode_says_who_made_its_calls(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    agent = loop(SamplerClient(sampler), tokenizer)
    outputs = await run(agent, SAMPLE, split=Split.VALIDATION)
    told = json.loads(outputs[0].extra_fields["reward_extra_info"]["calls"])
    assert [call["role"] for call in told] == [o.role for o in outputs]
    assert told[0]["unit"] == "chunk 0"
    assert told[-1]["unit"] == f"question {SAMPLE.questions[-1].question_id}"
    assert {call["sample_id"] for call in told} == {SAMPLE.sample_id}
    trained = await run(agent, SAMPLE)
    assert "calls" not in trained[0].extra_fields["reward_extra_info"]


async def test_an_episodes_own_time_is_what_no_model_call_takes(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    outputs = await run(loop(SamplerClient(sampler), tokenizer), SAMPLE)
    time = EpisodeTime(**outputs[0].extra_fields["time"])
    assert 0 < time.environment < time.seconds
    assert time.cpu_start < time.cpu_end


async def test_a_validation_session_without_a_server_is_not_measured(taught: Path) -> None:
    _, tokenizer = load(taught)
    client = WordsClient(tokenizer, "", dies_after=0)
    assert await run(loop(client, tokenizer), SAMPLE, split=Split.VALIDATION) == []


async def test_a_prompt_that_is_too_long_is_cut_and_counted(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    client = SamplerClient(sampler)
    long = replace(SAMPLE, chunks=(Chunk(text="Anna lives in Rome. " * 400, index=0),))
    outputs = await run(loop(client, tokenizer), long)
    assert max(client.prompts) <= PROMPT
    assert outputs[0].extra_fields["reward_extra_info"]["prompts_cut"] >= 1
    assert outputs[0].extra_fields["reward_extra_info"]["tokens_cut"] > 1000


async def test_roles_that_rest_make_no_rows(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, tokenizer = load(taught)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    # Nobody listens there: the frozen answerer fails, and the world's failure masks what cannot be judged.
    frozen = {"model": "big", "base_url": "http://127.0.0.1:9/v1"}
    agent = loop(SamplerClient(sampler), tokenizer, trainable=["extractor"], frozen=frozen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memquartet.llm.openai_api.MAX_WAIT", 0.01)
        outputs = await run(agent, SAMPLE)
    assert {o.role for o in outputs} == {"extractor"}
    assert all(set(o.response_mask) == {0} for o in outputs)


async def test_counterfactual_credit_pays_facts_by_what_they_changed(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    agent = loop(SamplerClient(sampler), tokenizer, credit="branch")
    # In a session or two the tiny extractor may say nothing usable, and then there is nothing to leave out.
    outputs = [one for session in range(4) for one in await run(agent, SAMPLE, session=session)]
    parts = {name for o in outputs for name in o.extra_fields["parts"]}
    assert "branch" in parts
    assert "provenance" not in parts


async def test_broadcast_gives_every_turn_the_outcome(taught: Path) -> None:
    sampler, tokenizer = load(taught)
    outputs = await run(loop(SamplerClient(sampler), tokenizer, credit="broadcast"), SAMPLE)
    outcome = outputs[0].extra_fields["reward_extra_info"]["outcome"]
    assert {o.own_reward for o in outputs} == {outcome}
    assert len({o.adv_group for o in outputs}) == 1
