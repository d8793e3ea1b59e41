"""The oracle team: four agents that know what is true in a generated sample.

They speak through the same episode as every model and see the same prompts, so their turns are perfect examples to
learn from, and their score is the most that the pipeline around the models lets through. The extractor knows what
each chunk says; manager, summarizer and answerer reason from what is shown to them alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memquartet.agents.answerer import SEARCH_OFFER, SEARCHED, Answerer
from memquartet.agents.extractor import EXTRACTION_KEYS, FactExtractor
from memquartet.agents.manager import MemoryManager
from memquartet.agents.rendering import as_asked, as_read
from memquartet.agents.summarizer import Summarizer
from memquartet.agents.team import Team
from memquartet.benchmarks.worlds.script import right_decision
from memquartet.benchmarks.worlds.truth import (
    Asked,
    FactKind,
    Form,
    TrueFact,
    answer_from,
    asked_by,
    truth_of,
)
from memquartet.core.messages import Message
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision, Role, Turn
from memquartet.llm.protocols import ChatRequest, Completion
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder
from memquartet.rollout.episode import DEFAULT_SETTINGS, EpisodeSettings, Progress, run_episode
from memquartet.rollout.lines import lines_of, source_of
from memquartet.systems.protocols import Session
from memquartet.systems.quartet import Quartet

UNKNOWN = "no information available"
SUMMARY_HEAD = "Lately they spoke of "
SUMMARY_LENGTH = 6
"""Remarks that a summary keeps."""

_FACT = re.compile(r"Fact (\d+): (.*)")
_SHOWN = re.compile(r"(?:\[(\d+)\]|-) (?:\(\d{4}-\d\d-\d\d\) )?(.*)")


def oracle_team(sample: Sample) -> Team:
    """Four agents that know a generated sample's truth.

    Raises:
        InputError: the sample carries no truth.
    """
    knowledge = Knowledge.of(sample)
    return Team(
        extractor=FactExtractor(model=OracleModel(Role.EXTRACTOR, knowledge)),
        manager=MemoryManager(model=OracleModel(Role.MANAGER, knowledge)),
        summarizer=Summarizer(model=OracleModel(Role.SUMMARIZER, knowledge)),
        answerer=Answerer(model=OracleModel(Role.ANSWERER, knowledge)),
    )


async def perfect_turns(
    sample: Sample, memory: Memory, *, settings: EpisodeSettings = DEFAULT_SETTINGS
) -> tuple[Turn, ...]:
    """The turns of an episode in which every role does what is right: `messages` is the prompt, `output` the lesson.

    Args:
        sample: a generated one.
        memory: an empty memory, set up as it will be in training.
        settings: retrieval, as it will be in training.

    Raises:
        InputError: the sample carries no truth.
    """
    return (await run_episode(sample, oracle_team(sample), memory, settings=settings)).turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The oracle team as a memory system: the upper bound of a table. It reads generated samples only."""

    embedder: Embedder
    settings: EpisodeSettings = DEFAULT_SETTINGS
    name: str = "oracle"

    async def read(self, sample: Sample, *, seed: int, on_progress: Progress) -> Session:
        """Read and remember, all of it right.

        Raises:
            InputError: the sample carries no truth.
        """
        quartet = Quartet(team=oracle_team(sample), embedder=self.embedder, settings=self.settings)
        return await quartet.read(sample, seed=seed, on_progress=on_progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """A sample's truth, to look up by the words in a prompt."""

    by_chunk: Mapping[str, Sequence[TrueFact]]
    by_text: Mapping[str, TrueFact]
    by_line: Mapping[str, Sequence[TrueFact]]
    order: Mapping[str, int]
    sample: Sample

    @classmethod
    def of(cls, sample: Sample) -> Knowledge:
        """Read a sample's truth."""
        facts = truth_of(sample)
        by_chunk = {
            chunk.index: [fact for fact in facts if fact.chunk == chunk.index] for chunk in sample.chunks
        }
        by_line: dict[str, list[TrueFact]] = {}
        for chunk in sample.chunks:
            lines = lines_of(as_read(chunk))
            for fact in by_chunk[chunk.index]:
                if (source := source_of(fact.text, lines)) is not None:
                    by_line.setdefault(lines[source], []).append(fact)
        return cls(
            by_chunk={as_read(chunk).strip(): by_chunk[chunk.index] for chunk in sample.chunks},
            by_line=by_line,
            by_text={fact.text: fact for fact in facts},
            order={fact.text: number for number, fact in enumerate(facts)},
            sample=sample,
        )

    def understood(self, lines: Sequence[str]) -> Iterator[tuple[str, TrueFact]]:
        """Short id (empty for a list item) and meaning of the lines that show something known, a fact or a line."""
        for line in lines:
            if found := _SHOWN.fullmatch(line):
                fact = self.by_text.get(found[2])
                for meant in [fact] if fact else self.by_line.get(found[2], ()):
                    yield found[1] or "", meant


class OracleModel:
    """A chat model that plays one role by knowing the truth."""

    def __init__(self, role: Role, knowledge: Knowledge) -> None:
        """Choose the role and the sample."""
        self._knowledge = knowledge
        self._reply = {
            Role.EXTRACTOR: extract,
            Role.MANAGER: decide,
            Role.SUMMARIZER: summarize,
            Role.ANSWERER: answer,
        }[role]
        self.name = f"oracle:{role}"

    @property
    def prompts(self) -> None:
        """Any will do: it looks things up in the last message."""

    def fits(self, messages: Sequence[Message]) -> bool:
        """Always: it knows the truth, however long the prompt."""
        return True

    async def complete(self, request: ChatRequest) -> Completion:
        """Give the right reply to the last message."""
        return Completion(text=self._reply(request.messages[-1].content, self._knowledge), model=self.name)


def extract(prompt: str, knowledge: Knowledge) -> str:
    """The facts of the chunk in the prompt, each once; none of a text that is not the sample's."""
    facts = knowledge.by_chunk.get(prompt.partition("Text:\n")[2].strip(), ())
    return _compact(
        {key: list(dict.fromkeys(f.text for f in facts if f.kind == key)) for key in EXTRACTION_KEYS}
    )


def decide(prompt: str, knowledge: Knowledge) -> str:
    """One decision for each fact, about the newest memory of the same key that is shown anywhere."""
    lines = prompt.splitlines()
    shown = list(knowledge.understood(lines))
    decisions = []
    for line in lines:
        if found := _FACT.fullmatch(line):
            decision = _decision(knowledge.by_text.get(found[2]), shown, knowledge)
            decisions.append({"fact": int(found[1]), **decision})
    return _compact({"decisions": decisions})


def _decision(
    new: TrueFact | None, shown: Sequence[tuple[str, TrueFact]], knowledge: Knowledge
) -> dict[str, object]:
    """What to do about a fact; one whose words are not known is stored."""
    if new is None:
        return {"op": Decision.ADD}
    same = [one for one in shown if one[1].key == new.key]
    if not same:
        return {"op": Decision.ADD if new.value else Decision.NOOP}
    short, old = max(same, key=lambda one: knowledge.order[one[1].text])
    decision = right_decision(old.value, new.value)
    return {"op": decision, "id": short, **({"text": ""} if decision is Decision.DELETE else {})}


def summarize(prompt: str, knowledge: Knowledge) -> str:
    """What was spoken of, the last few remarks, newest last."""
    before, _, remarks = prompt.partition("\n\nNew remarks:\n")
    gists = _gists(before)
    for _, fact in knowledge.understood(remarks.splitlines()):
        gists = [gist for gist in gists if gist != fact.gist] + [fact.gist]
    return f"{SUMMARY_HEAD}{', '.join(gists[-SUMMARY_LENGTH:])}."


def answer(prompt: str, knowledge: Knowledge) -> str:
    """What the shown memories, or for a recent remark the summary, say; else a search that leads on, if one does."""
    shown, _, text = prompt.rpartition("\n\nQuestion: ")
    question = next((q for q in knowledge.sample.questions if as_asked(q).text == text.strip()), None)
    if question is None:
        return UNKNOWN
    asked = asked_by(question)
    if asked.form is Form.RECENT:
        return (_gists(shown) or [UNKNOWN])[-1]
    facts = [
        fact for _, fact in knowledge.understood(shown.splitlines()) if fact.kind is not FactKind.UNIMPORTANT
    ]
    known = answer_from(facts, asked)
    if known or SEARCH_OFFER not in shown:
        return known or UNKNOWN
    query = next_query(facts, asked)
    made = shown.rpartition(SEARCHED)[2].partition("\n")[0].split("; ") if SEARCHED in shown else []
    return f"search: {query}" if query and query not in made else UNKNOWN


def next_query(facts: Sequence[TrueFact], asked: Asked) -> str | None:
    """What to look for when facts do not answer a question that joins several; None when a search cannot help.

    It is the name at which the walk along the relations stops, or the label of a date that is missing. A question
    about one fact has been searched for in its own words already.
    """
    current = {fact.key: fact.value for fact in facts}
    if asked.form is Form.FIRST:
        missing = (label for key, label in zip(asked.keys, asked.labels, strict=True) if key not in current)
        return next(missing, None)
    if asked.form is not Form.VALUE or len(asked.relations) < 2:
        return None
    name = asked.subject
    for relation in asked.relations:
        if (name, relation) not in current:
            return name or None
        name = current[name, relation]
    return None


def _gists(text: str) -> list[str]:
    """The remarks that a summary of ours names."""
    line = next((line for line in text.splitlines() if SUMMARY_HEAD in line), "")
    return [gist for gist in line.partition(SUMMARY_HEAD)[2].removesuffix(".").split(", ") if gist]


def _compact(value: object) -> str:
    # Without spaces: so the grammar of a local model has it, and it takes fewer tokens.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
