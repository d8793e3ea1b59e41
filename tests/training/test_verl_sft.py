"""Supervised learning with a tiny model; needs torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM, AutoTokenizer

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError, InputError
from memquartet.training import packed_attention
from memquartet.training.demonstration_sets import write_demonstrations
from memquartet.training.lora import learn_through_weights
from memquartet.training.policy import ChatTokens
from memquartet.training.sft import SftSettings, Teacher
from memquartet.training.sft_examples import IGNORED, batch_at, encode, micro_batches, role_weights
from memquartet.training.sft_run import METRICS, SO_FAR, Intervals, Lora, run_sft
from memquartet.training.tiny import save_tiny_model, tiny_demonstrations

pytestmark = pytest.mark.train
SETTINGS = SftSettings(steps=6, batch_size=4, learning_rate=5e-3, micro_tokens=512)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), sft=None)


def steps_of(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["data"]["sft/loss"]) for line in lines if "sft/loss" in line["data"]]


def test_examples_are_prompts_as_the_policy_sees_them_with_the_output_and_the_end_of_the_turn(
    model_folder: Path,
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokens = ChatTokens(tokenizer)
    shown = tiny_demonstrations(4, seed=1)
    for demonstration, example in zip(shown, encode(tokenizer, shown, max_length=10_000), strict=True):
        prompt = tokens.encode(demonstration.messages)
        assert example.ids[: example.prompt_length] == prompt
        assert example.ids[-1] == tokenizer.eos_token_id
        assert tokens.decode(example.ids[example.prompt_length :]) == demonstration.output
    with pytest.raises(ConfigError, match="at most 3 tokens"):
        encode(tokenizer, shown, max_length=3)


def test_every_example_is_seen_once_in_a_pass_and_no_micro_batch_is_too_large(model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    examples = encode(tokenizer, tiny_demonstrations(6, seed=1), max_length=10_000)
    drawn = [example for step in range(len(examples)) for example in batch_at(examples, step, size=5, seed=0)]
    assert sorted(drawn[: len(examples)], key=hash) == sorted(examples, key=hash)
    assert drawn[: len(examples)] != drawn[len(examples) : 2 * len(examples)]
    micro = list(micro_batches(examples, tokens=400, filler=0))
    assert sum(len(one.examples) for one in micro) == len(examples)
    assert all(one.ids.numel() <= 400 or len(one.examples) == 1 for one in micro)
    assert sum(int((one.labels != IGNORED).sum()) for one in micro) == sum(e.learned for e in examples)


def test_roles_weigh_the_same_however_much_they_say(model_folder: Path) -> None:
    examples = encode(
        AutoTokenizer.from_pretrained(model_folder), tiny_demonstrations(20, seed=1), max_length=10_000
    )
    weights = role_weights(examples)
    shares = {role: sum(weights[role] * e.learned for e in examples if e.role is role) for role in Role}
    assert all(share == pytest.approx(shares[Role.ANSWERER]) for share in shares.values())
    assert sum(shares.values()) == pytest.approx(sum(example.learned for example in examples))


def test_how_a_batch_is_split_changes_neither_loss_nor_step(model_folder: Path) -> None:
    examples = encode(
        AutoTokenizer.from_pretrained(model_folder), tiny_demonstrations(10, seed=1), max_length=10_000
    )

    def taught(micro_tokens: int) -> tuple[list[float], torch.Tensor]:
        model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        settings = replace(SETTINGS, micro_tokens=micro_tokens)
        teacher = Teacher(model, examples, filler=0, settings=settings)
        return [teacher.advance().loss for _ in range(3)], next(model.parameters()).detach()

    (small, weights), (large, others) = taught(64), taught(100_000)
    assert small == pytest.approx(large, rel=1e-4)
    torch.testing.assert_close(weights, others, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(
            True,
            marks=[
                pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++"),
                pytest.mark.filterwarnings("default"),  # torch warns of what its own compiler does
            ],
        ),
    ],
)
def test_packed_examples_teach_the_same_as_rows(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    def one_by_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *given: Any, **_: Any) -> Any:
        pieces = [part.split(given[0].diff().tolist()) for part in (query, key, value)]
        attended = [
            scaled_dot_product_attention(*(one.transpose(0, 1) for one in row), is_causal=True)
            for row in zip(*pieces, strict=True)
        ]
        return torch.cat([one.transpose(0, 1) for one in attended])

    # torch's kernel runs on a GPU only; what is tested is everything around it.
    monkeypatch.setattr(packed_attention, "varlen_attn", one_by_one)
    examples = encode(
        AutoTokenizer.from_pretrained(model_folder), tiny_demonstrations(10, seed=1), max_length=10_000
    )

    def taught(attention: str, settings: SftSettings) -> tuple[list[float], Any]:
        model = AutoModelForCausalLM.from_pretrained(
            model_folder, dtype=torch.float32, attn_implementation=attention
        )
        teacher = Teacher(model, examples, filler=0, settings=settings)
        return [teacher.advance().loss for _ in range(3)], teacher.measure(examples)

    rows, measured = taught("sdpa", SETTINGS)
    settings = replace(SETTINGS, packed=True, compiled=compiled, micro_tokens=300)
    packed, measured_packed = taught(packed_attention.NAME, settings)
    assert packed == pytest.approx(rows, rel=1e-4)
    for role, one in measured.items():
        assert measured_packed[role].n == one.n
        assert measured_packed[role].loss == pytest.approx(one.loss, rel=1e-3)


def test_an_adapter_that_learns_through_the_weights_does_what_pefts_does(model_folder: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, target_modules="all-linear"))
    learned = [weight for weight in adapted.parameters() if weight.requires_grad]
    for weight in learned:
        torch.nn.init.normal_(weight, std=0.1)
    ids = torch.arange(40).reshape(2, 20)

    def outcome() -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        logits = adapted(ids).logits
        return logits.detach(), torch.autograd.grad(logits.log_softmax(-1)[..., 3].sum(), learned)

    theirs, their_gradients = outcome()
    learn_through_weights(adapted)
    ours, our_gradients = outcome()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-3, atol=1e-4)


def test_a_run_whose_time_is_up_ends_with_a_rate_near_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=0.5)
    monkeypatch.setattr("memquartet.training.sft_run.time.perf_counter", lambda: next(clock))
    shown, settings = tiny_demonstrations(4, seed=1), replace(SETTINGS, steps=1_000_000, max_seconds=20.0)
    run_sft(model_folder, tmp_path / "out", shown, [], settings=settings)
    lines = (tmp_path / "out" / METRICS).read_text(encoding="utf-8").splitlines()
    rates = [json.loads(line)["data"]["sft/learning_rate"] for line in lines]
    # Half a second a step; the first, in which a model may be compiled, does not count.
    assert len(rates) == 41
    assert max(rates) > 0.8 * settings.learning_rate
    assert 0 <= rates[-1] < 0.05 * settings.learning_rate


def test_a_rate_is_never_negative(model_folder: Path) -> None:
    examples = encode(
        AutoTokenizer.from_pretrained(model_folder), tiny_demonstrations(4, seed=1), max_length=10_000
    )
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    # As when a run goes on with less time than it had.
    assert Teacher(model, examples, filler=0, settings=SETTINGS).advance(over=1.5).learning_rate == 0


def test_packed_examples_and_strange_adapters_are_refused_where_they_cannot_be(
    model_folder: Path, tmp_path: Path
) -> None:
    shown = tiny_demonstrations(4, seed=1)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="need a GPU"):
            run_sft(model_folder, tmp_path / "out", shown, [], settings=replace(SETTINGS, packed=True))
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    config = LoraConfig(r=4, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(tmp_path / "dropout")
    with pytest.raises(InputError, match="dropout"):
        run_sft(
            model_folder,
            tmp_path / "out",
            shown,
            [],
            settings=SETTINGS,
            lora=Lora(start=tmp_path / "dropout"),
        )


def test_an_output_counts_as_exact_when_greedy_decoding_gives_it(model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    shown = tiny_demonstrations(30, seed=1)
    examples = encode(tokenizer, shown, max_length=10_000)
    teacher = Teacher(model, examples, filler=0, settings=replace(SETTINGS, steps=120, batch_size=8))
    for _ in range(120):
        teacher.advance()
    measured = teacher.measure(examples)

    def greedy(ids: Sequence[int], count: int) -> tuple[int, ...]:
        drawn = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)
        return tuple(drawn[0].tolist())

    for role, found in measured.items():
        own = [example for example in examples if example.role is role]
        right = sum(greedy(e.ids[: e.prompt_length], e.learned) == e.ids for e in own)
        assert found.n == len(own)
        assert found.exact == pytest.approx(right / len(own))
    assert any(0 < found.exact < 1 for found in measured.values())


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(model_folder: Path, tmp_path: Path) -> None:
    shown = tiny_demonstrations(10, seed=1)
    often = Intervals(measure=3, save=2)
    told: list[str] = []

    def run(
        name: str,
        report: object = told.append,
        model: Path = model_folder,
        settings: SftSettings = SETTINGS,
    ) -> None:
        run_sft(
            model,
            tmp_path / name,
            shown,
            shown[:8],
            settings=settings,
            lora=Lora(rank=4, alpha=8),
            intervals=often,
            report=report,  # type: ignore[arg-type]  # raises where the real one prints
        )

    def interrupt(line: str) -> None:
        if line.startswith("step 3, held out"):
            raise KeyboardInterrupt

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", interrupt)
    assert not (tmp_path / "cut" / "adapter_config.json").exists()
    with pytest.raises(ConfigError, match="other settings"):
        run_sft(model_folder, tmp_path / "cut", shown, [], settings=SETTINGS)
    another = save_tiny_model(tmp_path / "another", sft=None, seed=1)
    with pytest.raises(ConfigError, match="another model"):
        run("cut", model=another)
    run("cut", settings=replace(SETTINGS, micro_tokens=256))
    assert "going on from step 2" in told
    assert [step for step, _ in steps_of(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6]
    whole, cut = steps_of(tmp_path / "whole"), steps_of(tmp_path / "cut")
    assert [loss for _, loss in cut] == pytest.approx([loss for _, loss in whole], rel=1e-4)
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()
    with pytest.raises(ConfigError, match="holds a model already"):
        run("cut")


def test_at_sigterm_what_was_learned_is_written_and_the_run_can_go_on(
    model_folder: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data.parquet", tmp_path / "out"
    write_demonstrations(tiny_demonstrations(10, seed=1), data)
    command = [sys.executable, "-m", "memquartet", "train", "sft", model_folder, out, "--data", data]
    command += ["--steps", "1000000", "--lora-rank", "4", "--save-every", "0"]

    def until(begin: str) -> str:
        with subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True) as run:
            assert run.stderr
            told = []
            for line in run.stderr:
                told.append(line)
                if line.startswith(begin):
                    run.terminate()
            assert run.wait(60) == 1
        assert (out / SO_FAR / "adapter_config.json").exists()
        assert not (out / "adapter_config.json").exists()
        return "".join(told)

    assert "ended by SIGTERM" in until("step 1:")
    first = len(steps_of(out))
    assert "going on from step" in until("going on from step")
    assert len(steps_of(out)) > first > 0


def test_an_adapter_is_written_in_the_form_of_peft_and_can_be_taught_further(
    model_folder: Path, tmp_path: Path
) -> None:
    shown = tiny_demonstrations(10, seed=1)
    first, second = tmp_path / "first", tmp_path / "second"
    run_sft(model_folder, first, shown, [], settings=SETTINGS, lora=Lora(rank=4, alpha=8))
    run_sft(model_folder, second, shown, shown, settings=SETTINGS, lora=Lora(start=first))
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    adapted = PeftModel.from_pretrained(base, second)
    assert adapted.peft_config["default"].r == 4
    assert adapted.peft_config["default"].lora_alpha == 8
    assert steps_of(second)[0][1] < steps_of(first)[0][1]


def test_a_full_fine_tune_is_a_model_of_its_own(model_folder: Path, tmp_path: Path) -> None:
    shown = tiny_demonstrations(10, seed=1)
    measured = run_sft(model_folder, tmp_path / "full", shown, shown, settings=SETTINGS)
    assert measured
    assert set(measured) == set(Role)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    assert model.dtype is torch.bfloat16


@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=8)])
def test_what_is_measured_in_the_end_is_what_was_written(
    model_folder: Path, tmp_path: Path, lora: Lora | None
) -> None:
    shown = tiny_demonstrations(10, seed=1)
    measured = run_sft(model_folder, tmp_path / "out", shown, shown, settings=SETTINGS, lora=lora)
    model = AutoModelForCausalLM.from_pretrained(
        model_folder if lora else tmp_path / "out", dtype=torch.float32
    )
    if lora:
        model = PeftModel.from_pretrained(model, tmp_path / "out", is_trainable=True).get_base_model()
    examples = encode(AutoTokenizer.from_pretrained(tmp_path / "out"), shown, max_length=10_000)
    assert measured
    written = Teacher(model, examples, filler=0, settings=SETTINGS).measure(examples)
    assert {role: one.exact for role, one in measured.items()} == {r: one.exact for r, one in written.items()}
    for role, one in written.items():
        assert measured[role].loss == pytest.approx(one.loss, rel=1e-6)


def test_a_model_without_a_filler_is_taught_over_what_a_full_disk_left(tmp_path: Path) -> None:
    folder, out = save_tiny_model(tmp_path / "model", sft=None), tmp_path / "out"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    (out / "unfinished").mkdir(parents=True)
    (out / "unfinished" / "config.json").write_text("{", encoding="utf-8")
    run_sft(folder, out, tiny_demonstrations(4, seed=1), [], settings=SETTINGS)
    assert AutoTokenizer.from_pretrained(out).pad_token is None
    assert AutoModelForCausalLM.from_pretrained(out).dtype is torch.bfloat16
    assert not (out / "unfinished").exists()


def test_a_folder_without_a_model_or_an_adapter_is_named_and_nothing_is_left(
    model_folder: Path, tmp_path: Path
) -> None:
    shown = tiny_demonstrations(4, seed=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no Hugging Face model"):
        run_sft(tmp_path / "empty", tmp_path / "out", shown, [], settings=SETTINGS)
    with pytest.raises(InputError, match="no adapter of this model"):
        run_sft(
            model_folder, tmp_path / "out", shown, [], settings=SETTINGS, lora=Lora(start=tmp_path / "empty")
        )
    assert not (tmp_path / "out").exists()


def test_sixteen_bits_without_a_gpu_teach_nearly_the_same(model_folder: Path) -> None:
    losses = []
    for short in (False, True):
        model = AutoModelForCausalLM.from_pretrained(model_folder)
        tokenizer = AutoTokenizer.from_pretrained(model_folder)
        examples = encode(tokenizer, tiny_demonstrations(8, seed=1), max_length=1024)
        teacher = Teacher(
            model, examples, filler=tokenizer.pad_token_id or 0, settings=replace(SETTINGS, bfloat16=short)
        )
        losses.append([teacher.advance().loss for _ in range(3)])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
