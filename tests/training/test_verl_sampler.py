from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.training.verl_fakes import load
from transformers import AutoModelForCausalLM

from memquartet.training.sampler import Request, Sampler, _truncate

pytestmark = pytest.mark.train


def requests() -> list[Request]:
    prompts = [(5, 6, 7), (9,), tuple(range(3, 40)), (11, 12)]
    return [
        Request(prompt=prompt, max_tokens=5 + 3 * n, seed=n, ignore_eos=True)
        for n, prompt in enumerate(prompts)
    ]


def test_what_a_request_draws_does_not_depend_on_its_neighbours(tiny_model: Path) -> None:
    sampler, _ = load(tiny_model)
    alone = [sampler.run([request])[0] for request in requests()]
    few_at_once = Sampler(AutoModelForCausalLM.from_pretrained(tiny_model), [], max_running=2)
    together = few_at_once.run(requests())
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    for one, other in zip(alone, together, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.stop_reason == "length"


def test_logprobs_are_those_of_a_plain_forward_pass(tiny_model: Path) -> None:
    sampler, _ = load(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    request = Request(prompt=(5, 6, 7, 8), max_tokens=6, temperature=0.7, seed=3, ignore_eos=True)
    (drawn,) = sampler.run([request])
    with torch.no_grad():
        logits = model(torch.tensor([[*request.prompt, *drawn.tokens]])).logits[0, 3:-1]
    expected = torch.log_softmax(logits / 0.7, -1).gather(-1, torch.tensor(drawn.tokens)[:, None]).flatten()
    assert drawn.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_temperature_zero_takes_the_likeliest(tiny_model: Path) -> None:
    sampler, _ = load(tiny_model)
    draws = [
        sampler.run([Request(prompt=(5, 6), max_tokens=4, temperature=0.0, seed=n)])[0] for n in range(2)
    ]
    assert draws[0].tokens == draws[1].tokens


def test_tokens_outside_top_k_and_top_p_are_never_drawn() -> None:
    logits = torch.tensor([3.0, 2.0, 1.0, 0.0])
    request = Request(prompt=(1,), max_tokens=1, top_k=2)
    assert (_truncate(logits, request) > -math.inf).tolist() == [True, True, False, False]
    request = Request(prompt=(1,), max_tokens=1, top_p=0.6)
    assert (_truncate(logits, request) > -math.inf).tolist() == [True, False, False, False]


def test_new_weights_are_drawn_from_and_unknown_ones_named(tiny_model: Path) -> None:
    sampler, _ = load(tiny_model)
    before = sampler.run([Request(prompt=(5, 6), max_tokens=8, seed=1, ignore_eos=True)])[0].tokens
    weights = AutoModelForCausalLM.from_pretrained(tiny_model).state_dict()
    noise = torch.Generator().manual_seed(0)
    changed = [
        (name, tensor + torch.randn(tensor.shape, generator=noise)) for name, tensor in weights.items()
    ]
    assert sampler.load([*changed, ("nobody", torch.zeros(1))]) == ["nobody"]
    assert sampler.run([Request(prompt=(5, 6), max_tokens=8, seed=1, ignore_eos=True)])[0].tokens != before


def test_aborted_requests_end_as_they_stand(tiny_model: Path) -> None:
    sampler, _ = load(tiny_model)
    running = sampler.submit(Request(prompt=(5, 6), max_tokens=50, ignore_eos=True))
    sampler.step()
    assert sampler.abort() == [running]
    assert (running.stop_reason, len(running.tokens)) == ("aborted", 1)
    assert sampler.idle
