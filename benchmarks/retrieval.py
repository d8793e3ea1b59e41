"""Evidence recall@10 on LoCoMo turns, by search method.

    python benchmarks/retrieval.py [--data locomo10.json] [--embedder static] [--json PATH]

Each conversation is an index of its own, each turn an entry: "speaker: text [caption of the shared photo]", with the
session's date in the meta. The questions are those of categories 1 to 4 that name evidence turns (category 5 has no
answer in the text). A question's recall is the fraction of its evidence turns among the first ten results; evidence
ids that name no turn of the conversation count as missed. The table gives the mean over questions with a 95 %
bootstrap interval (questions drawn with replacement, 2,000 draws, seed 0).

Rows `bm25`, `embedding` and `hybrid` are what `Memory.search` does with default settings. `okapi, unstemmed` is BM25
as in rank_bm25 (k1 1.5, b 0.75) over lower-cased words. `rrf` fuses our two lists by reciprocal rank
(constant 60) instead of by normalised scores. BM25's parameters and
the fusion weights are standard values. Two choices were made by looking at the default file (two conversations of
LoCoMo): dropping English function words, and how the static table is prepared (docs/design/010 and 012); so expect
our rows to be somewhat lower on other conversations.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memquartet.core.memory import EntryId, MemoryEntry, MemoryType
from memquartet.memory.embedders import make_embedder
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.memory.retrieval.index import Index

TOP_K = 10
RRF_CONSTANT = 60
DATA = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
Ranker = Callable[[str], list[str]]
"""A question to turn ids, best first, at least ten where there are so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns by id, in order, with their session's date; questions with the ids of their evidence."""

    turns: dict[str, str]
    dates: dict[str, str]
    questions: list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Mean evidence recall@10 over `questions`, with the bounds of its 95 % interval."""

    method: str
    questions: int
    recall_at_10: float
    low: float
    high: float


def load(path: Path) -> list[Conversation]:
    """The conversations of a LoCoMo file."""
    return [_conversation(sample) for sample in json.loads(path.read_text(encoding="utf-8"))]


def _conversation(sample: dict[str, Any]) -> Conversation:  # Any: LoCoMo's JSON
    sessions = sample["conversation"]
    numbers = sorted(int(name.split("_")[1]) for name in sessions if name.endswith("_date_time"))
    turns, dates = {}, {}
    for number in numbers:
        for turn in sessions.get(f"session_{number}", []):
            caption = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
            turns[turn["dia_id"]] = f"{turn['speaker']}: {turn['text']}{caption}"
            dates[turn["dia_id"]] = sessions[f"session_{number}_date_time"]
    asked = [
        (qa["question"], qa["evidence"])
        for qa in sample["qa"]
        if qa["category"] in {1, 2, 3, 4} and qa["evidence"]
    ]
    return Conversation(turns=turns, dates=dates, questions=asked)


def rankers(conversation: Conversation, embedder: Embedder) -> dict[str, Ranker]:
    """The methods compared, ready for this conversation's questions."""
    index = Index(embedder.dim)
    vectors = embedder.embed(list(conversation.turns.values()))
    # One moment for all: ties are then broken by id alone, not by the order of the conversation.
    time = datetime(2024, 1, 1, tzinfo=UTC)
    for (turn_id, text), vector in zip(conversation.turns.items(), vectors, strict=True):
        entry = MemoryEntry(
            entry_id=EntryId(turn_id),
            memory_type=MemoryType.EPISODIC,
            content=text,
            meta={"date": conversation.dates[turn_id]},
            created_at=time,
            updated_at=time,
        )
        index.add(entry, vector)

    def search(method: SearchMethod, top_k: int) -> Ranker:
        def rank(question: str) -> list[str]:
            hits = index.search(question, embedder.embed([question])[0], method=method, top_k=top_k)
            return [hit.entry_id for hit in hits]

        return rank

    found: dict[str, Ranker] = {"okapi, unstemmed": okapi(conversation.turns)}
    methods = (
        [SearchMethod.BM25, SearchMethod.EMBEDDING, SearchMethod.HYBRID]
        if embedder.dim
        else [SearchMethod.BM25]
    )
    found |= {str(method): search(method, TOP_K) for method in methods}
    if embedder.dim:
        everything = [search(method, len(index)) for method in (SearchMethod.BM25, SearchMethod.EMBEDDING)]
        found["rrf"] = lambda question: reciprocal_rank_fusion([rank(question) for rank in everything])
    return found


