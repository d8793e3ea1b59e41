"""How fast the store is: insert, hybrid search with a user filter, fork and reopen, beside two other ways.

    python benchmarks/memory.py --sizes 1000 10000 100000 --json docs/results/memory.json

The peers, both with the same entries, queries and embedder:

- `rebuild`: rank_bm25 built anew for each query over all entries, the way Mem-alpha's store searches;
  `rebuild_user` builds it over the asking user's entries only.
- `mem0`: mem0's open-source store on its local Qdrant, without a model (`infer=False`).

They need the extra `bench` (`pip install 'memquartet[bench]'`), best in an environment of its own. Nothing here
uses the network. Entries are 20 words drawn by Zipf's law, queries 6, and there are 10 users.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memquartet import Memory, __version__
from memquartet.core.memory import Insert, Scope
from memquartet.memory.embedders import StaticEmbedder

if TYPE_CHECKING:
    from mem0 import Memory as Mem0

USERS = 10
VOCABULARY = 20_000
TOP_K = 10
TURN = 0.05
"""Seconds of one system before the next has its turn."""
PEERS = ("rebuild", "rebuild_user", "mem0")

Timings = dict[str, dict[str, float]]
Search = Callable[[str, str], object]
"""By query and user."""
Insertion = Callable[[str, str], object]
"""Of a text for a user."""


class Texts:
    """Entries and queries from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        self._words = sorted({"".join(self._random.choices(syllables, k=3)) for _ in range(2 * VOCABULARY)})[
            :VOCABULARY
        ]
        self._random.shuffle(self._words)
        self._weights = list(np.cumsum(1 / np.arange(1, len(self._words) + 1)))

    def text(self, words: int) -> str:
        """So many words, common ones more often."""
        return (
            " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words)).capitalize() + "."
        )

    def user(self) -> str:
        """One of the users."""
        return f"user{self._random.randrange(USERS)}"


def main() -> None:
    options = parsed_options()
    results: dict[str, dict[str, Timings]] = {}
    for size in options.sizes:
        results[str(size)] = measured(size, options.peers, options.seconds, options.seed)
        print_table(size, results[str(size)])
        if options.json:  # after each size: the next one may take very long
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(reported(results), indent=1) + "\n", encoding="utf-8")


def reported(results: dict[str, dict[str, Timings]]) -> dict[str, object]:
    return {
        "command": "python benchmarks/memory.py " + " ".join(sys.argv[1:]),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
        "sizes": results,
        "ratios": {size: ratios(systems) for size, systems in results.items()},
    }


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000], help="entries in the store")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="none: only our own")
    parser.add_argument("--seconds", type=float, default=2.0, help="spent on each system and operation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the results here, too")
    return parser.parse_args()


