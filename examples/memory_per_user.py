"""One file for many users: what is one user's never shows up in another's search.

python examples/memory_per_user.py
"""

import tempfile
from pathlib import Path

from memquartet import Memory
from memquartet.core.memory import Scope


def main() -> None:
    """Two users, one file."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "memory.db") as memory:
        memory.insert("semantic", "Allergic to peanuts", scope=Scope(user_id="ann"))
        memory.insert("semantic", "Allergic to cats", scope=Scope(user_id="bob"))
        memory.insert("episodic", "Booked a table for two", scope=Scope(user_id="ann", run_id="trip-7"))

        for user in ("ann", "bob"):
            found = memory.search("What are the allergies?", top_k=5, user_id=user)
            print(user, [hit.entry.content for hit in found])
        print(
            "ann, this trip:",
            [hit.entry.content for hit in memory.search("table", user_id="ann", run_id="trip-7")],
        )


if __name__ == "__main__":
    main()
