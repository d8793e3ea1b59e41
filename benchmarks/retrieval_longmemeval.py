"""LongMemEval's own retrieval metrics: recall_any, recall_all and NDCG at k, of sessions and of turns.

As in the official code, what is ranked are the user's words alone: a turn is one user message, a session all user
messages of it in one text; a turn is relevant when it holds the answer (`has_answer`), a session when one of its user
turns does. Left out are abstentions and questions none of whose user turns holds the answer.

Two haystacks. `own`: the sessions that come with the question. In the oracle version these are the evidence sessions
alone (two or three), so that only turns are worth ranking there. `pooled`: the sessions of all questions of the file
in one index, about as many as the S version has; not an official setting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ranking import Ranker, Row, rankers, summaries

from memquartet.benchmarks.reading import read_records
from memquartet.memory.protocols import Embedder
from memquartet.scoring.retrieval import ranking

CUTS = (1, 5, 10)
Units = Mapping[str, dict[str, str]]
"""By level ("turn", "session"): texts by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with its own haystack and the ids of what is relevant, both by level."""

    text: str
    haystack: Units
    relevant: Mapping[str, set[str]]


def rows(path: Path, embedder: Embedder) -> Iterator[Row]:
    """A row for each haystack, level and method."""
    asked = [one for record in read_records(path) if (one := _asked(record.value)) and one.relevant["turn"]]
    for level in ("turn", "session"):
        everything = {key: text for one in asked for key, text in one.haystack[level].items()}
        pooled = rankers(everything, embedder, max(CUTS))
        found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for one in asked:
            own = rankers(one.haystack[level], embedder, max(CUTS))
            for haystack, contenders in (("own", own), ("pooled", pooled)):
                for method, rank in contenders.items():
                    _measure(rank, one, level, found[haystack, method])
        sizes = {"own": _mean_size(asked, level), "pooled": len(everything)}
        for (haystack, method), values in found.items():
            yield {
                "data": path.name,
                "haystack": haystack,
                "level": level,
                "ranked": sizes[haystack],
                "method": method,
                **summaries(values),
            }


def _asked(record: Mapping[str, object]) -> Asked | None:
    """A question as the official code ranks for it; None for an abstention."""
    question_id, ids, sessions = (
        record["question_id"],
        record["haystack_session_ids"],
        record["haystack_sessions"],
    )
    if not (isinstance(ids, list) and isinstance(sessions, list)) or str(question_id).endswith("_abs"):
        return None
    turns: dict[str, str] = {}
    whole: dict[str, str] = {}
    relevant: set[str] = set()
    for session_id, session in zip(ids, sessions, strict=True):
        said = [(number, turn) for number, turn in enumerate(session, start=1) if turn["role"] == "user"]
        turns |= {f"{session_id}_{number}": turn["content"] for number, turn in said}
        whole[session_id] = " ".join(turn["content"] for _, turn in said)
        relevant |= {f"{session_id}_{number}" for number, turn in said if turn.get("has_answer")}
    return Asked(
        text=str(record["question"]),
        haystack={"turn": turns, "session": whole},
        relevant={"turn": relevant, "session": {turn_id.rpartition("_")[0] for turn_id in relevant}},
    )


def _measure(rank: Ranker, one: Asked, level: str, values: dict[str, list[float]]) -> None:
    ranked = rank(one.text)
    for k in CUTS:
        if (score := ranking(ranked, one.relevant[level], k)) is not None:
            values[f"recall_any@{k}"].append(score.recall_any)
            values[f"recall_all@{k}"].append(score.recall_all)
            values[f"ndcg@{k}"].append(score.ndcg)


def _mean_size(asked: list[Asked], level: str) -> float:
    return round(sum(len(one.haystack[level]) for one in asked) / len(asked), 1)
