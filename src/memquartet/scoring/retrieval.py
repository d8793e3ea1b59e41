"""Whether a search found the text that holds the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from memquartet.errors import ConfigError


def evidence_recall(retrieved: Sequence[Collection[str]], evidence: Collection[str], k: int) -> float | None:
    """Share of the evidence ids among the source ids of the first `k` hits; None without evidence.

    `retrieved` holds each hit's source ids, best hit first. (LoCoMo's own code counts a question without
    evidence as 1, which lifts its mean.)

    Raises:
        ConfigError: `k` < 1.
    """
    if k < 1:
        raise ConfigError(f"recall needs at least one hit: k must be 1 or more, got {k}")
    wanted = set(evidence)
    if not wanted:
        return None
    found = {source_id for hit in retrieved[:k] for source_id in hit}
    return len(wanted & found) / len(wanted)