def measured(size: int, peers: Sequence[str], seconds: float, seed: int) -> dict[str, Timings]:
    """Every system does the same work in turn, so that a busy moment of the machine meets them all."""
    texts = Texts(seed)
    entries = [(texts.text(20), texts.user()) for _ in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        ram, file = filled(Memory(), entries), filled(Memory.open(path), entries)
        mem0 = filled_mem0(Path(folder), entries) if "mem0" in peers else None
        searches: dict[str, Search] = {
            "ram": lambda query, user: ram.search(query, TOP_K, user_id=user),
            "file": lambda query, user: file.search(query, TOP_K, user_id=user),
        }
        inserts: dict[str, Insertion] = {
            "ram": lambda text, user: ram.insert("semantic", text, scope=Scope(user_id=user)),
            "file": lambda text, user: file.insert("semantic", text, scope=Scope(user_id=user)),
        }
        for peer in ("rebuild", "rebuild_user"):
            if peer in peers:
                searches[peer] = rebuilding(entries, only_user=peer == "rebuild_user")
        if mem0:
            searches["mem0"] = lambda query, user: mem0.search(query, top_k=TOP_K, filters={"user_id": user})
            inserts["mem0"] = lambda text, user: mem0.add(text, user_id=user, infer=False)
        systems: dict[str, Timings] = {name: {} for name in searches}
        for what, calls, words in (("search", searches, 6), ("insert", inserts, 20)):
            asked = [(texts.text(words), texts.user()) for _ in range(2_000)]
            for name, summed in in_turn(calls, asked, seconds * len(calls)).items():
                systems[name][what] = summed
        for name, memory in (("ram", ram), ("file", file)):
            systems[name]["fork"] = timed(memory.fork, 200)
        file.close()
        systems["file"]["reopen"] = timed(lambda: Memory.open(path).close(), 10)
        if mem0:
            mem0.vector_store.client.close()
            systems["mem0"]["reopen"] = timed(lambda: open_mem0(Path(folder)).vector_store.client.close(), 2)
    return systems


def filled(memory: Memory, entries: Sequence[tuple[str, str]]) -> Memory:
    for user in sorted({user for _, user in entries}):
        ops = [Insert(content=text) for text, owner in entries if owner == user]
        for start in range(0, len(ops), 1_000):
            memory.apply(ops[start : start + 1_000], scope=Scope(user_id=user))
    return memory


def rebuilding(entries: Sequence[tuple[str, str]], *, only_user: bool) -> Search:
    from rank_bm25 import BM25Okapi

    def search(query: str, user: str) -> object:
        seen = [text for text, owner in entries if owner == user or not only_user]
        index = BM25Okapi([re.findall(r"\w+", text.lower()) for text in seen])
        return index.get_top_n(re.findall(r"\w+", query.lower()), seen, n=TOP_K)

    return search


class Mem0Embedder:
    """Our embedder in mem0's form."""

    def __init__(self) -> None:
        self._embedder = StaticEmbedder()

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The vector of one text; mem0 says what it is for, which makes no difference here."""
        return [float(value) for value in self._embedder.embed([text])[0]]


def open_mem0(folder: Path) -> Mem0:
    # mem0 reads these when it is imported; the key is never used, because no model is called.
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder), "OPENAI_API_KEY": "unused"}
    from mem0 import Memory as Mem0

    store = {"path": str(folder / "qdrant"), "embedding_model_dims": StaticEmbedder.dim, "on_disk": True}
    memory = Mem0.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": store},
            "history_db_path": str(folder / "history.db"),
        }
    )
    memory.embedding_model = Mem0Embedder()
    return memory


def filled_mem0(folder: Path, entries: Sequence[tuple[str, str]]) -> Mem0:
    """What `add(infer=False)` stores, in batches."""
    memory, embedder = open_mem0(folder), StaticEmbedder()
    times = dict.fromkeys(("created_at", "updated_at"), datetime.now(UTC).isoformat())
    for start in range(0, len(entries), 1_000):
        batch = entries[start : start + 1_000]
        memory.vector_store.insert(
            vectors=embedder.embed([text for text, _ in batch]).tolist(),
            ids=[str(uuid.uuid4()) for _ in batch],
            payloads=[
                {"data": text, "user_id": user, "role": "user", "text_lemmatized": text, **times}
                for text, user in batch
            ],
        )
    return memory


def in_turn(
    calls: Mapping[str, Callable[[str, str], object]], asked: Sequence[tuple[str, str]], seconds: float
) -> dict[str, dict[str, float]]:
    """Turns of `TURN` seconds, at least one call each, until the time is up; at least 5 turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    waiting = {name: cycle(asked) for name in calls}
    for name, call in calls.items():
        call(*next(waiting[name]))  # warms caches and loads what is loaded on first use
    end = time.perf_counter() + seconds
    turns = 0
    while turns < 5 or time.perf_counter() < end:
        turns += 1
        for name, call in calls.items():
            over = time.perf_counter() + TURN
            while time.perf_counter() < over:
                arguments = next(waiting[name])
                started = time.perf_counter()
                call(*arguments)
                taken[name].append(time.perf_counter() - started)
    return {name: summary(seconds_taken) for name, seconds_taken in taken.items()}


def timed(call: Callable[[], object], times: int) -> dict[str, float]:
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return summary(taken)


def summary(taken: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.array(taken) * 1e3, [50, 95])
    return {"p50_ms": round(float(p50), 5), "p95_ms": round(float(p95), 5), "calls": len(taken)}


def ratios(systems: dict[str, Timings]) -> dict[str, float]:
    """How many times faster ours is, by the medians."""
    return {
        f"{what}: {ours} over {peer}": round(systems[peer][what]["p50_ms"] / systems[ours][what]["p50_ms"], 1)
        for what in ("search", "insert", "reopen")
        for peer in PEERS
        for ours in ("ram", "file")
        if what in systems.get(peer, {}) and what in systems[ours]
    }


def environment() -> dict[str, object]:
    names = ("numpy", "rpds-py", "rank-bm25", "mem0ai", "qdrant-client")
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {"memquartet": __version__, **dict(installed(names))},
    }


def installed(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def print_table(size: int, systems: dict[str, Timings]) -> None:
    print(f"\n{size:,} entries, milliseconds (p50 / p95)")
    columns = ("insert", "search", "fork", "reopen")
    print(f"{'':14}" + "".join(f"{column:>22}" for column in columns))
    for name, timings in systems.items():
        cells = (
            f"{timings[column]['p50_ms']:.3f} / {timings[column]['p95_ms']:.3f}" if column in timings else "–"
            for column in columns
        )
        print(f"{name:14}" + "".join(f"{cell:>22}" for cell in cells))
    for name, ratio in ratios(systems).items():
        print(f"  {name}: {ratio:,} times")


if __name__ == "__main__":
    main()
