"""Plain supervised learning on demonstrations: what comes before any RL.

A model that never fills a schema earns the same reward whatever it does, and equal rewards teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.training.demonstrations import Demonstration
from memquartet.training.sft_examples import (
    IGNORED,
    Example,
    MicroBatch,
    batch_at,
    encode,
    filler_of,
    micro_batches,
    packed_batches,
    role_weights,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings:
    """How long and how fast.

    `learning_rate` rises over the first tenth of the steps and falls along a line to 0. `max_seconds`, of the steps
    alone, ends the run before its steps are made, with a rate that falls to 0 by then. `max_length` is in tokens;
    `micro_tokens` are computed at once, filling included, and change nothing but speed and memory; so does `packed`,
    which fills nothing up and needs a model whose attention looks at positions (`packed_attention`). `bfloat16` computes
    in 16 bits without a GPU, too; a CPU that has the instructions (avx512_bf16, AMX) is twice as fast then. `equal_roles`
    gives the four roles the same weight however many tokens they say.
    """

    steps: int = 300
    max_seconds: float | None = None
    batch_size: int = 32
    learning_rate: float = 3e-4
    max_length: int = 1024
    micro_tokens: int = 16_384
    packed: bool = False
    equal_roles: bool = True
    compiled: bool = False
    bfloat16: bool = False
    seed: int = 0


DEFAULT_SFT = SftSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did: `loss` is in nats a token, `tokens` are those that were read and learned."""

    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How well `n` demonstrations are known: nats a token, and the share whose greedy output is right to the letter."""

    n: int
    loss: float
    exact: float


class Teacher:
    """A model on its way through the steps."""

    def __init__(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        *,
        filler: int,
        settings: SftSettings = DEFAULT_SFT,
    ) -> None:
        """Begin at step 0.

        Args:
            model: changed in place, on its device, where its weights ask for gradients; on a GPU the arithmetic is in
                bfloat16 on weights that stay as they are.
            examples: what to learn.
            filler: the id that fills up shorter rows.
            settings: how long and how fast; what is compiled stays so.

        Raises:
            ConfigError: a model without layers is to be compiled.
        """
        self.model = model
        self.step = 0
        self._settings = settings
        self._examples = examples
        self._filler = filler
        weights = role_weights(examples) if settings.equal_roles else {}
        self._weights = {role: weights.get(role, 1.0) for role in Role}
        self._body = model.base_model
        if settings.compiled:
            # All layers share the code of the first: the whole model at once took minutes to compile.
            layers = [one for one in model.modules() if isinstance(one, GradientCheckpointingLayer)]
            if not layers:  # of transformers' class for what is repeated
                raise ConfigError("this kind of model has no layers to compile: leave --compile out")
            for layer in layers:
                layer.compile(dynamic=True)
        learned = [weight for weight in model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(
            learned,
            lr=settings.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0.01,
            fused=model.device.type == "cuda",
        )
        self._learned = learned

    def advance(self, over: float = 0.0) -> Step:
        """Make the next step.

        Args:
            over: the share of the run's time that is gone, where that is more than the share of its steps.
        """
        settings = self._settings
        batch = batch_at(self._examples, self.step, size=settings.batch_size, seed=settings.seed)
        whole = sum(self._weights[example.role] * example.learned for example in batch)
        rate = settings.learning_rate * _schedule(self.step, settings.steps, over)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.model.device)
        for micro in self._micro_batches(batch):
            nats, _ = self._nats(micro)
            weights = torch.tensor(
                [self._weights[one.role] for one in micro.examples for _ in range(one.learned)],
                device=nats.device,
            )
            loss = (nats * weights).sum() / whole
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self._learned, 1.0)
        self._optimizer.step()
        self.step += 1
        return Step(
            loss=total.item(),
            learning_rate=rate,
            grad_norm=float(norm),
            tokens=sum(len(example.ids) for example in batch),
        )

    @torch.no_grad()
    def measure(self, examples: Sequence[Example]) -> Mapping[Role, Measured]:
        """How well each role is known.

        A greedy output is right to the letter exactly when every token of it is the likeliest one after the right
        ones before it, so that nothing has to be generated.

        Args:
            examples: ones that are not learned from.
        """
        self.model.eval()
        found: dict[Role, list[tuple[float, int, bool]]] = {}
        for micro in self._micro_batches(examples):
            nats, right = (one.cpu() for one in self._nats(micro))
            counts = [example.learned for example in micro.examples]
            for example, losses, hits in zip(
                micro.examples, nats.split(counts), right.split(counts), strict=True
            ):
                found.setdefault(example.role, []).append(
                    (float(losses.sum()), example.learned, bool(hits.all()))
                )
        return {role: _measured(found[role]) for role in Role if role in found}

    def state(self) -> dict[str, object]:
        """What is needed to go on: the step, the learned weights and the optimizer's state."""
        return {
            "step": self.step,
            "weights": [weight.detach().cpu() for weight in self._learned],
            "optimizer": self._optimizer.state_dict(),
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, object]) -> None:
        """Go on from a `state()` of a teacher with the same model, examples and settings."""
        self.step = int(state["step"])  # type: ignore[call-overload]  # a checkpoint's values are of any type
        for weight, kept in zip(self._learned, state["weights"], strict=True):  # type: ignore[call-overload]  # as above
            weight.copy_(kept)
        self._optimizer.load_state_dict(state["optimizer"])

    def _micro_batches(self, examples: Sequence[Example]) -> Iterator[MicroBatch]:
        tokens = self._settings.micro_tokens
        if self._settings.packed:
            return packed_batches(examples, tokens=tokens)
        return micro_batches(examples, tokens=tokens, filler=self._filler)

    def _nats(self, micro: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each learned token its loss and whether it is the likeliest; shape (learned tokens,), row by row."""
        device = self.model.device
        ids, labels = micro.ids.to(device), micro.labels.to(device)[:, 1:]
        learned = labels != IGNORED
        positions = {} if micro.positions is None else {"position_ids": micro.positions.to(device)}
        short = device.type == "cuda" or self._settings.bfloat16
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            hidden = self._body(input_ids=ids, use_cache=False, **positions).last_hidden_state
            # The output layer is the largest part of a small model: only learned positions go through it.
            logits = self.model.get_output_embeddings()(hidden[:, :-1][learned])
        wanted = labels[learned]
        return cross_entropy(logits.float(), wanted, reduction="none"), logits.argmax(-1) == wanted


def teach(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    *,
    settings: SftSettings = DEFAULT_SFT,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> float:
    """Teach a model to give the outputs of the demonstrations; only outputs are learned, not prompts.

    Args:
        model: changed in place, on its device.
        tokenizer: a fast one with a chat template.
        demonstrations: those longer than `max_length` are left out.
        settings: how long and how fast.
        on_step: called with the step's number and its loss (nats a token).

    Returns:
        The last step's loss.

    Raises:
        ConfigError: no demonstration is short enough.
    """
    examples = encode(tokenizer, demonstrations, max_length=settings.max_length)
    teacher = Teacher(model, examples, filler=filler_of(tokenizer), settings=settings)
    loss = 0.0
    while teacher.step < settings.steps:
        loss = teacher.advance().loss
        on_step(teacher.step - 1, loss)
    model.eval()
    return loss


def _schedule(step: int, steps: int, over: float) -> float:
    gone = max(step / steps, over)
    return max(0.0, min(1.0, gone * 10 + 1 / max(1, steps // 10), 1 - gone))


def _measured(outputs: Sequence[tuple[float, int, bool]]) -> Measured:
    nats = sum(loss for loss, _, _ in outputs)
    tokens = sum(count for _, count, _ in outputs)
    exact = sum(right for _, _, right in outputs)
    return Measured(n=len(outputs), loss=nats / tokens, exact=exact / len(outputs))
