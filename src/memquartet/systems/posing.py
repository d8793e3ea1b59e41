"""How a question is put to the answerer: as it stands, or in the words that its benchmark prescribes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memquartet.agents.answerer import Answerer
from memquartet.benchmarks.memoryagentbench.sources import Family
from memquartet.benchmarks.memoryagentbench.templates import query_prompt
from memquartet.core.samples import Question, Sample
from memquartet.systems.prompting import prompt_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Posing:
    """A sample's way to ask. Retrieval always goes by the question alone, never by the instructions around it.

    `family` and `answer_tokens` are what MemoryAgentBench's samples carry in `extra`; other samples have neither, and
    the answerer asks in its own words.
    """

    family: Family | None = None
    answer_tokens: int | None = None

    @classmethod
    def of(cls, sample: Sample) -> Posing:
        """What the sample prescribes."""
        family, tokens = sample.extra.get("family"), sample.extra.get("answer_tokens")
        return cls(
            family=Family(str(family)) if family in list(Family) else None,
            answer_tokens=tokens if isinstance(tokens, int) else None,
        )

    def pose(self, question: Question) -> Question:
        """The question with its instructions."""
        if self.family is None:
            return question
        return replace(question, text=query_prompt(self.family, question.text))

    def answerer(self, answerer: Answerer) -> Answerer:
        """The answerer with the room and the manners that the sample asks for.

        "As few words as possible", as our own prompt has it, would contradict a benchmark that wants a summary.
        """
        settings = answerer.settings
        if self.answer_tokens is not None:
            settings = replace(settings, sampling=replace(settings.sampling, max_tokens=self.answer_tokens))
        if self.family is not None:
            settings = replace(settings, prompt=prompt_text("posed"))
        return replace(answerer, settings=settings)
