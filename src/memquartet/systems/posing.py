"""How a sample's text is handed over and its questions are put: plainly, or in the words that its benchmark prescribes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from memquartet.agents.answerer import Answerer
from memquartet.benchmarks.memoryagentbench.sources import Family
from memquartet.benchmarks.memoryagentbench.templates import memorize_prompt, query_prompt
from memquartet.core.samples import Question, Sample
from memquartet.llm.protocols import ChatModel
from memquartet.systems.prompting import prompt_text
from memquartet.text.tokens import default_counter

ANSWER_TOKENS = "answer_tokens"
"""What bounds the replies, in the `extra` of a question or of its sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posing:
    """A sample's way to ask. Retrieval always goes by the question alone, never by the instructions around it.

    `family` and `answer_tokens` are what a sample carries in `extra`; a question's own limit comes before that of its
    sample. `dated` questions are asked with their date, as LongMemEval's are. Samples with none of it are asked in the
    answerer's own words, and so are all samples where the model was taught these (`taught`): it never saw others.
    """

    family: Family | None = None
    answer_tokens: int | None = None
    dated: bool = False
    taught: bool = False

    @classmethod
    def of(cls, sample: Sample, model: ChatModel) -> Posing:
        """What the sample prescribes to this model."""
        taught = model.prompts is not None
        return cls(
            family=None if taught else _family(sample),
            answer_tokens=_limit(sample.extra),
            dated=sample.extra.get("dated") is True,
            taught=taught,
        )

    def pose(self, question: Question) -> Question:
        """The question with its instructions: those of its family, or a system message of its own.

        In a dialogue `extra["said"]` holds what was said after the question, a text for each turn.
        """
        if self.family is not None:
            return replace(question, text=query_prompt(self.family, question.text))
        date = f"{question.time:%Y-%m-%d %H:%M}" if self.dated and question.time else ""
        parts = [question.extra.get("system"), f"Today is {date}." if date else "", question.text]
        said = question.extra.get("said")
        parts += said if isinstance(said, tuple) else ()
        return replace(question, text="\n\n".join(str(part) for part in parts if part))

    def limit(self, question: Question) -> int | None:
        """Tokens that the benchmark allows a reply; None where it says nothing."""
        own = _limit(question.extra)
        return self.answer_tokens if own is None else own

    def clamp(self, question: Question, text: str) -> str:
        """A reply within its bound, for a system whose generation has room for more than the answer."""
        tokens = self.limit(question)
        return text if tokens is None else default_counter().truncate(text, tokens)

    def answerer(self, answerer: Answerer, question: Question, *, at_least: int = 0) -> Answerer:
        """The answerer with the room and the manners that the question asks for.

        "As few words as possible", as our own prompt has it, would contradict a benchmark that wants a summary; a
        question that brings its own instructions is therefore asked with a plain prompt and exactly the official
        room. Others keep our prompt, and their room is the smaller of ours and the official one. `at_least` widens a
        bound for what is no answer: see `clamp`.
        """
        settings, tokens = answerer.settings, self.limit(question)
        tokens = tokens if tokens is None else max(tokens, at_least)
        if self.taught or (self.family is None and not question.extra.get("instructed")):
            return replace(answerer, settings=settings if tokens is None else settings.within(tokens))
        if tokens is not None:
            settings = replace(settings, sampling=replace(settings.sampling, max_tokens=tokens))
        return replace(answerer, settings=replace(settings, prompt=prompt_text("posed")))


def handed_over(sample: Sample) -> Sample:
    """The sample with its chunks worded as MemoryAgentBench hands them to an agent, where the sample asks for that.

    `extra["memorize"]` asks for it. The official code dates the exchange by the clock of the run; here it has the
    chunk's own date, or none, so that equal runs read equal texts.
    """
    family = _family(sample)
    if family is None or not sample.extra.get("memorize"):
        return sample
    chunks = tuple(
        replace(
            chunk,
            text=memorize_prompt(family, chunk.text, f"{chunk.time:%Y-%m-%d %H:%M}" if chunk.time else ""),
        )
        for chunk in sample.chunks
    )
    return replace(sample, chunks=chunks)


def limited(sample: Sample, tokens: int) -> Sample:
    """The sample with no reply longer than `tokens`, whatever its benchmark allows."""
    own = _limit(sample.extra)
    return replace(
        sample,
        questions=tuple(
            replace(
                question,
                extra={**question.extra, ANSWER_TOKENS: min(tokens, _limit(question.extra) or own or tokens)},
            )
            for question in sample.questions
        ),
    )


def _family(sample: Sample) -> Family | None:
    name = sample.extra.get("family")
    return Family(str(name)) if name in list(Family) else None


def _limit(extra: Mapping[str, object]) -> int | None:
    tokens = extra.get(ANSWER_TOKENS)
    return tokens if isinstance(tokens, int) else None
