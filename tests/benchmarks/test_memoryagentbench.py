from __future__ import annotations

import json
from pathlib import Path

import pytest

from memquartet.benchmarks.hub import HubFile
from memquartet.benchmarks.memoryagentbench.chunking import o200k_count, official_chunks
from memquartet.benchmarks.memoryagentbench.records import (
    FILES,
    REVISION,
    load_memory_agent_bench,
    matches,
    read,
)
from memquartet.benchmarks.memoryagentbench.sources import CONTEXT_TOKENS, Family, Scorer, Split
from memquartet.benchmarks.memoryagentbench.templates import AgentKind, memorize_prompt, query_prompt
from memquartet.benchmarks.reading import Record
from memquartet.benchmarks.registry import load_dataset
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError, InputError
from memquartet.scoring.judges import JUDGES
from memquartet.scoring.registry import METRICS, validate
from memquartet.text.chunking import ChunkSize

ROW: dict[str, object] = {
    "context": "Here is a list of facts:\n0. Ann lives in Leeds.\n1. Ann lives in Bristol.",
    "questions": ["Where does Ann live?"],
    "answers": [["Bristol", "in Bristol"]],
    "metadata": {"source": "factconsolidation_sh_6k", "qa_pair_ids": ["p1"], "demo": None},
}


def loaded(**changes: object) -> Sample:
    record = Record(place="x:1", value={**ROW, **changes})
    assert matches(record.value)
    (sample,) = read([record], ChunkSize(tokens=40, count=len))
    return sample


def test_the_context_is_cut_after_sentences_and_loses_nothing() -> None:
    sample = loaded()
    assert "".join(chunk.text for chunk in sample.chunks) == ROW["context"]
    assert len(sample.chunks) > 1
    assert all(chunk.text.endswith((":\n", ".\n", ".")) for chunk in sample.chunks)


def test_a_question_keeps_its_id_and_all_its_answers() -> None:
    (question,) = loaded().questions
    assert (question.question_id, question.answers) == ("p1", ("Bristol", "in Bristol"))


