"""What the tools did, by tool, and how much the memory compresses what was read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from memquartet.tools.spec import ToolResult


@dataclass(slots=True)
class ToolCounts:
    """Calls of one tool; `entries` counts memories written or found by those that did not fail."""

    calls: int = 0
    failures: int = 0
    entries: int = 0


@dataclass(slots=True)
class ToolMetrics:
    """Counts by tool name; an unknown name counts under itself, as a failure."""

    tools: dict[str, ToolCounts] = field(default_factory=dict)

    def record(self, name: str, result: ToolResult) -> None:
        """Count one call."""
        counts = self.tools.setdefault(name, ToolCounts())
        counts.calls += 1
        counts.failures += not result.ok
        counts.entries += len(result.hits) + (result.receipt is not None and result.receipt.applied)

    def as_json(self) -> dict[str, dict[str, int]]:
        """The counts under their names."""
        return {name: asdict(counts) for name, counts in self.tools.items()}


def compression(memory_tokens: int, chunk_tokens: int) -> float | None:
    """1 - memory tokens / chunk tokens (Mem-alpha's r3): negative when the memory outgrew the text.

    None when nothing was read.
    """
    return 1 - memory_tokens / chunk_tokens if chunk_tokens else None
