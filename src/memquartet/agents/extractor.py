"""The fact extractor: new text and the current query in, important and unimportant facts out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from memquartet.agents.base import AgentSettings, Reading, Reply, Task, ask, render_prompt, shipped_prompt
from memquartet.agents.rendering import as_read
from memquartet.core.memory import FACT_TYPES, Fact, MemoryType
from memquartet.core.samples import Chunk
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.llm.parsing import parse_json
from memquartet.llm.protocols import ChatModel, Completion, JsonSchema, Sampling

MAX_FACTS = 256
"""Facts of one kind accepted from one output; more is reported and dropped."""
MAX_FACT_CHARACTERS = 400
"""A fact is one short sentence; a longer one is reported and dropped."""
CHARACTERS_PER_FACT = 30
"""A chunk of n characters holds at most 4 + n / 30 facts of a kind: what a small model repeats is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactExtractor:
    """Asks a model for the facts of a chunk."""

    model: ChatModel
    settings: AgentSettings = field(default_factory=lambda: AgentSettings(sampling=Sampling(max_tokens=2048)))

    async def extract(self, chunk: Chunk, *, task: Task) -> Reply[tuple[Fact, ...]]:
        """The facts of a chunk in the order of the output, without exact repetitions.

        The value is None when no output was usable: the chunk then leaves no trace in memory, and the turn
        says why.
        """
        text = as_read(chunk)
        values = {
            "query": f"Question in mind: {chunk.query}\n" if chunk.query else "",
            "time": f"Date: {chunk.time:%Y-%m-%d %H:%M}\n" if chunk.time else "",
            "text": text,
        }
        messages = render_prompt(self.settings.prompt or shipped_prompt("extractor"), values)
        return await ask(
            self.model,
            Role.EXTRACTOR,
            messages,
            read_extraction,
            task=task,
            settings=self.settings.within(128 + len(text) // 3),
            schema=extraction_schema(len(text)),
        )


def extraction_schema(characters: int) -> JsonSchema:
    """JSON schema of the facts of a chunk with this many characters."""
    facts = {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": min(MAX_FACTS, 4 + characters // CHARACTERS_PER_FACT),
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(EXTRACTION_KEYS, facts),
        "required": list(EXTRACTION_KEYS),
        "additionalProperties": False,
    }


def read_extraction(completion: Completion) -> Reading[tuple[Fact, ...]]:
    """Read `{"semantic": […], "episodic": […], "unimportant": […]}`.

    `important` is accepted for semantic, a missing list is an empty one, and an object with `fact` or `text` (and
    perhaps `type`) for a plain string. An object with none of the lists is invalid, and so is anything else.
    Where the output was cut at the token limit its last fact is half a sentence, and dropped.
    """
    outcome = parse_json(completion.text)
    if not isinstance(outcome.value, dict):
        problem = outcome.errors or ('expected a JSON object with "semantic", "episodic" and "unimportant"',)
        return Reading(value=None, status=TurnStatus.INVALID, errors=problem)
    known = [key for key in _KINDS if key in outcome.value]
    if not known:
        error = f'expected "semantic", "episodic" or "unimportant", got {sorted(map(str, outcome.value))[:8]}'
        return Reading(value=None, status=TurnStatus.INVALID, errors=(error,))
    errors = list(outcome.errors)
    facts: dict[str, Fact] = {}
    for key in known:
        for fact in _facts_of(key, outcome.value[key], errors):
            if fact.text in facts:
                errors.append(f"fact given twice: {fact.text[:80]!r}")
            facts.setdefault(fact.text, fact)
    if completion.finish_reason == "length" and facts:
        errors.append(f"the output was cut; dropped its last fact {facts.popitem()[0][:80]!r}")
    found = tuple(facts.values())
    return Reading(
        value=found,
        status=TurnStatus.REPAIRED if errors else TurnStatus.OK,
        parsed={key: [f.text for f in found if _kind_of(f) == key] for key in EXTRACTION_KEYS},
        errors=tuple(errors),
    )


EXTRACTION_KEYS = ("semantic", "episodic", "unimportant")
_KINDS = {
    "semantic": (True, MemoryType.SEMANTIC),
    "episodic": (True, MemoryType.EPISODIC),
    "important": (True, MemoryType.SEMANTIC),
    "unimportant": (False, MemoryType.SEMANTIC),
}


def _kind_of(fact: Fact) -> str:
    return fact.memory_type.value if fact.important else "unimportant"


def _facts_of(key: str, items: object, errors: list[str]) -> Iterator[Fact]:
    """The facts of one list; what is not a fact is named in `errors`."""
    important, memory_type = _KINDS[key]
    if not isinstance(items, list):
        errors.append(f'"{key}" must be a list of strings, got {type(items).__name__}')
        return
    if len(items) > MAX_FACTS:
        errors.append(f'"{key}" has {len(items)} facts; the first {MAX_FACTS} were kept')
    for item in items[:MAX_FACTS]:
        text, kind = _text_and_type(item, memory_type)
        if text is None or not text.strip():
            errors.append(f'"{key}" holds something that is not a sentence: {str(item)[:80]!r}')
            continue
        if len(text) > MAX_FACT_CHARACTERS:
            errors.append(
                f"a fact of {len(text)} characters was dropped: {text[:80]!r}; write short sentences"
            )
            continue
        yield Fact(text=" ".join(text.split()), important=important, memory_type=kind)


def _text_and_type(item: object, default: MemoryType) -> tuple[str | None, MemoryType]:
    if isinstance(item, str):
        return item, default
    if isinstance(item, dict):
        text = item.get("fact", item.get("text"))
        kind = item.get("type", default)
        return (
            text if isinstance(text, str) else None,
            MemoryType(kind) if kind in FACT_TYPES else default,
        )
    return None, default
