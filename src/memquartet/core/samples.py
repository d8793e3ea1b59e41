"""What an episode is made from: a sample is an ordered stream of chunks and questions about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of text that is read in one go.

    `time` is when it was said or written; `source_ids` are the benchmark's own names of its parts
    (LoCoMo's "D1:3"), used for evidence recall. `query` is the question being worked on while reading,
    empty when there is none.
    """

    text: str
    index: int
    time: datetime | None = None
    source_ids: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its accepted answers.

    `answers` are aliases: any one is right. An empty tuple means that the text does not hold the
    answer and the right reply is to say so. `evidence` are source ids of chunks that hold the answer.
    """

    question_id: str
    text: str
    answers: tuple[str, ...]
    category: str = ""
    evidence: tuple[str, ...] = ()
    time: datetime | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One episode's input. Chunks are in reading order; questions come after the last chunk.

    `metric` names the scoring function of the benchmark (see `memquartet.scoring`).
    """

    sample_id: str
    chunks: tuple[Chunk, ...]
    questions: tuple[Question, ...]
    source: str = ""
    metric: str = "f1"
    extra: Mapping[str, object] = field(default_factory=dict)
