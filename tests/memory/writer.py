"""A process that writes to a file and prints each id once it is acknowledged: run by the tests of files."""

from __future__ import annotations

import sys

from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory


def main() -> None:
    path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with Memory.open(path, embedder=NoEmbedder()) as memory:
        for number in range(count):
            entry = memory.insert("semantic", f"{name} {number}")
            print(entry.entry_id, flush=True)  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()
