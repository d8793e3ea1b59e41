"""Words of the fact streams: relations with many wordings, names by type, and how people speak.

Training and validation have a file each and share no relation, wording or name. Names are invented, or real ones
out of T-REx triples: each real name belongs to one split, by its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from memquartet.benchmarks.reading import read_records
from memquartet.errors import InputError

MIN_NAMES = 5
"""A type with fewer real names than this keeps its invented ones."""
MAX_NAME_CHARACTERS = 40


class WorldSplit(StrEnum):
    """Which half of all words a world is made of."""

    TRAIN = "train"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One thing that a subject has one of. `[X]` stands for the subject, `[Y]` for the value.

    `subject` and `object` are types of names. `phrases` describe the value ("the capital of [X]"), for questions
    that join two relations; `wikidata` is the property's number, if it has one.
    """

    name: str
    subject: str
    object: str
    wikidata: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """How facts are said in a conversation.

    `{s}` stands for the speaker, `{fact}` for the statement as a sentence of its own, `{mid}` for the same within
    one. `deleted` and the second part of `small_talk` are facts themselves; a small talk's third part is its gist.
    `heads` stand above a list of facts, `numbers` before its lines (`{n}`). `asking` frames a question: `{q}`, or
    `{mid}` within a sentence.
    """

    stated: tuple[str, ...]
    changed: tuple[str, ...]
    repeated: tuple[str, ...]
    deleted: tuple[str, ...]
    speakers: tuple[str, ...]
    small_talk: tuple[tuple[str, str, str], ...]
    filler: tuple[str, ...]
    heads: tuple[str, ...]
    numbers: tuple[str, ...]
    asking: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a stream is made of; `names` are by type."""

    relations: tuple[Relation, ...]
    names: Mapping[str, tuple[str, ...]]
    speech: Speech

    @cached_property
    def members(self) -> Mapping[str, frozenset[str]]:
        """The names by type, to look up."""
        return {kind: frozenset(names) for kind, names in self.names.items()}

    @cached_property
    def joins(self) -> Sequence[tuple[Relation, Relation]]:
        """Pairs whose first relation's values can be subjects of the second, and can be described."""
        return [
            (one, two)
            for one in self.relations
            for two in self.relations
            if one.phrases and one.object == two.subject
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    parts: tuple[tuple[str, ...], ...]
    between: str

    def all(self) -> tuple[str, ...]:
        return tuple(self.between.join(chosen) for chosen in product(*self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One of the shipped files. `trex` says where a type's real names stand: a side of a property."""

    relations: tuple[Relation, ...]
    names: Mapping[str, _Names]
    trex: Mapping[str, tuple[tuple[str, str], ...]]
    speech: Speech


def files_of(split: WorldSplit) -> list[Traversable]:
    """The shipped files of a split, by name: `KIND_SPLIT.json`, `talk_SPLIT.md` and `talk_SPLIT_TOPICS.md`."""
    folder = resources.files("memquartet.benchmarks.worlds").joinpath("vocabulary")
    own = (file for file in folder.iterdir() if re.search(rf"_{split}[._]", file.name))
    return sorted(own, key=lambda file: file.name)


@cache
def _file(split: WorldSplit) -> _File:
    file = resources.files("memquartet.benchmarks.worlds").joinpath(f"vocabulary/stream_{split}.json")
    return TypeAdapter(_File).validate_json(file.read_text(encoding="utf-8"))


@cache
def built_in(split: WorldSplit) -> Vocabulary:
    """Invented names and the shipped wordings; needs no data."""
    file = _file(split)
    return Vocabulary(
        relations=file.relations,
        names={kind: names.all() for kind, names in file.names.items()},
        speech=file.speech,
    )


@cache
def from_trex(folder: Path, split: WorldSplit) -> Vocabulary:
    """Real names, and for training the wordings of T-REx's and MQuAKE's templates besides the shipped ones.

    Names that occur in the development records of MemoryAgentBench's conflict resolution, where these lie beside the folder, are left
    out. Types that T-REx does not have keep their invented names.

    Args:
        folder: with `trex_triples.jsonl.gz`, `relation_patterns.json`, `mquake_cloze_templates.json` and
            `mquake_question_templates.json`.
        split: which names.

    Raises:
        InputError: a file is missing or not in its form.
    """
    words = built_in(split)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in read_records(folder / "trex_triples.jsonl.gz"):
        relation = str(record.value.get("relation"))
        for side in ("subject", "object"):
            found[side, relation].append(str(record.value.get(side)))
    seen = _benchmark_text(folder.parent / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz")
    names = dict(words.names)
    taken = {
        name
        for other in WorldSplit
        if other is not split
        for group in built_in(other).names.values()
        for name in group
    }
    for kind, places in _file(split).trex.items():
        # Names that differ in case alone would make an old value as right as the new one.
        drawn = {_folded(name): name for place in places for name in found[place] if _usable(name)}
        usable = tuple(
            n for n in drawn.values() if split_of_name(n) is split and n not in seen and n not in taken
        )
        if len(usable) >= MIN_NAMES:
            names[kind] = usable
            taken.update(usable)
    relations = (
        words.relations if split is WorldSplit.VALIDATION else _with_templates(words.relations, folder)
    )
    return replace(words, relations=relations, names=names)


def _folded(name: str) -> str:
    return name.casefold().removeprefix("the ")


def _usable(name: str) -> bool:
    return (
        2 < len(name) <= MAX_NAME_CHARACTERS and not set(name) & set("[]{}\n") and any(map(str.isalnum, name))
    )


def split_of_name(name: str) -> WorldSplit:
    """The split that a name belongs to by its digest: one in five is for validation."""
    digest = hashlib.blake2b(_folded(name).encode(), digest_size=4).digest()
    return WorldSplit.VALIDATION if digest[0] % 5 == 0 else WorldSplit.TRAIN


def _benchmark_text(path: Path) -> str:
    """What the benchmark's development records say; nothing when they are not there."""
    if not path.exists():
        return ""
    return "\n".join(json.dumps(record.value, ensure_ascii=False) for record in read_records(path))


def _with_templates(relations: Sequence[Relation], folder: Path) -> tuple[Relation, ...]:
    """The relations with the folder's wordings added; one that fits two relations of a subject is left out."""
    patterns = _read_json(folder / "relation_patterns.json")
    clozes = _read_json(folder / "mquake_cloze_templates.json")
    questions = _read_json(folder / "mquake_question_templates.json")
    widened = []
    for relation in relations:
        cloze, question = clozes.get(relation.wikidata), questions.get(relation.wikidata)
        more = [cloze.replace("__", "[Y]") + "."] if isinstance(cloze, str) else []
        more += _sentences(patterns.get(relation.wikidata))
        asking = (*relation.questions, question) if isinstance(question, str) else relation.questions
        widened.append(
            replace(
                relation,
                statements=tuple(dict.fromkeys((*relation.statements, *more))),
                questions=tuple(dict.fromkeys(asking)),
            )
        )
    # The same words may say two things of subjects of two types, but not of one.
    said = Counter((one.subject, text) for one in widened for text in one.statements)
    asked = Counter((one.subject, text) for one in widened for text in one.questions)
    return tuple(
        replace(
            one,
            statements=tuple(text for text in one.statements if said[one.subject, text] == 1),
            questions=tuple(text for text in one.questions if asked[one.subject, text] == 1),
        )
        for one in widened
    )


def _sentences(patterns: object) -> Iterator[str]:
    """T-REx patterns that are whole sentences in the present or past."""
    for item in patterns if isinstance(patterns, list) else ():
        text = str(item.get("pattern", "")).replace(" .", ".") if isinstance(item, dict) else ""
        whole = text.endswith(".") and "," not in text and " an [Y]" not in text and " a [Y]" not in text
        if whole and text.count("[X]") == text.count("[Y]") == 1 and (text[0] == "[" or text[0].isupper()):
            yield text


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        return TypeAdapter(dict[str, object]).validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(f"{path}: expected a JSON object: {error.errors()[0]['msg']}") from error
