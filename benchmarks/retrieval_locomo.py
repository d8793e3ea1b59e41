"""Evidence recall on LoCoMo's turns.

Each conversation is an index of its own, each turn an entry: "speaker: text [caption of the shared photo]". The
questions are those of categories 1 to 4 that name evidence turns (category 5 has no answer in the text). A question's
recall is the fraction of its evidence turns among the first k results; evidence ids that name no turn of the
conversation count as missed.

Rows `bm25`, `embedding` and `hybrid` are what `Memory.search` does with default settings. `okapi, unstemmed` is BM25
as in rank_bm25 (k1 1.5, b 0.75) over lower-cased words. `rrf` fuses our two lists by reciprocal rank (constant 60)
instead of by normalised scores. BM25's parameters and the fusion weights are standard values. Two choices were made
by looking at the default file (two conversations of LoCoMo): dropping English function words, and how the static
table is prepared (docs/design/010 and 012); so expect our rows to be somewhat lower on other conversations.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking import Ranker, Row, rankers, summaries

from memquartet.memory.protocols import Embedder
from memquartet.scoring.retrieval import evidence_recall

CUTS = (1, 5, 10)
RRF_CONSTANT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns by id, in order; questions with the ids of their evidence."""

    turns: dict[str, str]
    questions: list[tuple[str, list[str]]]


def rows(path: Path, embedder: Embedder) -> Iterator[Row]:
    """A row a method, over all questions of the file."""
    recalls: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for conversation in load(path):
        for method, rank in contenders(conversation, embedder).items():
            for question, evidence in conversation.questions:
                found = [(turn_id,) for turn_id in rank(question)]
                for k in CUTS:
                    recalls[method][f"recall@{k}"].append(evidence_recall(found, evidence, k) or 0.0)
    for method, values in recalls.items():
        yield {"data": path.name, "method": method, **summaries(values)}


def load(path: Path) -> list[Conversation]:
    """The conversations of a LoCoMo file."""
    return [_conversation(sample) for sample in json.loads(path.read_text(encoding="utf-8"))]


def _conversation(sample: dict[str, Any]) -> Conversation:  # Any: LoCoMo's JSON
    sessions = sample["conversation"]
    numbers = sorted(int(name.split("_")[1]) for name in sessions if name.endswith("_date_time"))
    turns = {}
    for number in numbers:
        for turn in sessions.get(f"session_{number}", []):
            caption = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
            turns[turn["dia_id"]] = f"{turn['speaker']}: {turn['text']}{caption}"
    asked = [
        (qa["question"], qa["evidence"])
        for qa in sample["qa"]
        if qa["category"] in {1, 2, 3, 4} and qa["evidence"]
    ]
    return Conversation(turns=turns, questions=asked)


def contenders(conversation: Conversation, embedder: Embedder) -> dict[str, Ranker]:
    """The methods compared, ready for this conversation's questions."""
    found = {"okapi, unstemmed": okapi(conversation.turns)}
    found |= rankers(conversation.turns, embedder, max(CUTS))
    if embedder.dim:
        whole = rankers(conversation.turns, embedder, len(conversation.turns))
        found["rrf"] = lambda question: reciprocal_rank_fusion(
            [whole["bm25"](question), whole["embedding"](question)]
        )
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
