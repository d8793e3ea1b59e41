"""Newest-fact accuracy: does a search over stored facts find the value that holds now, or one that no longer does?

FactConsolidation (MemoryAgentBench, Conflict_Resolution) lists numbered facts; of two that contradict each other the
one with the larger number holds. Its facts and questions are worded by MQuAKE's templates, so a fact's subject and
relation, and those that a question asks for, can be read off the text. Two memories are built through
`Memory.insert` and `Memory.update`, without a model:

- `append`: every fact is an entry, in order. Nothing is ever replaced.
- `maintained`: a fact about a subject and relation that the memory knows replaces that entry (a perfect conflict
  rule). What a perfect extractor and manager would leave behind.

The number before a fact is not stored: in a memory the order of writing says what is newer.

For every single-hop question whose fact is found: `newest@k` is 1 when the fact with the newest value is among the
first k hits. For the questions with a contradiction also `stale@k`, 1 when an outdated value of the same subject and
relation is among them, and `newest_before_stale`, 1 when the newest is found before any outdated one.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ranking import Row, methods, summaries

from memquartet.benchmarks.reading import read_records
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.scoring.answers import normalize

CUTS = (1, 5, 10)
_NUMBERED = re.compile(r"\d+\. (.+?)\.?")
Key = tuple[str, str]
"""Wording of the relation, and subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """MQuAKE's wordings: of statements, the most specific first, and of questions with their statement's wording."""

    statements: Sequence[tuple[str, re.Pattern[str]]]
    questions: Sequence[tuple[str, re.Pattern[str]]]

    @classmethod
    def load(cls, folder: Path) -> Templates:
        """Read the two files of `trex_triples`."""
        clozes: dict[str, str] = _read(folder / "mquake_cloze_templates.json")
        questions: dict[str, str] = _read(folder / "mquake_question_templates.json")
        # "The [X] is __" fits many statements, "The capital of [X] is __" but those it is for.
        wordings = sorted(set(clozes.values()), key=len, reverse=True)
        return cls(
            statements=[(one, _pattern(one)) for one in wordings],
            questions=[(clozes[relation], _pattern(text)) for relation, text in questions.items()],
        )

    def statement(self, text: str) -> tuple[Key, str] | None:
        """What a fact says: its key and value; None when no template fits."""
        for wording, pattern in self.statements:
            if found := pattern.fullmatch(text):
                return (wording, found["x"]), found["y"]
        return None

    def asked(self, question: str) -> list[Key]:
        """The keys that a question may ask for; two relations share a wording."""
        matches = ((wording, pattern.fullmatch(question)) for wording, pattern in self.questions)
        return [(wording, found["x"]) for wording, found in matches if found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A memory, and for each key the entry of each value, oldest first."""

    memory: Memory
    entries: Mapping[Key, list[tuple[str, str]]]


def rows(path: Path, templates: Templates, embedder: Embedder) -> Iterator[Row]:
    """A row for each single-hop record, kind of memory and method."""
    for record in read_records(path):
        source = _source(record.value)
        questions, context = record.value["questions"], str(record.value["context"])
        if "_sh_" not in source or not isinstance(questions, list):
            continue
        facts = [found[1] for line in context.splitlines() if (found := _NUMBERED.fullmatch(line.strip()))]
        answers = [str(golds[0]) for golds in _lists(record.value["answers"])]
        for kind in ("append", "maintained"):
            stored = _store(facts, templates, embedder, replace=kind == "maintained")
            known = _known(questions, answers, templates, _store_of_all(facts, templates))
            for method in methods(embedder):
                values = _measure(stored, known, method)
                yield {
                    "record": source,
                    "facts": len(facts),
                    "entries": len(stored.memory),
                    "questions": len(questions),
                    "fact_found": len(known),
                    "memory": kind,
                    "method": str(method),
                    **summaries(values),
                }


def _measure(
    stored: Stored, known: Sequence[tuple[str, Key, bool]], method: SearchMethod
) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for question, key, contradicted in known:
        *_, (newest, value) = stored.entries[key]
        stale = {entry for entry, old in stored.entries[key] if old != value}
        hits = [hit.entry.entry_id for hit in stored.memory.search(question, max(CUTS), method=method)]
        for k in CUTS:
            values[f"newest@{k}"].append(float(newest in hits[:k]))
            if contradicted:
                values[f"stale@{k}"].append(float(not stale.isdisjoint(hits[:k])))
        if contradicted:
            first = next((entry for entry in hits if entry == newest or entry in stale), None)
            values["newest_before_stale"].append(float(first == newest))
    return values


def _store_of_all(facts: Sequence[str], templates: Templates) -> dict[Key, list[str]]:
    """Every value that was ever said, by key, oldest first."""
    said: dict[Key, list[str]] = defaultdict(list)
    for text in facts:
        if meant := templates.statement(text):
            said[meant[0]].append(meant[1])
    return said


def _known(
    questions: Sequence[str], answers: Sequence[str], templates: Templates, said: Mapping[Key, list[str]]
) -> list[tuple[str, Key, bool]]:
    """The questions whose newest fact is the official answer, with the fact's key and whether another contradicts it."""
    known = []
    for question, answer in zip(questions, answers, strict=True):
        keys = [key for key in templates.asked(question) if key in said]
        key = next((key for key in keys if normalize(said[key][-1]) == normalize(answer)), None)
        if key:
            known.append((question, key, len(set(said[key])) > 1))
    return known


def _store(facts: Sequence[str], templates: Templates, embedder: Embedder, *, replace: bool) -> Stored:
    memory = Memory(embedder=embedder)
    entries: dict[Key, list[tuple[str, str]]] = defaultdict(list)
    for text in facts:
        meant = templates.statement(text)
        if meant is None:
            memory.insert("semantic", f"{text}.")
            continue
        key, value = meant
        if replace and entries[key]:
            entry_id = entries[key][-1][0]
            memory.update(entry_id, f"{text}.")
            entries[key] = [(entry_id, value)]
        else:
            entries[key].append((memory.insert("semantic", f"{text}.").entry_id, value))
    return Stored(memory=memory, entries=entries)


def _pattern(template: str) -> re.Pattern[str]:
    text = re.escape(template).replace(re.escape("[X]"), "(?P<x>.+?)").replace("__", "(?P<y>.+)")
    return re.compile(text)


def _read(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _source(record: Mapping[str, object]) -> str:
    metadata = record["metadata"]
    return str(metadata.get("source")) if isinstance(metadata, Mapping) else ""


def _lists(value: object) -> list[list[object]]:
    return value if isinstance(value, list) else []
