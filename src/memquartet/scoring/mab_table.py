"""MemoryAgentBench's table: scores by source to the paper's columns, group means and overall mean.

Checked on the printed rows of the paper's Table 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

COLUMNS = {
    "SH-QA": ("ruler_qa1_197K",),
    "MH-QA": ("ruler_qa2_421K",),
    "LME(S*)": ("longmemeval_s*",),
    "EventQA": ("eventqa_full",),
    "MCC": (
        "icl_banking77_5900shot_balance",
        "icl_clinic150_7050shot_balance",
        "icl_nlu_8296shot_balance",
        "icl_trec_coarse_6600shot_balance",
        "icl_trec_fine_6400shot_balance",
    ),
    "Recom": ("recsys_redial_full",),
    "Summ": ("infbench_sum_eng_shots2",),
    "DetQA": ("detective_qa",),
    "FC-SH": ("factconsolidation_sh_262k",),
    "FC-MH": ("factconsolidation_mh_262k",),
}
"""What each column is the mean of."""
GROUPS = {
    "AR": ("SH-QA", "MH-QA", "LME(S*)", "EventQA"),
    "TTL": ("MCC", "Recom"),
    "LRU": ("Summ", "DetQA"),
    "SF": ("FC-SH", "FC-MH"),
}
OVERALL = "Overall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One system's row: `cells` by column, group and "Overall" in the paper's order.

    A cell is None when a part of it has no score; `missing` names those sources.
    """

    cells: Mapping[str, float | None]
    missing: tuple[str, ...]


def mab_table(scores: Mapping[str, float | None]) -> Table:
    """The row of the mean scores by source; unknown sources (shorter contexts, rebuilt records) are left out.

    Cells keep the scores' scale; the paper prints percent.
    """
    columns = {name: _mean([scores.get(source) for source in parts]) for name, parts in COLUMNS.items()}
    groups = {name: _mean([columns[column] for column in parts]) for name, parts in GROUPS.items()}
    cells: dict[str, float | None] = {}
    for group, parts in GROUPS.items():
        cells |= {column: columns[column] for column in parts} | {group: groups[group]}
    cells[OVERALL] = _mean(list(groups.values()))
    sources = chain.from_iterable(COLUMNS.values())
    return Table(cells=cells, missing=tuple(source for source in sources if scores.get(source) is None))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
