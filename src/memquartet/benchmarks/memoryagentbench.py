"""MemoryAgentBench: one long context, many questions.

Format and metrics: HUST-AI-HYZ/MemoryAgentBench. Read are the sources whose metric needs neither a judge
model nor a catalogue. In-context classification is scored by the number in the reply: the official
exact match gives 0 to the form "label: 43" that its own prompt asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from memquartet.benchmarks.reading import Record, Row, checked
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize, split_text

METRICS = {
    "factconsolidation": "substring_exact_match",
    "ruler": "substring_exact_match",
    "eventqa": "substring_exact_match",
    "icl": "integer_match",
    "detective": "exact_match",
}
"""By the source's first word."""


class _Metadata(Row):
    source: str
    qa_pair_ids: list[str] | None = None


class _Row(Row):
    context: str
    questions: list[str]
    answers: list[list[str]]
    metadata: _Metadata


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object looks like one of MemoryAgentBench's contexts."""
    return {"context", "questions", "answers", "metadata"} <= record.keys()


def read(records: Iterable[Record], size: ChunkSize) -> Iterator[Sample]:
    """One sample a context, cut after sentences; the official chunks have 4096 tokens, or 512.

    Raises:
        InputError: a record is not in the benchmark's form, or its source has no metric here.
    """
    for number, record in enumerate(records):
        row = checked(_Row, record)
        source = row.metadata.source
        metric = METRICS.get(source.split("_", 1)[0])
        if metric is None:
            raise InputError(
                f"{record.place}, field 'metadata.source': {source!r} has no metric here, expected a source"
                f" that begins with one of {', '.join(METRICS)}"
            )
        ids = row.metadata.qa_pair_ids or [f"{source}:{index}" for index in range(len(row.questions))]
        if not len(row.questions) == len(row.answers) == len(ids):
            raise InputError(
                f"{record.place}: expected {len(row.questions)} answers and qa_pair_ids, one a question,"
                f" given {len(row.answers)} and {len(ids)}"
            )
        parts = split_text(row.context, budget=size.tokens, count=size.count)
        yield Sample(
            sample_id=f"{source}#{number}",
            chunks=tuple(Chunk(text=part, index=index) for index, part in enumerate(parts)),
            questions=tuple(
                Question(question_id=question_id, text=text, answers=tuple(answers), category=source)
                for question_id, text, answers in zip(ids, row.questions, row.answers, strict=True)
            ),
            source=f"memoryagentbench/{source}",
            metric=metric,
        )
