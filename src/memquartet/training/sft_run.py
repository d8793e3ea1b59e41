"""A run of supervised learning in its folder: from a model and demonstrations to a model that knows the roles."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError, InputError
from memquartet.training.demonstration_sets import digest
from memquartet.training.demonstrations import Demonstration
from memquartet.training.lora import learn_through_weights
from memquartet.training.sft import DEFAULT_SFT, Measured, SftSettings, Step, Teacher
from memquartet.training.sft_examples import Example, encode, filler_of

CHECKPOINT = "checkpoint.pt"
SO_FAR = "so_far"
"""Folder in a run's folder for the model of a run that was asked to end."""
METRICS = "metrics-1.jsonl"
"""In the form of a run of RL, so that `memquartet train report` draws its curves."""
REPORT_EVERY = 20
"""Steps between two lines for the reader."""

_FINISHED = ("config.json", "adapter_config.json")
"""One of them stands in the folder of a run that is done."""
_MAY_CHANGE = frozenset({"micro_tokens", "compiled", "max_seconds", "packed"})
"""Settings that may change when a run goes on, when it ran out of memory or of time say."""
_OWN_ATTENTION = ("sliding_window", "attn_logit_softcapping")
"""Settings of a model that the packed kernel does not know."""
_FIRST_WEIGHTS = 64
"""Of each tensor: enough to tell two models of one shape apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Learn low-rank differences of all linear layers and leave the model as it is.

    `start` is the folder of an adapter to go on from; its own rank and alpha count then.
    """

    rank: int = 32
    alpha: int = 64
    start: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """In steps: how often held-out demonstrations are measured and the state is saved; 0 is only at the end."""

    measure: int = 100
    save: int = 200


DEFAULT_INTERVALS = Intervals()


def micro_tokens_here() -> int:
    """Tokens that this machine computes at once with ease, for a model of a few hundred million weights."""
    return 40_960 if torch.cuda.is_available() else 2_048


def packed_here() -> bool:
    """Whether this machine has what packed examples need: a GPU, and torch's kernel (2.10 and later)."""
    return torch.cuda.is_available() and find_spec("torch.nn.attention.varlen") is not None


