"""MemoryBench's summaries over a domain or a task format, with the constants frozen by its authors.

A score is scaled by the lowest and highest score, and standardized by mean and deviation, of the paper's baselines on
its data set. Nothing is clipped: a better system can exceed 1. Rules: THUIR/MemoryBench at 9a33aae9,
`memorybench.summary_results`; constants: its `configs/final_evaluate_summary_wo_details.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from memquartet.errors import ConfigError

Kind = Literal["domain", "task"]


class _Scale(NamedTuple):
    low: float
    high: float
    mean: float
    deviation: float


# Frozen with the paper's baselines; the ten LoCoMo conversations are one data set here.
SCALES: Mapping[tuple[str, str], Mapping[str, _Scale]] = {
    ("domain", "Academic&Knowledge"): {
        "HelloBench-Academic&Knowledge-QA": _Scale(0.0, 1.0, 0.8383340254706534, 0.14641772697797348),
        "HelloBench-Academic&Knowledge-Writing": _Scale(0.0, 1.0, 0.8253676470588235, 0.09935899358831071),
        "IdeaBench": _Scale(0, 9, 5.9825, 1.4973956557970909),
        "JRE-L": _Scale(0, 8, 7.6925, 0.9914351970754315),
        "LimitGen-Syn": _Scale(0, 5, 1.375, 1.4677789343085694),
        "WritingBench-Academic&Engineering": _Scale(1, 9, 6.573529411764706, 1.9445714518854504),
    },
    ("domain", "Legal"): {
        "JuDGE": _Scale(1, 10, 7.3675, 1.4654158965972766),
        "LexEval-Judge": _Scale(0.0, 0.42372880887182207, 0.0630849363991153, 0.12718950949197658),
        "LexEval-QA": _Scale(0.0, 0.3692307652260355, 0.12201772009816057, 0.06710966320652625),
        "LexEval-Summarization": _Scale(0.0, 0.4749999956570313, 0.219496517250544, 0.09151764391456972),
        "WritingBench-Politics&Law": _Scale(1, 9, 6.685975609756097, 1.7095994108991088),
    },
    ("domain", "Open-Domain"): {
        "DialSim-bigbang": _Scale(0, 1, 0.1568627450980392, 0.36367131354885107),
        "DialSim-friends": _Scale(0, 1, 0.23529411764705882, 0.42418250299576343),
        "DialSim-theoffice": _Scale(0, 1, 0.21568627450980393, 0.4112975875177065),
        "HelloBench-Creative&Design": _Scale(0.0, 1.0, 0.7660756501182034, 0.19389989280537495),
        "Locomo": _Scale(0, 1, 0.43739903244093, 0.46130109505314704),
        "NFCats": _Scale(1, 5, 4.546666666666667, 0.8452744458984247),
        "WritingBench-Creative&Design": _Scale(1, 9, 6.461240310077519, 1.5861713485314972),
        "WritingPrompts": _Scale(
            0.019652800524074678, 0.3009784401102524, 0.22139818848118872, 0.0531793409230923
        ),
    },
    ("task", "Long-Long"): {
        "HelloBench-Academic&Knowledge-Writing": _Scale(0.625, 1.0, 0.8393382352941177, 0.08694203035722968),
        "HelloBench-Creative&Design": _Scale(0.0, 1.0, 0.7871010638297874, 0.1995697288306394),
        "LexEval-Judge": _Scale(0.0, 0.43559718484168736, 0.06893909285802197, 0.1322704713850254),
        "WritingBench-Academic&Engineering": _Scale(1, 9, 6.6286764705882355, 1.918846470586342),
        "WritingBench-Creative&Design": _Scale(1, 9, 6.396802325581396, 1.745706096362819),
        "WritingBench-Politics&Law": _Scale(1, 9, 6.5823170731707314, 1.8722764276184818),
    },
    ("task", "Long-Short"): {
        "DialSim-bigbang": _Scale(0, 1, 0.18627450980392157, 0.38932803238558394),
        "DialSim-friends": _Scale(0, 1, 0.19607843137254902, 0.3970285633591488),
        "DialSim-theoffice": _Scale(0, 1, 0.21568627450980393, 0.4112975875177065),
        "IdeaBench": _Scale(0, 9, 6.123333333333333, 1.4194325939927153),
        "LexEval-Summarization": _Scale(
            0.04999999511250048, 0.5032258020362124, 0.2317733107335974, 0.08930309891624393
        ),
        "LimitGen-Syn": _Scale(0, 4, 1.2966666666666666, 1.4658293064185732),
        "Locomo": _Scale(0, 1.0, 0.43918538805036744, 0.4640817725267295),
    },
    ("task", "Short-Long"): {
        "HelloBench-Academic&Knowledge-QA": _Scale(
            0.32142857142857145, 1.0, 0.911752491694352, 0.1048513798087399
        ),
        "JuDGE": _Scale(0, 10, 7.4325, 1.4214231424878379),
        "WritingPrompts": _Scale(
            0.02615233736515201, 0.3184997922906895, 0.22449578221905037, 0.04788928611625294
        ),
    },
    ("task", "Short-Short"): {
        "JRE-L": _Scale(2, 8, 7.85, 0.4716990566028302),
        "LexEval-QA": _Scale(0.0, 0.3616236123342547, 0.12312124506737952, 0.0673206327681146),
        "NFCats": _Scale(1, 5, 4.4325, 0.9749070468511344),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One data set's means over its `n` scored items, on the raw scale, scaled, and standardized."""

    n: int
    raw: float
    scaled: float
    standardized: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBenchSummary:
    """A domain's or task's numbers.

    `average` is the mean over data sets of their scaled means, `weighted_average` the mean over items, `z_score` the
    item mean of standardized scores; all None when a data set of the group has no score (`missing` names it).
    `unscored` items were left out.
    """

    average: float | None
    weighted_average: float | None
    z_score: float | None
    datasets: Mapping[str, DatasetSummary]
    missing: tuple[str, ...]
    unscored: int


