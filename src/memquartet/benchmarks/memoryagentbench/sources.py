"""How each source of MemoryAgentBench is cut, asked and scored, as in the official `configs/data_conf`.

A source whose name is not listed (rebuilt records, earlier revisions) is run as its family is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memquartet.errors import InputError


class Split(StrEnum):
    """The four files of the benchmark; the paper's later versions call the last one selective forgetting."""

    ACCURATE_RETRIEVAL = "Accurate_Retrieval"
    TEST_TIME_LEARNING = "Test_Time_Learning"
    LONG_RANGE_UNDERSTANDING = "Long_Range_Understanding"
    CONFLICT_RESOLUTION = "Conflict_Resolution"


class Family(StrEnum):
    """Sources that are asked and scored alike; the value is the official name of the prompt."""

    DOCUMENTS = "ruler_qa"
    NEEDLES = "ruler_niah"
    """Only in data revisions before August 2025."""
    CHATS = "longmemeval"
    EVENTS = "eventqa"
    CLASSIFICATION = "in_context_learning"
    RECOMMENDATION = "recsys_redial"
    SUMMARY = "infbench_sum"
    NOVEL_QA = "infbench_qa"
    """Only in early data revisions."""
    DETECTIVE = "detective_qa"
    FACTS = "factconsolidation"


class Scorer(StrEnum):
    """Whose rules score a reply."""

    OFFICIAL = "official"
    """The official code's, its defects included: comparable with published tables."""
    FIXED = "fixed"
    """The task's: a reply in the form that the prompt asks for can be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What holds for every source of a family.

    `chunk_tokens` are the paper's; the official configuration files say 4096 everywhere. `answer_tokens`
    bound the reply. `official` and `fixed` name metrics of `memquartet.scoring.registry`; `judge` names the
    protocol of `memquartet.scoring.judges` that the paper's table uses in their place, where it has one.
    """

    split: Split
    chunk_tokens: int
    answer_tokens: int
    official: str
    fixed: str
    judge: str = ""


PROTOCOLS = {
    Family.DOCUMENTS: Protocol(
        split=Split.ACCURATE_RETRIEVAL,
        chunk_tokens=512,
        answer_tokens=50,
        official="mab_substring_exact_match",
        fixed="substring_exact_match",
    ),
    Family.NEEDLES: Protocol(
        split=Split.ACCURATE_RETRIEVAL,
        chunk_tokens=4096,
        answer_tokens=128,
        official="share_contained",
        fixed="share_contained",
    ),
    Family.CHATS: Protocol(
        split=Split.ACCURATE_RETRIEVAL,
        chunk_tokens=512,
        answer_tokens=50,
        official="mab_substring_exact_match",
        fixed="f1",
        judge="longmemeval",
    ),
    Family.EVENTS: Protocol(
        split=Split.ACCURATE_RETRIEVAL,
        chunk_tokens=4096,
        answer_tokens=40,
        official="mab_parsed_substring_exact_match",
        fixed="substring_exact_match",
    ),
    Family.CLASSIFICATION: Protocol(
        split=Split.TEST_TIME_LEARNING,
        chunk_tokens=4096,
        answer_tokens=20,
        official="mab_parsed_exact_match",
        fixed="integer_match",
    ),
    Family.RECOMMENDATION: Protocol(
        split=Split.TEST_TIME_LEARNING,
        chunk_tokens=4096,
        answer_tokens=300,
        official="recommendation_recall@5",
        fixed="recommendation_recall@5",
    ),
    Family.SUMMARY: Protocol(
        split=Split.LONG_RANGE_UNDERSTANDING,
        chunk_tokens=4096,
        answer_tokens=1200,
        official="mab_rougeLsum_f1",
        fixed="rougeLsum_f1",
        judge="novel_summary",
    ),
    Family.NOVEL_QA: Protocol(
        split=Split.LONG_RANGE_UNDERSTANDING,
        chunk_tokens=4096,
        answer_tokens=50,
        official="mab_f1",
        fixed="f1",
    ),
    Family.DETECTIVE: Protocol(
        split=Split.LONG_RANGE_UNDERSTANDING,
        chunk_tokens=4096,
        answer_tokens=2000,
        official="mab_exact_match",
        fixed="option_match",
    ),
    Family.FACTS: Protocol(
        split=Split.CONFLICT_RESOLUTION,
        chunk_tokens=512,
        answer_tokens=10,
        official="mab_substring_exact_match",
        fixed="substring_exact_match",
    ),
}

_PREFIXES = {
    "ruler_qa": Family.DOCUMENTS,
    "ruler_niah": Family.NEEDLES,
    "longmemeval": Family.CHATS,
    "eventqa": Family.EVENTS,
    "icl": Family.CLASSIFICATION,
    "recsys": Family.RECOMMENDATION,
    "infbench_sum": Family.SUMMARY,
    "infbench_qa": Family.NOVEL_QA,
    "detective": Family.DETECTIVE,
    "factconsolidation": Family.FACTS,
}

CONTEXT_TOKENS = {
    "ruler_qa1_197K": 220_000,
    "ruler_qa2_421K": 524_288,
    "longmemeval_s*": 400_000,
    "longmemeval_s_-1_500": 150_000,
    "eventqa_full": 800_000,
    "eventqa_131072": 131_072,
    "eventqa_65536": 65_536,
    "icl_banking77_5900shot_balance": 131_072,
    "icl_clinic150_7050shot_balance": 131_072,
    "icl_nlu_8296shot_balance": 131_072,
    "icl_trec_coarse_6600shot_balance": 131_072,
    "icl_trec_fine_6400shot_balance": 131_072,
    "recsys_redial_full": 1_480_000,
    "infbench_sum_eng_shots2": 1_200_000,
    "detective_qa": 200_000,
    "factconsolidation_sh_6k": 6_000,
    "factconsolidation_mh_6k": 6_000,
    "factconsolidation_sh_32k": 32_768,
    "factconsolidation_mh_32k": 32_768,
    "factconsolidation_sh_64k": 65_536,
    "factconsolidation_mh_64k": 65_536,
    "factconsolidation_sh_262k": 300_000,
    "factconsolidation_mh_262k": 300_000,
}
"""The published sources, with the tokens of context that a long-context agent keeps of each."""


def family_of(source: str, place: str = "metadata.source") -> Family:
    """The family of a source, by how its name begins.

    Raises:
        InputError: no family begins so; names `place` and the beginnings.
    """
    for prefix, family in _PREFIXES.items():
        if source.startswith(prefix):
            return family
    raise InputError(
        f"{place}: no source {source!r} is known, expected one that begins with {', '.join(_PREFIXES)}"
    )
