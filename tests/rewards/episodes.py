"""Hand-made episodes: each fact says what the manager did with it, and a real memory carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.core.memory import Delete, EntryId, Fact, Insert, MemoryOp, MemoryState, Noop, Update
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import (
    Answer,
    Decision,
    Episode,
    FactOutcome,
    Failure,
    MemoryStep,
    Role,
    Trajectory,
    Turn,
    TurnStatus,
)
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory

BROKEN = Failure(kind="ModelServerError", message="gone")


@dataclass
class World:
    """An episode in the making, on a memory of its own."""

    memory: Memory = field(default_factory=lambda: Memory(embedder=NoEmbedder()))
    steps: list[MemoryStep] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def step(
        self,
        *facts: FactOutcome,
        unimportant: Sequence[str] = (),
        failure: Failure | None = None,
        turns: Sequence[Turn] | None = None,
    ) -> World:
        made = [turn(Role.EXTRACTOR), *([turn(Role.MANAGER)] if facts else [])]
        self.steps.append(
            MemoryStep(
                index=len(self.steps),
                facts=(
                    *(outcome.fact for outcome in facts),
                    *(Fact(text=text, important=False) for text in unimportant),
                ),
                outcomes=facts,
                state=MemoryState(),
                seq=self.memory.seq,
                trajectory=Trajectory(turns=tuple(made if turns is None else turns), failure=failure),
            )
        )
        return self

    def add(self, text: str, content: str | None = None, *, defaulted: bool = False) -> FactOutcome:
        return self._outcome(text, Decision.ADD, Insert(content=content or text), defaulted=defaulted)

    def update(self, text: str, entry_id: str, content: str | None = None) -> FactOutcome:
        return self._outcome(
            text, Decision.UPDATE, Update(entry_id=EntryId(entry_id), content=content or text)
        )

    def delete(self, text: str, entry_id: str) -> FactOutcome:
        return self._outcome(text, Decision.DELETE, Delete(entry_id=EntryId(entry_id)))

    def noop(self, text: str, entry_id: str | None = None, candidates: tuple[str, ...] = ()) -> FactOutcome:
        op = Noop(entry_id=None if entry_id is None else EntryId(entry_id))
        return self._outcome(text, Decision.NOOP, op, candidates=candidates)

    def answer(
        self, text: str | None, *hits: str, question: str | None = None, failure: Failure | None = None
    ) -> World:
        self.answers.append(
            Answer(
                question_id=question or f"q{len(self.answers)}",
                text=text,
                hits=tuple(map(EntryId, hits)),
                trajectory=Trajectory(turns=() if failure else (turn(Role.ANSWERER),), failure=failure),
            )
        )
        return self

    def episode(self) -> Episode:
        return Episode(sample_id="s", system="quartet", steps=tuple(self.steps), answers=tuple(self.answers))

    def _outcome(
        self,
        text: str,
        decision: Decision,
        op: MemoryOp,
        *,
        defaulted: bool = False,
        candidates: tuple[str, ...] = (),
    ) -> FactOutcome:
        return FactOutcome(
            fact=Fact(text=text, important=True),
            candidates=tuple(map(EntryId, candidates)),
            decision=decision,
            receipts=tuple(self.memory.apply([op])),
            defaulted=defaulted,
        )


def turn(role: Role, status: TurnStatus = TurnStatus.OK, attempt: int = 0) -> Turn:
    return Turn(role=role, messages=(), output="", status=status, attempt=attempt)


def question(number: int, *answers: str, evidence: tuple[str, ...] = (), **extra: object) -> Question:
    return Question(
        question_id=f"q{number}", text=f"question {number}?", answers=answers, evidence=evidence, extra=extra
    )


def sample(chunks: Sequence[str], *questions: Question, metric: str = "exact_match") -> Sample:
    """Chunk i has the source id "d{i}"."""
    return Sample(
        sample_id="s",
        chunks=tuple(Chunk(text=text, index=i, source_ids=(f"d{i}",)) for i, text in enumerate(chunks)),
        questions=questions,
        metric=metric,
    )
