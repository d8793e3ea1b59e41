"""Why does the memory say that, what did it say before, and how to take a change back.

python examples/history_and_undo.py
"""

from memquartet import Memory
from memquartet.core.memory import Provenance


def main() -> None:
    """Write, look back, undo."""
    memory = Memory()
    home = memory.insert("semantic", "Mira lives in Leeds").entry_id
    memory.update(
        home, "Mira lives in Atlantis", provenance=Provenance(source="Mira: I wish I lived in Atlantis")
    )

    for record in memory.history(home):
        content = record.after.content if record.after else "(deleted)"
        print(f"record {record.seq}: {content}  because of {record.provenance.source or 'a direct call'!r}")

    print("as of record 1:", memory.as_of(1).get(home).content)
    memory.undo(2)
    print("after the undo:", memory.get(home).content)

    # A fork goes its own way; the original does not notice.
    what_if = memory.fork()
    what_if.delete(home)
    print("entries here and in the fork:", len(memory), len(what_if))
    assert Memory.replay(memory).canonical_bytes() == memory.canonical_bytes()


if __name__ == "__main__":
    main()
