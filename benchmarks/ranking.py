"""What the retrieval benchmarks share: texts to be ranked, and rows of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from memquartet.core.memory import EntryId, MemoryEntry, MemoryType
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.memory.retrieval.index import Index
from memquartet.scoring.summary import Summary, summarize

Ranker = Callable[[str], list[str]]
"""A question to ids, best first."""

WITHOUT_COMMON = "hybrid, common words out"
"""The hybrid search with the query's common words kept out of its vector: `Index.without_common`."""

Row = dict[str, object]
"""One line of a table as it stands in the JSON: what was measured on what, and a `Summary` for each number."""


def rankers(texts: Mapping[str, str], embedder: Embedder, top_k: int) -> dict[str, Ranker]:
    """Our search over texts by id, by method; each gives the ids of the best `top_k`."""
    index = Index(embedder.dim)
    vectors = embedder.embed(list(texts.values()))
    # One moment for all: ties are then broken by id alone, not by the order of the texts.
    time = datetime(2024, 1, 1, tzinfo=UTC)
    for (text_id, text), vector in zip(texts.items(), vectors, strict=True):
        entry = MemoryEntry(
            entry_id=EntryId(text_id),
            memory_type=MemoryType.EPISODIC,
            content=text,
            created_at=time,
            updated_at=time,
        )
        index.add(entry, vector)

    def search(method: SearchMethod, *, without_common: bool = False) -> Ranker:
        def rank(question: str) -> list[str]:
            meant = index.without_common(question) if without_common else question
            hits = index.search(question, embedder.embed([meant])[0], method=method, top_k=top_k)
            return [hit.entry_id for hit in hits]

        return rank

    found = {str(method): search(method) for method in methods(embedder)}
    if embedder.dim:
        found[WITHOUT_COMMON] = search(SearchMethod.HYBRID, without_common=True)
    return found


def methods(embedder: Embedder) -> list[SearchMethod]:
    """The methods that an embedder allows."""
    both = [SearchMethod.BM25, SearchMethod.EMBEDDING, SearchMethod.HYBRID]
    return both if embedder.dim else both[:1]


def summaries(values: Mapping[str, list[float]]) -> dict[str, dict[str, float | int | None]]:
    """Mean, n and 95 % bootstrap interval over the questions, by the number's name; to four digits."""
    return {
        name: {key: number and round(number, 4) for key, number in summarize(found).as_json().items()}
        for name, found in values.items()
    }


def cell(value: object) -> str:
    """A `Summary` as it stands in a table: mean and interval."""
    if not isinstance(value, dict) or value.get("mean") is None:
        return "–"
    found = Summary(**value)
    if found.mean is None or found.low is None or found.high is None:
        return "–"
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
