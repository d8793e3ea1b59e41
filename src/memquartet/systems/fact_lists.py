"""Lists of facts as extraction prompts of the baselines ask for them: `{"facts": ["…", {"speaker": "…", "text": "…"}]}`."""

from __future__ import annotations

from dataclasses import dataclass

from memquartet.agents.base import Reading
from memquartet.agents.extractor import MAX_FACT_CHARACTERS, MAX_FACTS
from memquartet.core.trajectory import TurnStatus
from memquartet.llm.parsing import parse_json
from memquartet.llm.protocols import Completion, JsonSchema

_TEXT = {"type": "string"}
FACTS_SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {"facts": {"type": "array", "items": _TEXT, "maxItems": 64}},
    "required": ["facts"],
    "additionalProperties": False,
}
SPOKEN_FACTS_SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"speaker": {"type": "string"}, "text": _TEXT},
                "required": ["speaker", "text"],
                "additionalProperties": False,
            },
            "maxItems": 64,
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFact:
    """A fact, and whose it is; "" when nobody is named."""

    text: str
    speaker: str = ""


def read_facts(completion: Completion) -> Reading[tuple[StatedFact, ...]]:
    """The facts of an output, without repetitions; what is no fact is named in the errors.

    Where the output was cut at the token limit its last fact is half a sentence, and dropped.
    """
    outcome = parse_json(completion.text)
    items = outcome.value.get("facts") if isinstance(outcome.value, dict) else outcome.value
    if not isinstance(items, list):
        problem = outcome.errors or ('expected {"facts": [...]}',)
        return Reading(value=None, status=TurnStatus.INVALID, errors=problem)
    errors = list(outcome.errors)
    facts: dict[StatedFact, None] = {}
    for item in items[:MAX_FACTS]:
        fact = _fact(item)
        if fact is None:
            errors.append(f"not a short sentence: {str(item)[:80]!r}")
        else:
            facts[fact] = None
    if completion.finish_reason == "length" and facts:
        facts.popitem()
        errors.append("the output was cut; its last fact was dropped")
    return Reading(
        value=tuple(facts),
        status=TurnStatus.REPAIRED if errors else TurnStatus.OK,
        parsed=[fact.text for fact in facts],
        errors=tuple(errors),
    )


def _fact(item: object) -> StatedFact | None:
    fields: dict[str, object] = item if isinstance(item, dict) else {"text": item}
    text, speaker = fields.get("text", fields.get("fact")), fields.get("speaker", "")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_FACT_CHARACTERS:
        return None
    return StatedFact(
        text=" ".join(text.split()),
        speaker=" ".join(speaker.split())[:80] if isinstance(speaker, str) else "",
    )
