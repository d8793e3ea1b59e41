"""The names of reward parts, and those parts that one turn or one step decides alone.

A part is a `RewardPart` with a value in [0, 1], higher is better, or None where there is nothing to judge. Its
weight comes later, from the `RewardMix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from memquartet.core.memory import MemoryState
from memquartet.core.scores import RewardPart
from memquartet.core.trajectory import FactOutcome, Turn, TurnStatus
from memquartet.text.tokens import TokenCounter


class Part(StrEnum):
    """What a reward is made of."""

    CORRECTNESS = "correctness"
    """The answer's score by the sample's metric; for turns that built the memory the mean of all answers."""
    FORMAT = "format"
    """Whether the output said what its role has to say."""
    OPERATIONS = "operations"
    """Share of the manager's decisions that could be carried out as they were written."""
    COMPRESSION = "compression"
    """1 - memory tokens / tokens read."""
    VALIDITY = "validity"
    """Share of a step's operations that a judge finds right for the text; None without a judge."""
    CONSISTENCY = "consistency"
    """Superseded values are no longer retrieved for their questions."""
    DISTINCT = "distinct"
    """Share of a step's facts that did not leave the same words twice in memory."""
    UPDATE = "update"
    """On update and delete data: the memory holds the value that counts now and none that it replaced."""
    NOOP = "noop"
    """Share of the extractor's facts that told the memory something, times a recall guard."""
    PROVENANCE = "provenance"
    """What the entries that a step wrote were worth to right answers."""
    SEARCH = "search"
    """Whether a search of the answerer's own was needed and led to a right answer; None for an answer."""
    BRANCH = "branch"
    """Counterfactual credit, (1 + outcome - outcome without the step's facts) / 2; 0.5 is no effect."""


FORMAT_VALUES = {TurnStatus.OK: 1.0, TurnStatus.REPAIRED: 0.5, TurnStatus.INVALID: 0.0}


def format_part(turn: Turn) -> RewardPart:
    """1 as it stood, 0.5 after repair, 0 when unusable."""
    return RewardPart(name=Part.FORMAT, value=FORMAT_VALUES[turn.status], reason="; ".join(turn.errors))


def operations_part(outcomes: Sequence[FactOutcome]) -> RewardPart:
    """Share of decisions that were not defaulted and whose every receipt was applied; None of no decisions."""
    good = [o for o in outcomes if not o.defaulted and all(receipt.applied for receipt in o.receipts)]
    return RewardPart(
        name=Part.OPERATIONS,
        value=len(good) / len(outcomes) if outcomes else None,
        reason=f"{len(good)} of {len(outcomes)} decisions carried out",
    )


def compression_part(memory_tokens: int, read_tokens: int) -> RewardPart:
    """1 - memory / read, not below 0; None when nothing was read.

    After Mem-alpha (arXiv 2509.25911), with two differences: the memory is what the store and the short-term state
    hold together, and a memory longer than the text gives 0 instead of a negative value.
    """
    value = max(0.0, 1 - memory_tokens / read_tokens) if read_tokens else None
    return RewardPart(
        name=Part.COMPRESSION,
        value=value,
        reason=f"{memory_tokens} tokens in memory of {read_tokens} read",
    )


def memory_tokens(contents: Sequence[str], state: MemoryState, counter: TokenCounter) -> int:
    """Tokens of all long-term entries and of the short-term state with its notes."""
    return sum(map(counter.count, (*contents, state.text, *state.notes)))