def okapi(turns: dict[str, str], k1: float = 1.5, b: float = 0.75, floor: float = 0.25) -> Ranker:
    """BM25 as in rank_bm25's `BM25Okapi`: negative idf is raised to `floor` times the mean idf."""
    counts = {turn_id: Counter(_words(text)) for turn_id, text in turns.items()}
    frequency = Counter(term for terms in counts.values() for term in terms)
    idf = {term: math.log((len(turns) - n + 0.5) / (n + 0.5)) for term, n in frequency.items()}
    least = floor * sum(idf.values()) / len(idf)
    idf = {term: value if value >= 0 else least for term, value in idf.items()}
    average = sum(terms.total() for terms in counts.values()) / len(counts)

    def rank(question: str) -> list[str]:
        query = _words(question)
        scores = {
            turn_id: sum(
                idf[term]
                * terms[term]
                * (k1 + 1)
                / (terms[term] + k1 * (1 - b + b * terms.total() / average))
                for term in query
                if term in terms
            )
            for turn_id, terms in counts.items()
        }
        return sorted(scores, key=lambda turn_id: -scores[turn_id])

    return rank


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def reciprocal_rank_fusion(lists: Sequence[list[str]]) -> list[str]:
    """Ids by the sum of 1 / (60 + rank) over the lists that hold them, ranks from 1."""
    scores: dict[str, float] = defaultdict(float)
    for ids in lists:
        for rank, entry_id in enumerate(ids, start=1):
            scores[entry_id] += 1 / (RRF_CONSTANT + rank)
    return sorted(scores, key=lambda entry_id: -scores[entry_id])


def recall(found: Sequence[str], evidence: Sequence[str]) -> float:
    """The fraction of the evidence among the first ten found."""
    top = set(found[:TOP_K])
    return sum(turn_id in top for turn_id in evidence) / len(evidence)


def summarize(method: str, recalls: NDArray[np.float64]) -> Result:
    """The mean with its bootstrap interval."""
    rng = np.random.default_rng(0)
    means = rng.choice(recalls, (2000, len(recalls))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Result(
        method=method,
        questions=len(recalls),
        recall_at_10=float(recalls.mean()),
        low=float(low),
        high=float(high),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA / "locomo" / "locomo_dev2.json")
    parser.add_argument(
        "--embedder", default="static", help="as for `memquartet.memory.embedders.make_embedder`"
    )
    parser.add_argument("--json", type=Path, help="write the results here too")
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data} is missing: give a LoCoMo file with --data, or set MEMQUARTET_DATA")

    embedder = make_embedder(options.embedder)
    recalls: dict[str, list[float]] = defaultdict(list)
    for conversation in load(options.data):
        for method, rank in rankers(conversation, embedder).items():
            recalls[method] += [
                recall(rank(question), evidence) for question, evidence in conversation.questions
            ]
    results = [summarize(method, np.array(values)) for method, values in recalls.items()]

    print(f"evidence recall@{TOP_K}, {options.data.name}, embedder {embedder.identity}")
    print(f"{'method':<18}{'recall':>8}  {'95 % interval':<16}{'n':>6}")
    for row in results:
        print(f"{row.method:<18}{row.recall_at_10:>8.3f}  [{row.low:.3f}, {row.high:.3f}]{row.questions:>8}")
    if options.json:
        report = {
            "data": options.data.name,
            "embedder": embedder.identity,
            "results": [asdict(r) for r in results],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
