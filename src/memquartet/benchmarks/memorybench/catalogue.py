"""The 28 data sets of MemoryBench with their domain, task format and metrics, as in `configs/datasets/each.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from memquartet.errors import ConfigError


class Domain(StrEnum):
    """What a data set is about."""

    OPEN = "Open-Domain"
    LEGAL = "Legal"
    ACADEMIC = "Academic&Knowledge"


class TaskFormat(StrEnum):
    """Length of input, then of output; short is below 600 tokens."""

    LONG_SHORT = "Long-Short"
    SHORT_LONG = "Short-Long"
    LONG_LONG = "Long-Long"
    SHORT_SHORT = "Short-Short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One data set. `corpus`: a text comes with it that has to be read before its questions. `answer_tokens` bounds a reply."""

    name: str
    domain: Domain
    task: TaskFormat
    metrics: tuple[str, ...]
    answer_tokens: int = 8192
    corpus: bool = False
    judged: bool = False


_JUDGE = (
    "reasoning_meteor",
    "judge_meteor",
    "reasoning_bert_score",
    "judge_bert_score",
    "crime_recall",
    "crime_precision",
    "crime_f1",
    "penalcode_index_recall",
    "penalcode_index_precision",
    "penalcode_index_f1",
    "time_score",
    "amount_score",
)


def _locomo(number: int) -> Entry:
    return Entry(
        name=f"Locomo-{number}", domain=Domain.OPEN, task=TaskFormat.LONG_SHORT, metrics=("f1",), corpus=True
    )


def _dialsim(show: str) -> Entry:
    return Entry(
        name=f"DialSim-{show}",
        domain=Domain.OPEN,
        task=TaskFormat.LONG_SHORT,
        metrics=("accuracy",),
        corpus=True,
        judged=True,
    )


def _lexeval(part: str, task: TaskFormat) -> Entry:
    return Entry(name=f"LexEval-{part}", domain=Domain.LEGAL, task=task, metrics=("rougel",))


def _judged(name: str, domain: Domain, task: TaskFormat, *metrics: str, answer_tokens: int = 8192) -> Entry:
    return Entry(
        name=name, domain=domain, task=task, metrics=metrics, answer_tokens=answer_tokens, judged=True
    )


_ENTRIES = (
    *(_locomo(number) for number in range(10)),
    *(_dialsim(show) for show in ("friends", "bigbang", "theoffice")),
    _judged("JuDGE", Domain.LEGAL, TaskFormat.SHORT_LONG, *_JUDGE, answer_tokens=2048),
    _lexeval("Summarization", TaskFormat.LONG_SHORT),
    _lexeval("Judge", TaskFormat.LONG_LONG),
    _lexeval("QA", TaskFormat.SHORT_SHORT),
    _judged("WritingBench-Politics&Law", Domain.LEGAL, TaskFormat.LONG_LONG, "score", answer_tokens=16_000),
    _judged(
        "HelloBench-Academic&Knowledge-QA",
        Domain.ACADEMIC,
        TaskFormat.SHORT_LONG,
        "avg_score",
        answer_tokens=16_384,
    ),
    _judged(
        "HelloBench-Academic&Knowledge-Writing",
        Domain.ACADEMIC,
        TaskFormat.LONG_LONG,
        "avg_score",
        answer_tokens=16_384,
    ),
    _judged(
        "IdeaBench",
        Domain.ACADEMIC,
        TaskFormat.LONG_SHORT,
        "bert_score",
        "llm_rating_score",
        "llm_novelty_ranking_score",
        "llm_feasibility_ranking_score",
    ),
    _judged(
        "JRE-L",
        Domain.ACADEMIC,
        TaskFormat.SHORT_SHORT,
        "Rouge-L",
        "BERTScore-F1",
        "CLI",
        "FKGL",
        "DCRS",
        answer_tokens=4096,
    ),
    _judged("LimitGen-Syn", Domain.ACADEMIC, TaskFormat.LONG_SHORT, "accuracy", "rating", answer_tokens=500),
    _judged(
        "WritingBench-Academic&Engineering",
        Domain.ACADEMIC,
        TaskFormat.LONG_LONG,
        "score",
        answer_tokens=16_000,
    ),
    _judged(
        "HelloBench-Creative&Design", Domain.OPEN, TaskFormat.LONG_LONG, "avg_score", answer_tokens=16_384
    ),
    Entry(name="WritingPrompts", domain=Domain.OPEN, task=TaskFormat.SHORT_LONG, metrics=("meteor",)),
    _judged("WritingBench-Creative&Design", Domain.OPEN, TaskFormat.LONG_LONG, "score", answer_tokens=16_000),
    _judged("NFCats", Domain.OPEN, TaskFormat.SHORT_SHORT, "score"),
)
CATALOGUE: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""The data sets by name, in the benchmark's order."""


def names_of(kind: str, name: str) -> list[str]:
    """The data sets of a "single" data set, a "domain" or a "task".

    Raises:
        ConfigError: no such kind or name.
    """
    groups: dict[str, dict[str, list[str]]] = {
        "single": {one: [one] for one in CATALOGUE},
        "domain": {domain: [e.name for e in _ENTRIES if e.domain is domain] for domain in Domain},
        "task": {task: [e.name for e in _ENTRIES if e.task is task] for task in TaskFormat},
    }
    if kind not in groups:
        raise ConfigError(f"MemoryBench is loaded by 'single', 'domain' or 'task', got {kind!r}")
    if name not in groups[kind]:
        raise ConfigError(f"MemoryBench has no {kind} {name!r}: use one of {', '.join(groups[kind])}")
    return groups[kind][name]
