"""What the tests of the systems share: small samples, scripts by role, and one call that lives a sample through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Episode
from memquartet.llm.protocols import ChatRequest
from memquartet.memory.embedders import StaticEmbedder
from memquartet.memory.protocols import Embedder
from memquartet.systems.living import live
from memquartet.systems.registry import make_system
from memquartet.testing.models import Scripted, ScriptedModel

MAY = datetime(2023, 5, 8, tzinfo=UTC)
JUNE = datetime(2023, 6, 8, tzinfo=UTC)

# The head of each system message, by which a script knows who is asking.
HEADS = {
    "extractor": "You extract facts",
    "manager": "You keep a long-term memory true",
    "summarizer": "You keep a short summary",
    "answerer": "Answer the question from the memories",
    "posed": "You have read a text",
    "memagent": "You read a long text piece by piece",
    "mem_alpha": "You keep a memory of a text that comes piece by piece",
    "mem0_extract": "You pick out of a conversation what is worth remembering about the people",
    "mem0_update": "You keep a store of memories",
    "mem0_summary": "You keep a summary of a conversation",
    "r1_extract": "You pick out of a conversation what is worth remembering, and about whom",
    "r1_manage": "You manage a memory by four events",
    "r1_answer": "Answer a question from memories of a conversation",
    "rewrite": "You turn a question into sub-questions",
    "select": "You choose the documents",
}


def who(request: ChatRequest) -> str:
    """Which prompt a request was made from."""
    return next(name for name, head in HEADS.items() if request.messages[0].content.startswith(head))


def task_of(request: ChatRequest) -> str:
    """The last message: what the model is asked to do."""
    return request.messages[-1].content


def scripted(by_prompt: Mapping[str, Scripted | Callable[[str], Scripted]]) -> ScriptedModel:
    """A model that answers by the prompt it was called with."""

    def reply(request: ChatRequest) -> Scripted:
        said = by_prompt[who(request)]
        return said(task_of(request)) if callable(said) else said

    return ScriptedModel(reply)


def asked(model: ScriptedModel) -> list[str]:
    """The prompts of a model's calls, in order."""
    return [who(request) for request in model.requests]


def tasks(model: ScriptedModel, prompt: str) -> list[str]:
    """What one prompt's calls were given, in order."""
    return [task_of(request) for request in model.requests if who(request) == prompt]


def sample(
    *texts: str, questions: tuple[str, ...] = ("Where does Ann live?",), source: str = "", **extra: object
) -> Sample:
    """A sample with a chunk for each text, said on 8 May and later on 8 June."""
    return Sample(
        sample_id="s",
        chunks=tuple(
            Chunk(text=text, index=index, time=JUNE if index else MAY) for index, text in enumerate(texts)
        ),
        questions=tuple(
            Question(question_id=f"q{number}", text=text, answers=("Oslo",))
            for number, text in enumerate(questions)
        ),
        source=source,
        extra=extra,
    )


def run(
    name: str,
    model: ScriptedModel,
    given: Sample,
    *,
    embedder: Embedder | None = None,
    **settings: object,
) -> Episode:
    """Live a sample through with a system."""
    system = make_system(name, model, embedder=embedder or StaticEmbedder(), settings=settings)
    return asyncio.run(live(system, given))
