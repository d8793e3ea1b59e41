from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from memquartet.core.memory import (
    EntryId,
    Fact,
    Insert,
    MemoryEntry,
    MemoryState,
    MemoryType,
    Receipt,
    ReceiptStatus,
)
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Answer, Decision, Episode, FactOutcome, MemoryStep, Trajectory
from memquartet.evals.evidence import evidence_reached

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SAMPLE = Sample(
    sample_id="s",
    chunks=(
        Chunk(text="[Monday]\nAnn: I moved to Rome.", index=0, source_ids=("D1:1",)),
        Chunk(text="[Friday]\nBo: I keep a parrot.", index=1, source_ids=("D2:1",)),
    ),
    questions=(
        Question(question_id="one", text="?", answers=("Rome",), evidence=("D1:1",)),
        Question(question_id="both", text="?", answers=("x",), evidence=("D1:1", "D2:1")),
        Question(question_id="none", text="?", answers=(), evidence=("D9:9",)),
    ),
)


def step(index: int, name: str) -> MemoryStep:
    entry = MemoryEntry(
        entry_id=EntryId(name),
        memory_type=MemoryType.SEMANTIC,
        content=name,
        created_at=NOW,
        updated_at=NOW,
    )
    fact = Fact(text=name, important=True)
    receipt = Receipt(op=Insert(content=name), status=ReceiptStatus.APPLIED, after=entry)
    outcome = FactOutcome(fact=fact, candidates=(), decision=Decision.ADD, receipts=(receipt,))
    return MemoryStep(
        index=index,
        facts=(fact,),
        outcomes=(outcome,),
        state=MemoryState(),
        seq=0,
        trajectory=Trajectory(),
    )


def episode(*steps: MemoryStep, hits: Sequence[str] = (), shown: Sequence[str] = ()) -> Episode:
    answers = tuple(
        Answer(
            question_id=question.question_id,
            text="x",
            hits=tuple(map(EntryId, hits)),
            trajectory=Trajectory(),
            memories=tuple(shown),
        )
        for question in SAMPLE.questions
    )
    return Episode(sample_id="s", system="x", steps=steps, answers=answers)


def test_an_entry_reaches_the_chunk_that_wrote_it_last() -> None:
    assert evidence_reached(SAMPLE, episode(step(0, "a"), hits=["a"])) == [1.0, 0.5]
    assert evidence_reached(SAMPLE, episode(step(0, "a"), step(1, "a"), hits=["a"])) == [0.0, 0.5]
    assert evidence_reached(SAMPLE, episode(step(0, "a"), step(1, "b"), hits=["a", "b"])) == [1.0, 1.0]


def test_raw_text_reaches_the_chunks_that_have_its_lines() -> None:
    lines = ["(2024-05-06) Ann: I moved to Rome.", "something else"]
    assert evidence_reached(SAMPLE, episode(shown=lines)) == [1.0, 0.5]
    assert evidence_reached(SAMPLE, episode(shown=[chunk.text for chunk in SAMPLE.chunks])) == [1.0, 1.0]


def test_a_system_that_shows_nothing_of_known_origin_is_not_judged() -> None:
    assert evidence_reached(SAMPLE, episode()) == []
    assert evidence_reached(SAMPLE, episode(shown=["words of its own"])) == []


def test_a_session_in_several_chunks_is_reached_by_any_of_them() -> None:
    chunks = tuple(Chunk(text=chunk.text, index=chunk.index, source_ids=("D1:1",)) for chunk in SAMPLE.chunks)
    cut = replace(SAMPLE, chunks=chunks)
    for number in (0, 1):
        assert evidence_reached(cut, episode(step(number, "a"), hits=["a"])) == [1.0, 1.0]


def test_an_empty_line_comes_from_nowhere() -> None:
    chunks = tuple(replace(chunk, text=f"{chunk.text}\n\nBye {chunk.index}.") for chunk in SAMPLE.chunks)
    spaced = replace(SAMPLE, chunks=chunks)
    assert evidence_reached(spaced, episode(shown=[chunks[0].text])) == [1.0, 0.5]


def test_a_line_beside_facts_reaches_the_chunk_that_has_it() -> None:
    lived = episode(step(0, "a"), hits=["a", "l"], shown=["a", "(2024-05-06) Bo: I keep a parrot."])
    assert evidence_reached(SAMPLE, lived) == [1.0, 1.0]
    assert evidence_reached(SAMPLE, episode(step(0, "a"), hits=["a"], shown=["a"])) == [1.0, 0.5]


def test_a_sentence_of_running_text_reaches_its_chunk() -> None:
    chunks = (Chunk(text="Bo keeps a parrot. It is green.", index=0, source_ids=("D1:1",)), SAMPLE.chunks[1])
    running = replace(SAMPLE, chunks=chunks)
    lived = episode(step(1, "a"), hits=["l"], shown=["Bo keeps a parrot."])
    assert evidence_reached(running, lived) == [1.0, 0.5]


def test_a_dated_line_reaches_its_chunk() -> None:
    first = replace(SAMPLE.chunks[0], text="[Monday]\nAnn: I moved to Rome yesterday.", time=NOW)
    dated = replace(SAMPLE, chunks=(first, SAMPLE.chunks[1]))
    line = "(2024-01-01) Ann: I moved to Rome yesterday (31 December 2023)."
    assert evidence_reached(dated, episode(shown=[line])) == [1.0, 0.5]
