"""Content validity: does what a step wrote follow from what it read? An optional judge says.

Without a judge, and where the judge gives no verdict, the part is None and drops out of the mix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from memquartet.agents.rendering import as_read
from memquartet.core.memory import Delete, Insert, MemoryOp, Noop, Receipt, Update
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode
from memquartet.errors import WorldError
from memquartet.llm.parsing import parse_json
from memquartet.llm.protocols import ChatModel, ChatRequest, Sampling
from memquartet.rewards.outcome import mean


class ContentJudge(Protocol):
    """Judges what was written against the text that it was taken from."""

    async def valid(self, text: str, writes: Sequence[str]) -> Sequence[bool | None]:
        """A verdict for each write, in order; None where there is none.

        Raises:
            WorldError: the judge cannot be reached.
        """
        ...


async def judge_steps(episode: Episode, sample: Sample, judge: ContentJudge) -> Mapping[int, float | None]:
    """The share of valid operations by step number; None where nothing was written or nothing was judged.

    Steps are judged concurrently. A judge that fails leaves its step unjudged.
    """
    texts = {chunk.index: as_read(chunk) for chunk in sample.chunks}

    async def one(number: int) -> tuple[int, float | None]:
        step = episode.steps[number]
        writes = [w for o in step.outcomes for receipt in o.receipts if (w := _described(receipt))]
        if not writes:
            return number, None
        try:
            verdicts = await judge.valid(texts.get(step.index, ""), writes)
        except WorldError:
            return number, None
        return number, mean(None if verdict is None else float(verdict) for verdict in verdicts)

    return dict(await asyncio.gather(*map(one, range(len(episode.steps)))))


def _described(receipt: Receipt) -> str | None:
    """An operation in words; None for one that changed nothing."""
    if not receipt.applied:
        return None
    op: MemoryOp = receipt.op
    before = receipt.before.content if receipt.before else ""
    match op:
        case Insert():
            return f"ADD: {op.content}"
        case Update():
            return f"UPDATE: {before} => {op.content}"
        case Delete():
            return f"DELETE: {before}"
        case Noop():
            return None


_INSTRUCTION = """\
You check what a memory system wrote down after reading a text. A write is valid when the text supports it: an ADD \
or the new side of an UPDATE says what the text says and keeps what still holds, and a DELETE removes what the text \
contradicts. Reply with JSON alone: {"valid": [true, false, ...]}, one value for each write, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJudge:
    """A chat model as a judge, greedy; one call a step. A reply that cannot be read is no verdict."""

    model: ChatModel
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=256))

    async def valid(self, text: str, writes: Sequence[str]) -> Sequence[bool | None]:
        """A verdict for each write.

        Raises:
            ModelServerError: no usable reply within the allowed tries.
        """
        numbered = "\n".join(f"{number}. {write}" for number, write in enumerate(writes))
        schema = {
            "type": "object",
            "properties": {"valid": {"type": "array", "items": {"type": "boolean"}}},
            "required": ["valid"],
        }
        request = ChatRequest(
            messages=(
                Message(speaker=Speaker.SYSTEM, content=_INSTRUCTION),
                Message(speaker=Speaker.USER, content=f"Text:\n{text}\n\nWrites:\n{numbered}"),
            ),
            json_schema=schema,
            sampling=self.sampling,
        )
        value = parse_json((await self.model.complete(request)).text).value
        found = value.get("valid") if isinstance(value, dict) else None
        if not isinstance(found, list) or len(found) != len(writes):
            return [None] * len(writes)
        return [verdict if isinstance(verdict, bool) else None for verdict in found]
