"""Samples and models for tests of the runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memquartet.core.samples import Chunk, Question, Sample
from memquartet.llm.protocols import ChatModel
from memquartet.memory.embedders import NoEmbedder
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.registry import make_system


def samples(number: int = 2, questions: int = 3) -> list[Sample]:
    """Samples whose text says who owns what; the right answer to question k is "thing k"."""
    return [
        Sample(
            sample_id=f"s{n}",
            chunks=(Chunk(text="\n".join(f"Person{k} owns thing {k}." for k in range(questions)), index=0),),
            questions=tuple(
                Question(
                    question_id=f"q{k}",
                    text=f"What does Person{k} own in sample {n}?",
                    answers=(f"thing {k}",),
                    category="odd" if k % 2 else "even",
                    evidence=("D1",),
                )
                for k in range(questions)
            ),
        )
        for n in range(number)
    ]


def system(model: ChatModel, name: str = "rag_bm25", **settings: object) -> MemorySystem:
    """A system without embeddings."""
    return make_system(name, model, embedder=NoEmbedder(), settings=settings)


def names(folder: Path) -> Sequence[str]:
    """The files of a folder, in order."""
    return sorted(path.name for path in folder.iterdir())
