"""A chat model as the judge of answers: drives the protocols of `memquartet.scoring.judges`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Question
from memquartet.errors import ConfigError
from memquartet.llm.protocols import ChatModel, ChatRequest, Sampling
from memquartet.scoring.judges import JUDGES
from memquartet.scoring.judging import JudgeCall

Result = TypeVar("Result")


class Judge(Protocol):
    """Scores answers that no text metric can score."""

    @property
    def name(self) -> str:
        """The judge's name, as results record it."""
        ...

    async def score(self, protocol: str, question: Question, prediction: str) -> float | None:
        """The score on the protocol's scale; None without a verdict.

        Raises:
            ConfigError: no such protocol, or the question does not carry what it needs.
            WorldError: the judge cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJudge:
    """A chat model; calls of one answer come one after another. A further try uses another seed."""

    model: ChatModel
    seed: int = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    async def score(self, protocol: str, question: Question, prediction: str) -> float | None:
        """The score by the protocol that a sample names in `extra["judge"]`.

        Raises:
            ConfigError: no such protocol, or the question does not carry what it needs.
            ModelServerError: no usable reply within the allowed tries.
        """
        if protocol not in JUDGES:
            raise ConfigError(f"no judge protocol {protocol!r}: use one of {', '.join(JUDGES)}")
        return await conduct(JUDGES[protocol](question, prediction), self.model, seed=self.seed)


async def conduct(steps: Generator[JudgeCall, str, Result], model: ChatModel, *, seed: int = 0) -> Result:
    """Put a generator's calls to a model until it returns.

    Raises:
        ModelServerError: no usable reply within the allowed tries.
    """
    try:
        call = next(steps)
        while True:
            call = steps.send((await model.complete(_request(call, seed))).text)
    except StopIteration as stop:
        result: Result = stop.value
        return result


def _request(call: JudgeCall, seed: int) -> ChatRequest:
    user = Message(speaker=Speaker.USER, content=call.prompt)
    system = (Message(speaker=Speaker.SYSTEM, content=call.system),) if call.system else ()
    return ChatRequest(
        messages=(*system, user),
        sampling=Sampling(temperature=call.temperature, max_tokens=call.max_tokens, seed=seed + call.attempt),
    )
