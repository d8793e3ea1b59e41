"""Where the time of an episode and of a step goes: model calls under way, and everything else, which is our own."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from memquartet.core.messages import Message
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion

_WORKER = uuid4().hex


@dataclass(slots=True)
class CallClock:
    """Adds up the wall time in which at least one model call of an episode is under way, in seconds."""

    seconds: float = 0.0
    _open: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call; calls may overlap."""
        if not self._open:
            self._since = time.perf_counter()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self.seconds += time.perf_counter() - self._since


@dataclass(frozen=True, slots=True)
class ClockedModel:
    """A chat model whose calls are clocked."""

    model: ChatModel
    clock: CallClock

    @property
    def name(self) -> str:
        """The model's own."""
        return self.model.name

    @property
    def prompts(self) -> str | None:
        """The model's own."""
        return self.model.prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """As the model says."""
        return self.model.fits(messages)

    async def complete(self, request: ChatRequest) -> Completion:
        """As the model answers."""
        with self.clock.call():
            return await self.model.complete(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTime:
    """What an episode took, in seconds.

    `seconds` is its wall time and `environment` the part without a model call under way. All episodes of a worker
    run in one thread: `cpu_start` and `cpu_end` are that thread's CPU time when the episode began and ended.
    """

    worker: str
    seconds: float
    environment: float
    cpu_start: float
    cpu_end: float

    @classmethod
    def of(cls, *, seconds: float, environment: float, cpu_start: float) -> EpisodeTime:
        """Of an episode that ends now in this process; `cpu_start` is a reading of `time.thread_time`."""
        return cls(
            worker=_WORKER,
            seconds=seconds,
            environment=environment,
            cpu_start=cpu_start,
            cpu_end=time.thread_time(),
        )


_PARTS = {
    "log_prob": ("old_log_prob", "ref", "values"),
    "advantage": ("adv", "reward"),
    "update": ("update_actor", "update_critic"),
    "weights_sync": ("update_weights",),
    "checkpoint": ("save_checkpoint",),
}
"""Parts of a step by the names that verl's timers have."""


def step_split(timers: Mapping[str, float], episodes: Sequence[EpisodeTime]) -> dict[str, float]:
    """Where a step's time went: `timing/PART` in seconds, which add up to the step, and the environment's shares.

    verl's `gen` is divided between model and environment as the episodes' own wall time is. That leaves out what an
    episode waits for the others of its worker, so `environment/cpu_share` is there beside it: the CPU time of the
    busiest worker's thread, with verl's own work in it, by the step's time.

    Args:
        timers: verl's, in seconds by name; `step` holds the others but `testing`.
        episodes: those of the step.
    """
    whole, drawing = timers.get("step", 0.0), timers.get("gen", 0.0)
    lived = math.fsum(one.seconds for one in episodes)
    share = math.fsum(one.environment for one in episodes) / lived if lived else 0.0
    parts = {"rollout": drawing * (1 - share), "environment": drawing * share}
    parts |= {part: math.fsum(timers.get(name, 0.0) for name in names) for part, names in _PARTS.items()}
    parts["other"] = max(0.0, whole - math.fsum(parts.values()))
    found = {f"timing/{part}": seconds for part, seconds in parts.items()}
    if whole:
        found["environment/share"] = parts["environment"] / whole
        found["environment/cpu_share"] = max(_busy(episodes).values(), default=0.0) / whole
    return found


def _busy(episodes: Sequence[EpisodeTime]) -> dict[str, float]:
    """CPU seconds of each worker's thread from its first episode's beginning to its last one's end."""
    by_worker: defaultdict[str, list[EpisodeTime]] = defaultdict(list)
    for one in episodes:
        by_worker[one.worker].append(one)
    return {
        worker: max(one.cpu_end for one in own) - min(one.cpu_start for one in own)
        for worker, own in by_worker.items()
    }
