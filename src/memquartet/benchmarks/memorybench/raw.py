"""MemoryBench tasks out of the raw sources of some of its data sets: no dialogues, and no official division.

| data set | file in the folder |
| --- | --- |
| LexEval-QA | lexeval_5_4_qa.jsonl |
| NFCats | nfcats_test.csv |
| HelloBench-* | hellobench*.jsonl[.gz] |
| JuDGE | judge_test.jsonl[.gz] |
| LimitGen-Syn | limitgen*.jsonl[.gz] |

The division follows the benchmark's rule (draw with seed 42, a fifth for testing), but on these files, which are not all of
the originals': its numbers are not comparable with published ones. The wording of the tasks is ours where the benchmark
adds one to the source.
"""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memquartet.benchmarks.memorybench.records import Part, Task
from memquartet.benchmarks.reading import Row, checked, parse_json, read_lines, read_records
from memquartet.core.messages import Message, Speaker
from memquartet.errors import InputError

SEED = 42
_SAMPLED = 250
_TESTED = 0.2

_HELLOBENCH: Mapping[str, Mapping[str, Set[str] | None]] = {
    "HelloBench-Academic&Knowledge-QA": {
        "open_ended_qa": None,
        "chat": {"science_problem_solve"},
    },
    "HelloBench-Academic&Knowledge-Writing": {
        "summarization": {"academic_article"},
        "chat": {"academic_write"},
        "heuristic_text_generation": {"argumentative_writing", "keyword_writing"},
    },
    "HelloBench-Creative&Design": {
        "chat": {
            "curriculum_development",
            "character_creation",
            "idea_generation",
            "creative_write",
            "script_write",
            "continue_write",
            "guide_generation",
        },
        "heuristic_text_generation": {"roleplaying_writing", "screenplay_writing", "story_writing"},
        "text_completion": None,
    },
}
"""Which categories of which source belong to a data set; None is all of them."""
_ASPECTS = {
    "methodology": ("data", "inappropriate"),
    "experimental design": ("baseline", "dataset", "replace", "ablation"),
    "result analysis": ("metric", "analysis"),
    "literature review": ("citation", "review", "description"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A task before it has a number; `stratum` is what the division is balanced over."""

    messages: tuple[Message, ...]
    info: Mapping[str, object]
    lang: str = "en"
    stratum: str = ""


class _LexEval(Row):
    instruction: str
    input: str
    answer: str


class _HelloBench(Row):
    domain: str
    category: str
    instruction: str
    formatted_checklists: str


class _Case(Row):
    text: str
    fd: str


class _Section(Row):
    section_id: str
    section_name: str
    text: str


class _Paper(Row):
    title: str
    abstract: str
    sections: list[_Section]


class _LimitGen(Row):
    category: str
    ground_truth: str
    paper: _Paper


def read_raw(name: str, folder: Path) -> dict[Part, tuple[Task, ...]] | None:
    """The tasks of a data set by part, or None when the folder has no source of it.

    Raises:
        InputError: a source is not in its form.
    """
    pattern, read = SOURCES.get(name, ("", None))
    paths = sorted(folder.glob(pattern)) if pattern else []
    if read is None or not paths:
        return None
    made = [one for path in paths for one in read(path, name)]
    tests, kept = _division(made, stratified=name.startswith("HelloBench"))
    tasks = {
        number: Task(
            dataset=name,
            test_idx=number,
            part=Part.TEST if number in tests else Part.TRAIN,
            lang=made[number].lang,
            messages=made[number].messages,
            info=made[number].info,
        )
        for number in sorted(kept)
    }
    return {part: tuple(task for task in tasks.values() if task.part is part) for part in Part}


def _division(made: Sequence[_Made], *, stratified: bool) -> tuple[set[int], set[int]]:
    """The numbers of the test tasks and of all tasks that are used."""
    numbers = list(range(len(made)))
    if not stratified:
        if len(numbers) > _SAMPLED:
            numbers = random.Random(SEED).sample(numbers, _SAMPLED)
        return set(_tested(numbers)), set(numbers)
    strata = dict.fromkeys(one.stratum for one in made)
    tests = [
        number
        for stratum in strata
        for number in _tested([one for one in numbers if made[one].stratum == stratum])
    ]
    return set(tests), set(numbers)


def _tested(numbers: Sequence[int]) -> list[int]:
    return random.Random(SEED).sample(numbers, math.ceil(_TESTED * len(numbers)))


def _user(text: str) -> Message:
    return Message(speaker=Speaker.USER, content=text)


def _system(text: str) -> Message:
    return Message(speaker=Speaker.SYSTEM, content=text)


def _lexeval(path: Path, _name: str) -> Iterator[_Made]:
    for record in read_records(path):
        row = checked(_LexEval, record)
        yield _Made(
            messages=(_user(row.instruction + row.input),), info={"golden_answer": row.answer}, lang="zh"
        )


def _nfcats(path: Path, _name: str) -> Iterator[_Made]:
    lines = io.StringIO("".join(f"{text}\n" for _, text in read_lines(path)))
    try:
        rows = list(csv.DictReader(lines, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: expected CSV: {error}") from error
    for number, row in enumerate(rows, start=1):
        question = row.get("question")
        if not question:
            raise InputError(
                f"{path}, row {number}: expected a column 'question' that is not empty, given {row!r}"
            )
        yield _Made(
            messages=(
                _user(
                    "Answer this question, which asks for more than a fact, in English. Be concise and informative, and"
                    f" use at most 200 words.\n\nQuestion: {question}"
                ),
            ),
            info={},
        )


def _hellobench(path: Path, name: str) -> Iterator[_Made]:
    wanted = _HELLOBENCH[name]
    for record in read_records(path):
        row = checked(_HelloBench, record)
        if row.domain not in wanted or row.category not in (wanted[row.domain] or {row.category}):
            continue
        checklist: Any = parse_json(row.formatted_checklists, f"{record.place}, field 'formatted_checklists'")
        yield _Made(messages=(_user(row.instruction),), info={"checklist": checklist}, stratum=row.domain)


def _judge(path: Path, _name: str) -> Iterator[_Made]:
    for record in read_records(path):
        row = checked(_Case, record)
        yield _Made(
            messages=(
                _system("你是法律助理。"),
                _user(
                    f"案件事实如下：{row.text}\n请据此写出一份完整的中文刑事判决书。"  # noqa: RUF001
                    "要求结构完整、说理清楚、用语规范客观，符合真实判决文书的格式。"  # noqa: RUF001
                ),
            ),
            info={"golden_answer": row.fd},
            lang="zh",
        )


def _limitgen(path: Path, _name: str) -> Iterator[_Made]:
    for record in read_records(path):
        row = checked(_LimitGen, record)
        aspect = next((aspect for aspect, kinds in _ASPECTS.items() if row.category in kinds), None)
        if aspect is None:
            raise InputError(f"{record.place}, field 'category': unknown category {row.category!r}")
        yield _Made(
            messages=(
                _system(
                    f"Read a scientific paper and name 3 major limitations of its {aspect} that the paper itself does not"
                    ' mention. Reply with JSON alone: {"limitations": [three texts]}'
                ),
                _user(_paper(row.paper)),
            ),
            info={"category": row.category, "ground_truth": row.ground_truth},
        )


def _paper(paper: _Paper) -> str:
    sections = "".join(f"{one.section_id} {one.section_name}:\n{one.text}\n\n" for one in paper.sections)
    return f"Paper:\nTitle: {paper.title}\nAbstract: {paper.abstract}\n{sections}"


_Read = Callable[[Path, str], Iterable[_Made]]
SOURCES: Mapping[str, tuple[str, _Read]] = {
    "LexEval-QA": ("lexeval_5_4_qa.jsonl", _lexeval),
    "NFCats": ("nfcats_test.csv", _nfcats),
    "JuDGE": ("judge_test.jsonl*", _judge),
    "LimitGen-Syn": ("limitgen*.jsonl*", _limitgen),
    **dict.fromkeys(_HELLOBENCH, ("hellobench*.jsonl*", _hellobench)),
}
