"""Drawing tokens from a transformers model on a CPU, many requests at once.

Requests join and leave between two steps (continuous batching); each has its own random state, so what it draws
does not depend on its neighbours. Log-probs are those of the distribution that was drawn from, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and how to go on from it. `temperature` 0 is greedy; `top_k` ≤ 0 and `top_p` 1 mean all tokens."""

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    ignore_eos: bool = False
    seed: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Running:
    """A request on its way. `stop_reason` is None until it ends: "completed", "length" or "aborted"."""

    request: Request
    random: Random
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop_reason: str | None = None


class Sampler:
    """A model with its running requests; one thread at a time may call it."""

    def __init__(
        self, model: PreTrainedModel, eos_ids: Iterable[int], *, seed: int = 0, max_running: int = 64
    ) -> None:
        """Take over a causal language model.

        Args:
            model: stays on its device and in its type.
            eos_ids: tokens that end an output; they belong to it.
            seed: for requests without one.
            max_running: requests decoded at once; more wait.
        """
        self._model = model.eval()
        self._eos = frozenset(eos_ids)
        self._seeds = Random(seed)
        self._max_running = max_running
        self._waiting: list[Running] = []
        self._running: list[Running] = []
        # Keys and values of each layer, (requests, heads, length, size), padded on the left; and their mask.
        self._cache: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._mask = torch.zeros(0, 0, dtype=torch.long)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._running

    def submit(self, request: Request) -> Running:
        """Queue a request; it is served by the following steps."""
        seed = self._seeds.getrandbits(63) if request.seed is None else request.seed
        running = Running(request=request, random=Random(seed))
        self._waiting.append(running)
        return running

    def run(self, requests: Sequence[Request]) -> list[Running]:
        """Serve requests to their end, in their order."""
        submitted = [self.submit(request) for request in requests]
        while not self.idle:
            self.step()
        return submitted

    @torch.no_grad()
    def step(self) -> list[Running]:
        """Draw one token for each running request and the first one for those that join; what ended is returned."""
        room = self._max_running - len(self._running)
        joining, self._waiting = self._waiting[:room], self._waiting[room:]
        if self._running:
            self._decode()
        if joining:
            self._prefill(joining)
        return self._retire()

    def abort(self) -> list[Running]:
        """End every request as it stands."""
        ended = [*self._running, *self._waiting]
        for running in ended:
            running.stop_reason = "aborted"
        self._running, self._waiting, self._cache = [], [], []
        return ended

    @torch.no_grad()
    def load(self, weights: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
        """Copy weights in by name; names the model does not have are returned."""
        own = self._model.state_dict(keep_vars=True)
        unknown = []
        for name, tensor in weights:
            if name in own:
                own[name].data.copy_(tensor)
            else:
                unknown.append(name)
        return unknown

    def _prefill(self, joining: list[Running]) -> None:
        width = max(len(running.request.prompt) for running in joining)
        ids = torch.zeros(len(joining), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, running in enumerate(joining):
            length = len(running.request.prompt)
            ids[row, width - length :] = torch.tensor(running.request.prompt)
            mask[row, width - length :] = 1
        cache = DynamicCache()
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._draw(joining, output.logits[:, -1])
        new = [(layer.keys, layer.values) for layer in cache.layers]
        if self._running:
            wide = max(self._mask.size(1), width)
            old = [(_widen(k, wide), _widen(v, wide)) for k, v in self._cache]
            new = [
                (torch.cat([k, _widen(k2, wide)]), torch.cat([v, _widen(v2, wide)]))
                for (k, v), (k2, v2) in zip(old, new, strict=True)
            ]
            mask = torch.cat([pad(self._mask, (wide - self._mask.size(1), 0)), pad(mask, (wide - width, 0))])
        self._cache, self._mask = new, mask
        self._running += joining

    def _decode(self) -> None:
        last = torch.tensor([[running.tokens[-1]] for running in self._running])
        self._mask = pad(self._mask, (0, 1), value=1)
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._cache):
            cache.update(keys, values, layer)
        output = self._model(
            input_ids=last,
            attention_mask=self._mask,
            position_ids=self._mask.sum(-1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        self._cache = [(layer.keys, layer.values) for layer in cache.layers]
        self._draw(self._running, output.logits[:, -1])

    def _draw(self, rows: Sequence[Running], logits: torch.Tensor) -> None:
        """Append one token to each row; `logits` has the shape (rows, vocabulary)."""
        scores = torch.stack(
            [_truncate(row, running.request) for row, running in zip(logits.float(), rows, strict=True)]
        )
        logprobs = torch.log_softmax(scores, -1)
        levels = torch.tensor([[running.random.random()] for running in rows], dtype=torch.float64)
        reached = logprobs.double().exp().cumsum(-1)
        drawn = torch.searchsorted(reached, levels * reached[:, -1:]).squeeze(-1)
        greedy = torch.tensor([running.request.temperature == 0 for running in rows])
        tokens = torch.where(greedy, scores.argmax(-1), drawn)
        chosen = logprobs.gather(-1, tokens[:, None]).squeeze(-1)
        for running, token, logprob in zip(rows, tokens.tolist(), chosen.tolist(), strict=True):
            running.tokens.append(token)
            running.logprobs.append(logprob)
            if token in self._eos and not running.request.ignore_eos:
                running.stop_reason = "completed"
            elif len(running.tokens) >= running.request.max_tokens:
                running.stop_reason = "length"

    def _retire(self) -> list[Running]:
        ended = [running for running in self._running if running.stop_reason]
        if ended:
            keep = [row for row, running in enumerate(self._running) if not running.stop_reason]
            self._running = [self._running[row] for row in keep]
            self._mask = self._mask[keep]
            # Columns that are padding for every remaining request go.
            start = int(self._mask.argmax(1).min()) if keep else self._mask.size(1)
            self._mask = self._mask[:, start:]
            self._cache = [(k[keep][:, :, start:], v[keep][:, :, start:]) for k, v in self._cache]
        return ended


def _widen(tensor: torch.Tensor, length: int) -> torch.Tensor:
    return pad(tensor, (0, 0, length - tensor.size(2), 0))


def _truncate(logits: torch.Tensor, request: Request) -> torch.Tensor:
    """One row of logits at the request's temperature, with the tokens outside top-k and top-p at minus infinity."""
    scores = logits / request.temperature if request.temperature > 0 else logits
    if 0 < request.top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(request.top_k).values[-1], -math.inf)
    if request.top_p < 1:
        ordered, places = scores.sort(descending=True)
        shares = ordered.softmax(-1)
        ordered = ordered.masked_fill(shares.cumsum(-1) - shares > request.top_p, -math.inf)
        scores = torch.empty_like(scores).scatter(0, places, ordered)
    return scores