def memorybench_summary(
    kind: Kind, name: str, scores: Mapping[str, Sequence[float | None]]
) -> MemoryBenchSummary:
    """Summarize the item scores of the data sets of one domain or task.

    A data set with several metrics enters by its merged score. The official code counts an item without a score as 0
    and averages over the data sets that are there.

    Args:
        kind: "domain" or "task".
        name: as in the benchmark, e.g. "Legal" or "Long-Short".
        scores: item scores by data set; "Locomo-0" to "Locomo-9" are pooled.

    Raises:
        ConfigError: no such domain or task, or a data set that does not belong to it.
    """
    if (kind, name) not in SCALES:
        names = ", ".join(repr(tag) for other, tag in SCALES if other == kind)
        raise ConfigError(f"no {kind} {name!r} in MemoryBench: use one of {names}")
    scales = SCALES[kind, name]
    pooled: dict[str, list[float | None]] = {dataset: [] for dataset in scales}
    for dataset, values in scores.items():
        pool = pooled_name(dataset)
        if pool not in pooled:
            raise ConfigError(
                f"{dataset!r} does not belong to the {kind} {name!r}: expected {', '.join(scales)}"
            )
        pooled[pool].extend(values)
    known = {dataset: [one for one in values if one is not None] for dataset, values in pooled.items()}
    datasets = {dataset: _summary(values, scales[dataset]) for dataset, values in known.items() if values}
    missing = tuple(dataset for dataset in scales if dataset not in datasets)
    items = sum(one.n for one in datasets.values())
    return MemoryBenchSummary(
        average=None if missing else math.fsum(one.scaled for one in datasets.values()) / len(datasets),
        weighted_average=None
        if missing
        else math.fsum(one.n * one.scaled for one in datasets.values()) / items,
        z_score=None if missing else math.fsum(one.n * one.standardized for one in datasets.values()) / items,
        datasets=datasets,
        missing=missing,
        unscored=sum(len(pooled[dataset]) - len(known[dataset]) for dataset in scales),
    )


def pooled_name(dataset: str) -> str:
    """The name under which a data set is summarized."""
    return "Locomo" if dataset.startswith("Locomo-") else dataset


def _summary(values: Sequence[float], scale: _Scale) -> DatasetSummary:
    width = scale.high - scale.low
    mean = math.fsum(values) / len(values)
    return DatasetSummary(
        n=len(values),
        raw=mean,
        scaled=(mean - scale.low) / width if width > 0 else 0.0,
        standardized=(mean - scale.mean) / scale.deviation,
    )