def run_sft(
    model_folder: Path,
    out: Path,
    demonstrations: Sequence[Demonstration],
    held_out: Sequence[Demonstration],
    *,
    settings: SftSettings = DEFAULT_SFT,
    lora: Lora | None = None,
    intervals: Intervals = DEFAULT_INTERVALS,
    report: Callable[[str], None] = lambda _: None,
    ended: Callable[[], bool] = lambda: False,
) -> Mapping[Role, Measured] | None:
    """Teach a model its roles, on the GPU where there is one; a run that was interrupted goes on from its last save.

    Args:
        model_folder: a Hugging Face model with a chat template.
        out: gets the taught model (with `lora` its adapter in PEFT's form) and tokenizer when the teaching is done;
            until then its checkpoint and metrics.
        demonstrations: what to learn.
        held_out: what to measure on; may be empty.
        settings: how long and how fast.
        lora: None changes all weights.
        intervals: of measuring and saving.
        report: called with a line every now and then.
        ended: asked after each step whether to end early: the model as it is then is written to the folder `SO_FAR` in
            `out`, beside a checkpoint from which the run goes on.

    Returns:
        How well each role knows the held-out demonstrations in the end; None where it ended early.

    Raises:
        ConfigError: no demonstration is short enough, or `out` holds a finished run or one with another model or
            settings.
        InputError: `model_folder` or `lora.start` holds no model.
    """
    if any((out / name).exists() for name in _FINISHED):
        raise ConfigError(f"{str(out)!r} holds a model already: choose another folder")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.packed and not packed_here():
        raise ConfigError("packed examples need a GPU and torch 2.10: leave --packed out")
    tokenizer, base = _load(model_folder, packed=settings.packed)
    identity = {
        "model": _fingerprint(base),
        "settings": {name: value for name, value in asdict(settings).items() if name not in _MAY_CHANGE},
        "lora": str(lora),
        "data": digest(demonstrations),
    }
    torch.manual_seed(settings.seed)
    model = _to_learn(base, lora)
    model.to(device)
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    examples = encode(tokenizer, demonstrations, max_length=settings.max_length)
    test = encode(tokenizer, held_out, max_length=settings.max_length) if held_out else []
    report(
        f"{len(examples)} demonstrations to learn ({len(demonstrations) - len(examples)} too long), {len(test)} held"
        f" out, read in {time.perf_counter() - started:.0f} s; on {device}"
    )
    teacher = Teacher(_plain(model), examples, filler=filler_of(tokenizer), settings=settings)
    run = _Run(folder=out, teacher=teacher, settings=settings, identity=json.dumps(identity), report=report)
    run.resume()
    measured = _learn(run, model, test, intervals=intervals, ended=ended)
    if measured is None:
        run.save()
        _save(model, tokenizer, out / SO_FAR)
        report(f"ended early, after step {teacher.step}")
        return None
    _save(model, tokenizer, out)
    (out / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(out / SO_FAR, ignore_errors=True)
    return measured


def _learn(
    run: _Run,
    model: PreTrainedModel | PeftModel,
    test: Sequence[Example],
    *,
    intervals: Intervals,
    ended: Callable[[], bool],
) -> Mapping[Role, Measured] | None:
    """Step until the run is over, and tell what was measured last; None where it was asked to end before."""
    measured: Mapping[Role, Measured] = {}
    while True:
        run.step()
        last = run.over >= 1
        if not last and ended():
            return None
        if test and (last or _due(run.teacher.step, intervals.measure)):
            if last:
                _round(model)
            measured = run.teacher.measure(test)
            run.note_measured(measured)
        if last:
            return measured
        if _due(run.teacher.step, intervals.save):
            run.save()


@dataclass(slots=True, kw_only=True)
class _Run:
    """The run's files."""

    folder: Path
    teacher: Teacher
    settings: SftSettings
    identity: str
    report: Callable[[str], None]
    tokens: int = 0
    seconds: float = 0.0

    @property
    def over(self) -> float:
        """The share of the run that is done: of its steps, or of its seconds where that is more."""
        limit = self.settings.max_seconds
        return max(self.teacher.step / self.settings.steps, self.seconds / limit if limit else 0.0)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            ConfigError: it is of a run with another model, other settings or demonstrations.
        """
        metrics = self.folder / METRICS
        if not (self.folder / CHECKPOINT).exists():
            metrics.unlink(missing_ok=True)
            return
        kept = torch.load(self.folder / CHECKPOINT, map_location="cpu", weights_only=True)
        if kept["identity"] != self.identity:
            raise ConfigError(
                f"{str(self.folder)!r} holds a run with another model, other settings or demonstrations: choose another"
                f" folder, or delete its {CHECKPOINT} to begin anew"
            )
        self.teacher.load_state(kept["state"])
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True) if metrics.exists() else []
        known = [line for line in lines if json.loads(line)["step"] <= self.teacher.step]
        metrics.write_text("".join(known), encoding="utf-8")
        for line in known:
            noted = json.loads(line)
            if "sft/seconds" in noted["data"]:
                self._count(noted["step"], noted["data"]["sft/tokens"], noted["data"]["sft/seconds"])
        self.report(f"going on from step {self.teacher.step}")

    def step(self) -> None:
        """Make a step and note it."""
        started = time.perf_counter()
        made = self.teacher.advance(self.over)
        seconds = time.perf_counter() - started
        number = self.teacher.step
        self._count(number, made.tokens, seconds)
        self._note({**_named(made), "sft/seconds": seconds})
        if number % REPORT_EVERY == 0 or number == 1:
            speed = self.tokens / self.seconds if self.seconds else made.tokens / seconds
            self.report(f"step {number}: {made.loss:.4f} nats a token, {speed:,.0f} tokens/s")

    def _count(self, number: int, tokens: int, seconds: float) -> None:
        """Add up what the steps take; the first, in which a compiled model is compiled, tells nothing of the others."""
        if number > 1:
            self.tokens += tokens
            self.seconds += seconds

    def note_measured(self, measured: Mapping[Role, Measured]) -> None:
        """Note how well the held-out demonstrations are known."""
        self._note(
            {
                f"val/{role}/{name}": value
                for role, one in measured.items()
                for name, value in (("loss", one.loss), ("exact", one.exact))
            }
        )
        told = ", ".join(f"{role} {one.exact:.3f} ({one.loss:.3f})" for role, one in measured.items())
        self.report(f"step {self.teacher.step}, held out, exact (nats a token): {told}")

    def save(self) -> None:
        """Write the checkpoint; one that is there stays whole until the new one is."""
        beside = self.folder / f"{CHECKPOINT}.new"
        torch.save({"identity": self.identity, "state": self.teacher.state()}, beside)
        beside.replace(self.folder / CHECKPOINT)

    def _note(self, data: Mapping[str, float]) -> None:
        line = json.dumps({"step": self.teacher.step, "data": dict(data)})
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _load(folder: Path, *, packed: bool) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{str(folder)!r} holds no Hugging Face model (config.json); `python -m memquartet.training.checkpoints"
            " gguf FILE FOLDER` makes one of a GGUF file"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=_attention(packed=packed)
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{str(folder)!r} holds no Hugging Face model: {error}") from error
    special = [key for key in _OWN_ATTENTION if getattr(model.config, key, None)]
    if packed and special:
        raise ConfigError(f"{str(folder)!r} has attention of its own ({special[0]}): add --filled")
    if tokenizer.chat_template is None:
        raise InputError(f"{str(folder)!r} has no chat template: take the model's instruct version")
    return tokenizer, model


def _attention(*, packed: bool) -> str:
    if not packed:
        return "sdpa"
    from memquartet.training.packed_attention import NAME  # torch before 2.10 has no such kernel

    return NAME


def _fingerprint(model: PreTrainedModel) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    for name, weight in model.named_parameters():
        first = weight.detach().flatten()[:_FIRST_WEIGHTS]
        hashed.update(f"{name}{tuple(weight.shape)}".encode() + first.numpy().tobytes())
    return hashed.hexdigest()


def _to_learn(model: PreTrainedModel, lora: Lora | None) -> PreTrainedModel | PeftModel:
    if lora is None:
        return model
    if lora.start is None:
        config = LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        adapted = get_peft_model(model, config)
    else:
        try:
            adapted = PeftModel.from_pretrained(model, lora.start, is_trainable=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{str(lora.start)!r} holds no adapter of this model: {error}") from error
    for config in adapted.peft_config.values():
        if config.lora_dropout or config.use_dora or config.lora_bias:
            raise InputError(
                f"{str(lora.start)!r}: an adapter with dropout, DoRA or biases cannot be taught further"
            )
    learn_through_weights(adapted)
    return adapted


def _plain(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The transformers model, with the adapter's layers inside it where there are some."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


@torch.no_grad()
def _round(model: PreTrainedModel | PeftModel) -> None:
    """Give what was learned the values that will be written, so that the last measurement is of the file."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.copy_(weight.to(torch.bfloat16))


def _save(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write both; what says that the run is done comes last, so that a full disk leaves no half model that looks whole."""
    model.to("cpu")
    if isinstance(model, PeftModel):
        # In 16 bits the adapter loses nothing that its base, which has as many, could show.
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.data = weight.data.to(torch.bfloat16)
    else:
        model.to(torch.bfloat16)
    beside = folder / "unfinished"
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    for file in sorted(beside.iterdir(), key=lambda file: file.name in _FINISHED):
        file.replace(folder / file.name)
    beside.rmdir()


def _named(made: Step) -> dict[str, float]:
    return {
        "sft/loss": made.loss,
        "sft/learning_rate": made.learning_rate,
        "sft/grad_norm": made.grad_norm,
        "sft/tokens": made.tokens,
    }


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
