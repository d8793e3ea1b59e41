"""What an agent is told: one wording to hand it a chunk and one to ask it a question, for each family of sources.

The sentences are ours and say what the official ones say; a model may answer them a little differently, so compare
systems under one wording. Braces in a chunk or a question are plain text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memquartet.benchmarks.memoryagentbench.sources import Family


class AgentKind(StrEnum):
    """How an agent comes to know the context when it is asked."""

    LONG_CONTEXT = "long_context"
    """It stands in the prompt."""
    RAG = "rag"
    """Retrieved chunks stand in the prompt."""
    AGENTIC_MEMORY = "agentic_memory"
    """The agent searches a memory of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wording:
    """What the chunks are, what to do with the question, and what stands before the answer."""

    material: str
    task: str
    cue: str = ""
    known: str = "what you have memorized"


SYSTEM = "You are an assistant who reads text, keeps it in memory and answers questions about it later."

_PLAIN = "Reply with the answer alone, without any other words."
_WORDINGS = {
    Family.DOCUMENTS: _Wording(material="documents", task=f"answer the question. {_PLAIN}", cue="Answer:"),
    Family.NEEDLES: _Wording(material="documents", task=f"answer the question. {_PLAIN}", cue="Answer:"),
    Family.NOVEL_QA: _Wording(
        material="part of a book", task=f"answer the question. {_PLAIN}", cue="Answer:"
    ),
    Family.CHATS: _Wording(
        material="chats between a user and an assistant",
        task="answer the question about the user's chats with you as briefly as you can, with a single phrase if that"
        " is enough.",
        cue="Answer:",
    ),
    Family.EVENTS: _Wording(
        material="excerpt of a book",
        task="do the following task.",
        cue="The next event is:",
    ),
    Family.CLASSIFICATION: _Wording(
        material="labelled examples",
        known="the mapping from texts to number labels that the examples show",
        task='give the text below its number label. Write "label: " and the number, nothing else.',
        cue="label:",
    ),
    Family.RECOMMENDATION: _Wording(
        material="dialogues between users and a recommender of movies",
        task="act as the recommender and recommend 20 movies for the conversation below. Write them as a numbered list"
        ' ("1.first movie", "2.second movie", and so on), one a line, without further sentences.',
        cue="The recommendations are:",
    ),
    Family.SUMMARY: _Wording(
        material="part of a book", task="summarize the book.", cue="Summary of the book:"
    ),
    Family.DETECTIVE: _Wording(
        material="part of a novel",
        task="answer the question below. Keep exactly to the output format that it asks for.",
    ),
    Family.FACTS: _Wording(
        material="numbered facts",
        known="the pool of facts that you have memorized",
        task="answer the question as a knowledge base would. Each fact begins with its serial number, and of facts that"
        " contradict each other the one with the larger number is newer and holds. Answer from the pool only, even where"
        " the real world differs, and as briefly as possible.\n\nAn example:\nQuestion: According to the pool, who is"
        " the present king of Norway?\nAnswer: Elvis Presley",
        cue="Answer:",
    ),
}


def memorize_prompt(family: Family, chunk: str, when: str = "") -> str:
    """A chunk as an exchange in which a user hands it over and an assistant takes note; `when` dates it."""
    material = _WORDINGS[family].material
    dated = f" on {when}" if when else ""
    return (
        f"Dialogue of a user with an assistant{dated}\n<User> Please memorize this ({material}):\n{chunk}\n"
        "<Assistant> I have memorized it and will answer your questions about it."
    )


def query_prompt(family: Family, question: str, kind: AgentKind = AgentKind.RAG) -> str:
    """A question with the task's instructions, for one kind of agent."""
    wording = _WORDINGS[family]
    if kind is AgentKind.AGENTIC_MEMORY:
        opening = f"Search your archival memory and, from {wording.known},"
    else:
        opening = f"From {wording.known},"
    asked = f"Question: {question}" if wording.cue == "Answer:" else question
    return "\n\n".join(part for part in (f"{opening} {wording.task}", asked, wording.cue) if part)
