"""Four cooperating agents give a language model a memory, and reinforcement learning teaches them to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Memory", "__version__"]

if TYPE_CHECKING:
    from memquartet.memory.memory import Memory
else:

    def __getattr__(name: str) -> object:
        """Import `Memory` when it is first asked for, so that `import memquartet` costs nothing."""
        if name == "Memory":
            from memquartet.memory.memory import Memory

            return Memory
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
