"""What a run found out: every question's score and cost, and the sums of them by system.

In a run's folder `SYSTEM.questions.jsonl` holds a `QuestionResult` a line and `results.json` the rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from memquartet.core.trajectory import Turn, TurnStatus
from memquartet.errors import InputError
from memquartet.evals.files import write_lines
from memquartet.evals.memory_quality import MemoryQuality
from memquartet.scoring.summary import Summary

OVERALL = "overall"
UNCATEGORIZED = "uncategorized"
QUESTIONS_SUFFIX = ".questions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Model calls with their tokens, as the backend counts them; `invalid` outputs could not be used."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    invalid: int = 0

    @property
    def tokens(self) -> int:
        """Both kinds."""
        return self.prompt_tokens + self.output_tokens

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Usage:
        """The sum over turns."""
        turns = list(turns)
        return cls(
            calls=len(turns),
            prompt_tokens=sum(turn.prompt_tokens for turn in turns),
            output_tokens=sum(turn.output_tokens for turn in turns),
            invalid=sum(turn.status is TurnStatus.INVALID for turn in turns),
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            invalid=self.invalid + other.invalid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionResult:
    """One question of one system.

    `score` is None where there was no answer or no verdict; `problem` then says why. `shown` are the texts the
    answerer saw, cut to a readable length, and `evidence` is what the benchmark's source ids stand for. `seconds` is wall time; a call that came out of the cache counts with the
    time that it took when it was made.
    """

    sample_id: str
    question_id: str
    category: str
    metric: str
    question: str
    gold: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    answer: str | None
    score: float | None
    problem: str = ""
    shown: tuple[str, ...] = ()
    shown_tokens: int = 0
    seconds: float | None = None
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What it cost to read a sample."""

    seconds: float | None
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemResult:
    """One system's scores by category; `OVERALL` is the mean over all questions. In [0, 1], higher is better.

    `memory` is None where nobody measured it.
    """

    system: str
    scores: Mapping[str, Summary]
    settings: Mapping[str, object] = field(default_factory=dict)
    questions: tuple[QuestionResult, ...] = ()
    readings: tuple[Reading, ...] = ()
    memory: MemoryQuality | None = None

    def as_json(self) -> dict[str, object]:
        """Scores, counts, costs and the memory's quality, without the single questions."""
        rows = self.questions
        problems = Counter(row.problem.partition(":")[0] for row in rows if row.score is None)
        answering = sum((row.usage for row in rows), Usage())
        reading = sum((one.usage for one in self.readings), Usage())
        return {
            "system": self.system,
            "settings": dict(self.settings),
            "scores": {name: summary.as_json() for name, summary in self.scores.items()},
            "counts": {
                "questions": len(rows),
                "answered": sum(row.answer is not None for row in rows),
                "scored": sum(row.score is not None for row in rows),
                "unscored": sum(row.score is None for row in rows),
                "problems": dict(problems),
                "invalid_outputs": answering.invalid + reading.invalid,
            },
            "reading": {
                **_usage_json(reading),
                "samples": len(self.readings),
                "seconds": _spread([one.seconds for one in self.readings]),
            },
            "answering": {
                **_usage_json(answering),
                "seconds": _spread([row.seconds for row in rows if row.answer is not None]),
                "shown_tokens": _spread([float(row.shown_tokens) for row in rows if row.answer is not None]),
            },
            **({"memory": self.memory.as_json()} if self.memory else {}),
        }


def _usage_json(usage: Usage) -> dict[str, object]:
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
    }


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, median and 95th percentile of what was measured; None of nothing."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return {"mean": None, "p50": None, "p95": None, "total": None}
    p50, p95 = np.percentile(known, [50, 95])
    return {
        "mean": float(known.mean()),
        "p50": float(p50),
        "p95": float(p95),
        "total": float(known.sum()),
    }


@cache
def _rows() -> TypeAdapter[QuestionResult]:
    return TypeAdapter(QuestionResult)


def write_questions(path: Path, questions: Iterable[QuestionResult]) -> None:
    """One question a line.

    Raises:
        StoreError: the disk refused; an earlier file stays.
    """
    write_lines(path, (json.dumps(_rows().dump_python(row, mode="json")) for row in questions))


def read_questions(path: Path) -> list[QuestionResult]:
    """The questions of one system.

    Raises:
        InputError: a line that is no question result; the message names it.
    """
    found = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                found.append(_rows().validate_python(json.loads(line)))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"]))
                raise InputError(f"{path}, line {number}: field {place!r}: {first['msg']}") from error
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: no JSON: {error}") from error
    return found