@pytest.mark.parametrize(
    ("source", "metric"),
    [
        ("factconsolidation_mh_262k", "substring_exact_match"),
        ("ruler_qa1_197K", "substring_exact_match"),
        ("icl_banking77_5900shot_balance", "integer_match"),
        ("detective_qa", "option_match"),
    ],
)
def test_the_source_decides_the_metric(source: str, metric: str) -> None:
    assert loaded(metadata={"source": source}).metric == metric


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"metadata": {"source": "poems"}},
            "x:1, field 'metadata.source': no source 'poems' is known, expected one that begins with ruler_qa",
        ),
        ({"answers": []}, "x:1, field 'answers[0]': expected at least one answer, given none"),
        ({"answers": ["Bristol"]}, "field 'answers[0]': Input should be a valid list"),
    ],
)
def test_a_wrong_record_is_refused_with_its_place(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(**changes)
    assert expected in str(caught.value)


@pytest.mark.data
def test_the_development_records_load(data: Path) -> None:
    samples = load_dataset(data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz")
    assert [len(sample.questions) for sample in samples] == [100, 100]


def row(source: str, **changes: object) -> dict[str, object]:
    return {**ROW, "metadata": {"source": source}, **changes}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"context": ""}, "field 'context': expected a text"),
        ({"context": " \n"}, "field 'context': expected a text, given white space alone"),
        ({"context": 7}, "field 'context': Input should be a valid string, given 7"),
        ({"questions": []}, "field 'questions': List should have at least 1 item"),
        ({"answers": [[]]}, "field 'answers[0]': expected at least one answer, given none"),
        ({"metadata": {}}, "field 'metadata.source': Field required"),
        (
            {
                "questions": ["a", "b"],
                "answers": [["a"], ["b"]],
                "metadata": {"source": "icl_x", "qa_pair_ids": ["p", "p"]},
            },
            "'p' names more than one question",
        ),
        (
            {"metadata": {"source": "longmemeval_s*", "question_types": ["a", "b"]}},
            "expected 1 question_type, one a question, given 2",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(**changes)
    assert str(caught.value).startswith("x:1")
    assert expected in str(caught.value)


@pytest.mark.parametrize("source", CONTEXT_TOKENS)
def test_every_published_source_has_metrics_prompts_and_limits(source: str) -> None:
    (sample,) = read([Record(place="x", value=row(source))], scorer=Scorer.OFFICIAL)
    (fixed,) = read([Record(place="x", value=row(source))], scorer=Scorer.FIXED)
    assert {sample.metric, fixed.metric} <= set(METRICS)
    assert (sample.extra["scorer"], fixed.extra["scorer"]) == ("official", "fixed")
    assert sample.extra["context_tokens"] == CONTEXT_TOKENS[source]
    assert sample.extra.get("judge", "longmemeval") in JUDGES
    family = Family(str(sample.extra["family"]))
    for kind in AgentKind:
        assert "Where {does} Ann live?" in query_prompt(family, "Where {does} Ann live?", kind)
    assert "Search your archival memory" in query_prompt(family, "?", AgentKind.AGENTIC_MEMORY)
    assert "a {chunk}" in memorize_prompt(family, "a {chunk}", "8 May 2023")


def test_the_aliases_of_the_only_question_may_stand_one_a_list() -> None:
    assert loaded(answers=[["Bristol"], ["in Bristol"]]).questions[0].answers == ("Bristol", "in Bristol")
    with pytest.raises(InputError, match="expected 2 answers, one a question, given 1"):
        loaded(questions=["a", "b"], answers=[["a"]], metadata={"source": "icl_x"})


def test_what_a_judge_needs_comes_with_the_question() -> None:
    told = {"question_types": ["multi-session"], "question_ids": ["x_abs"], "question_dates": ["d"]}
    sample = loaded(metadata={"source": "longmemeval_s*", **told})
    assert sample.questions[0].extra == {
        "question_type": "multi-session",
        "question_id": "x_abs",
        "question_date": "d",
    }
    summary = loaded(metadata={"source": "infbench_sum_eng_shots2", "keypoints": ["a"]})
    assert (summary.questions[0].extra, summary.extra["judge"]) == ({"keypoints": ["a"]}, "novel_summary")


def test_official_chunks_hold_whole_sentences_joined_by_a_space() -> None:
    text = "One two.  Three four.\n\nFive six. " + "w " * 30 + "end. Last one."
    chunks = official_chunks(text, budget=18, count=len)
    assert chunks == ["One two.", "Three four.", "Five six.", "w " * 30 + "end.", "Last one."]
    assert official_chunks(text, budget=19, count=len)[0] == "One two. Three four."
    assert official_chunks("", budget=5, count=len) == []


def test_abbreviations_end_no_sentence() -> None:
    assert official_chunks("Dr. Smith left. He was tired.", budget=16, count=len) == [
        "Dr. Smith left.",
        "He was tired.",
    ]


def test_tokens_are_those_of_gpt_4o() -> None:
    assert [o200k_count(text) for text in ("", "hello world", "<|endoftext|>")] == [0, 2, 1]


def test_a_folder_is_loaded_by_split_and_source(tmp_path: Path) -> None:
    write(
        tmp_path / "Conflict_Resolution.jsonl", row("factconsolidation_sh_6k"), row("factconsolidation_mh_6k")
    )
    write(tmp_path / "sub" / "Accurate_Retrieval.jsonl", row("ruler_qa1_197K"))
    everything = load_memory_agent_bench(data=tmp_path)
    assert [sample.source for sample in everything] == [
        "memoryagentbench/ruler_qa1_197K",
        "memoryagentbench/factconsolidation_sh_6k",
        "memoryagentbench/factconsolidation_mh_6k",
    ]
    (one,) = load_memory_agent_bench(data=tmp_path, sources=["ruler_qa1_197K"], scorer=Scorer.FIXED)
    assert one.metric == "substring_exact_match"
    with pytest.raises(ConfigError, match="no source 'eventqa_full' in"):
        load_memory_agent_bench(data=tmp_path, sources=["eventqa_full"])


def test_the_published_files_are_fetched_as_pinned(tmp_path: Path) -> None:
    asked: list[HubFile] = []

    def fetch(file: HubFile) -> Path:
        asked.append(file)
        return write(tmp_path / file.path, row("factconsolidation_sh_6k"))

    load_memory_agent_bench(splits=[Split.CONFLICT_RESOLUTION], fetch_file=fetch)
    assert [file.path for file in asked] == ["data/Conflict_Resolution-00000-of-00001.parquet"]
    assert (asked[0].revision, asked[0].sha256) == (REVISION, FILES[Split.CONFLICT_RESOLUTION])


def test_recommendations_find_their_catalogue_beside_the_data_or_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "Test_Time_Learning.jsonl", row("recsys_redial_full", answers=[["3"]]))
    with pytest.raises(ConfigError, match=r"put entity2id\.json beside the data"):
        load_memory_agent_bench(data=path)
    (tmp_path / "entity2id.json").write_text('{"<http://x/Heat>": 3}')
    (sample,) = load_memory_agent_bench(data=path)
    assert validate([sample]) == []


def test_parquet_is_read_like_jsonl(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    metadata = {
        "source": "factconsolidation_sh_6k",
        "qa_pair_ids": ["p1"],
        "question_types": [],
        "demo": None,
    }
    parquet.write_table(pyarrow.Table.from_pylist([{**ROW, "metadata": metadata}]), tmp_path / "x.parquet")
    (sample,) = load_dataset(tmp_path / "x.parquet", size=ChunkSize(tokens=40, count=len))
    assert sample.questions == loaded().questions
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="a damaged table"):
        load_dataset(tmp_path / "bad.parquet")
