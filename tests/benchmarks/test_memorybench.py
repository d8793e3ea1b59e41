from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.benchmarks.memorybench.catalogue import CATALOGUE, Domain, TaskFormat, names_of
from memquartet.benchmarks.memorybench.loading import load_memory_bench
from memquartet.benchmarks.memorybench.protocols import (
    Order,
    after_dialogues,
    off_policy_samples,
    plan,
    protocol_samples,
    step_of,
)
from memquartet.benchmarks.memorybench.records import Part, Task, literal, read_tasks
from memquartet.benchmarks.named import Options, benchmark_names, load_benchmark, revision_of
from memquartet.benchmarks.reading import Record
from memquartet.core.messages import Speaker
from memquartet.errors import ConfigError, InputError
from memquartet.scoring.memorybench_summary import SCALES, pooled_name
from memquartet.scoring.registry import score, validate
from memquartet.text.chunking import ChunkSize

SIZE = ChunkSize(tokens=10_000, count=len)
TALK = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
ROW: dict[str, object] = {
    "test_idx": 0,
    "input_prompt": "Why is the sky blue?",
    "dataset_name": "NFCats",
    "lang": "en",
    "info": "{'golden_answer': None}",
    "dialog": str(TALK),
    "implicit_feedback": "[{'round': 0, 'implicit_action': 'like', 'terminated': True}]",
}
LOCOMO: dict[str, object] = {
    **ROW,
    "dataset_name": "Locomo-0",
    "info": "{'golden_answer': {'a': 'Not mentioned', 'b': 7}, 'category': 5, 'evidence': []}",
    "dialog": None,
    "dialog_bm25": str(TALK),
}
CORPUS = {
    "conversation": {
        "speaker_a": "Ann",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "Hi!"}],
    }
}


def loaded(**changes: object) -> Task:
    (task,) = read_tasks([Record(place="x:1", value={**ROW, **changes})], Part.TEST)
    return task


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copies of two data sets in the repository's form."""
    for row in (ROW, LOCOMO):
        name = str(row["dataset_name"])
        write(tmp_path / name / "train-00000-of-00001.jsonl", *({**row, "test_idx": n} for n in range(1, 6)))
        write(tmp_path / name / "test-00000-of-00001.jsonl", row)
    write(tmp_path / "corpus" / "Locomo-0.jsonl", {"text": json.dumps(CORPUS)})
    return tmp_path


def test_texts_that_hold_python_become_values() -> None:
    task = loaded()
    assert task.info == {"golden_answer": None}
    assert [message.speaker for message in task.dialog()] == [Speaker.USER, Speaker.ASSISTANT]
    assert task.feedbacks == {"": ({"round": 0, "implicit_action": "like", "terminated": True},)}
    assert loaded(info='{"golden_answer": null}').info == task.info


def test_a_task_becomes_a_question_with_what_its_score_needs() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go."}]
    question = loaded(
        input_prompt=None, input_chat_messages=str(chat), info="{'golden_answer': 'x'}"
    ).question()
    assert (question.question_id, question.text, question.answers) == ("NFCats:0", "Go.", ("x",))
    assert question.extra == {
        "dataset": "NFCats",
        "lang": "en",
        "info": {"golden_answer": "x"},
        "instructed": True,
        "answer_tokens": 8192,
        "system": "Be brief.",
    }


def test_options_of_locomo_become_json_and_other_answers_texts() -> None:
    (task,) = read_tasks([Record(place="x", value=LOCOMO)], Part.TEST)
    assert task.info["golden_answer"] == '{"a": "Not mentioned", "b": 7}'
    assert task.dialog("bm25")
    assert task.dialog("mem0") == ()
    assert score("memorybench_official", "a", task.question()) == 1
    dated = {**LOCOMO, "info": "{'golden_answer': 2022, 'category': 2}"}
    (task,) = read_tasks([Record(place="x", value=dated)], Part.TEST)
    assert task.info["golden_answer"] == "2022"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"info": "__import__('os').getcwd()"}, "x:1, field 'info': expected a Python literal or JSON"),
        ({"info": "[1]"}, "field 'info': Input should be a valid dictionary"),
        ({"test_idx": "0"}, "field 'test_idx': Input should be a valid integer"),
        ({"lang": None}, "field 'lang': Input should be a valid string"),
        ({"dataset_name": "Poems"}, "MemoryBench has no data set 'Poems'"),
        ({"input_prompt": ""}, "expected an input_prompt or input_chat_messages, given neither"),
        ({"dialog": "[{'role': 'robot', 'content': ''}]"}, "x:1, field 'dialog': field 'messages[0].role'"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(**changes)
    assert expected in str(caught.value)


def test_a_number_that_comes_twice_is_refused() -> None:
    with pytest.raises(InputError, match="x:1, field 'test_idx': 0 comes twice in NFCats"):
        list(read_tasks([Record(place="x:1", value=ROW)] * 2, Part.TEST))


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 100_000 + "1", "1+" * 50_000 + "1", "[" * 100 + "]" * 99, "{[]: 1}", "\0"]
)
def test_hostile_literals_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a Python literal or JSON"):
        literal(text, "x")


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_literals_come_back_as_they_were_written(value: object) -> None:
    assert literal(repr(value), "x") == value


def test_the_catalogue_is_the_benchmark_s_and_matches_the_frozen_constants() -> None:
    assert len(CATALOGUE) == 28
    for kind, groups in (("domain", Domain), ("task", TaskFormat)):
        names = [name for group in groups for name in names_of(kind, group)]
        assert sorted(names) == sorted(CATALOGUE)
        for group in groups:
            assert {pooled_name(name) for name in names_of(kind, group)} == set(SCALES[kind, group])


def test_a_data_set_is_found_in_a_folder_with_its_corpus(folder: Path) -> None:
    plain = load_memory_bench("single", "NFCats", data=folder)
    assert (len(plain.train), len(plain.test), plain.corpus) == (5, 1, ())
    assert plain.get_data(3).part is Part.TRAIN
    assert load_memory_bench("single", "Locomo-0", data=folder).corpus[0].text.endswith("Ann: Hi!")


def test_the_published_arrow_files_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"implicit_feedback_bm25": "[{'round': 0, 'implicit_action': 'none', 'terminated': False}]"}
    for part, number in (("train", 1), ("test", 0)):
        folder = tmp_path / "dataset" / "NFCats" / part
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text("{}")
        (folder / "state.json").write_text("{}")
        table = pyarrow.Table.from_pylist(
            [{**ROW, **columns, "test_idx": number, "dialog_mistral": str(TALK)}]
        )
        opened = pyarrow.ipc.new_stream if part == "train" else pyarrow.ipc.new_file
        with opened(folder / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
    dataset = load_memory_bench("single", "NFCats", data=tmp_path)
    assert [task.test_idx for task in (*dataset.train, *dataset.test)] == [1, 0]
    assert set(dataset.train[0].dialogs) == {"", "mistral"}
    assert dataset.train[0].feedbacks["bm25"][0]["implicit_action"] == "none"
    broken = tmp_path / "dataset" / "NFCats" / "test" / "data-00000-of-00001.arrow"
    broken.write_bytes(b"\xff\xff\xff\xff and then nothing")
    with pytest.raises(InputError, match="a damaged table"):
        load_memory_bench("single", "NFCats", data=tmp_path)


def test_a_script_is_cut_at_its_dates(folder: Path) -> None:
    script = "[Date: May 1, 1994, Session #1]\n\nRoss: Hi.\n(a pause)\nJoey: Hey: you!\n\n[Date: May 2, 1994, Session #2]\n\nRoss: Bye."
    name = "DialSim-friends"
    row = {**LOCOMO, "dataset_name": name, "info": "{'golden_answer': 'x'}"}
    write(folder / name / "train.jsonl", row)
    write(folder / name / "test.jsonl", {**row, "test_idx": 1})
    write(folder / "corpus" / f"{name}.jsonl", {"text": script})
    first, second = load_memory_bench("single", name, data=folder).corpus
    assert first.text == "[May 1, 1994]\nRoss: Hi.\nJoey: Hey: you!"
    assert (first.source_ids, second.source_ids) == (("D1:1", "D1:3"), ("D2:1",))


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (
            "single",
            "JuDGE",
            r"no files of 'JuDGE' for train and test: expected e\.g\. dataset/JuDGE/train/data",
        ),
        ("single", "Poems", "MemoryBench has no single 'Poems'"),
        ("group", "Legal", "loaded by 'single', 'domain' or 'task', got 'group'"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, kind: str, name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_memory_bench(kind, name, data=folder)  # type: ignore[call-overload]  # the point of the test


def test_a_task_in_both_parts_or_a_missing_corpus_is_refused(folder: Path) -> None:
    (folder / "corpus" / "Locomo-0.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"'Locomo-0' needs its corpus corpus/Locomo-0\.jsonl"):
        load_memory_bench("single", "Locomo-0", data=folder)
    write(folder / "NFCats" / "test-00000-of-00001.jsonl", {**ROW, "test_idx": 3})
    with pytest.raises(InputError, match="NFCats has the test_idx 3 in train and in test"):
        load_memory_bench("single", "NFCats", data=folder)


def test_off_policy_feeds_all_dialogues_and_asks_corpus_tasks_apart(folder: Path) -> None:
    datasets = [load_memory_bench("single", name, data=folder) for name in ("NFCats", "Locomo-0")]
    (step,) = plan(Order.OFF_POLICY, datasets, system="bm25")
    assert len(step.store) == 10
    assert ([t.task_id for t in step.ask], [t.task_id for t in step.apart]) == (["NFCats:0"], ["Locomo-0:0"])
    (step,) = plan(Order.TRAIN_PERFORMANCE, datasets, system="bm25")
    assert (len(step.ask), len(step.apart)) == (5, 5)
    plain, with_corpus = off_policy_samples(datasets, SIZE, system="bm25")
    assert (len(plain.chunks), len(with_corpus.chunks)) == (10, 11)
    assert with_corpus.chunks[-1].text.endswith("Ann: Hi!")
    assert [chunk.index for chunk in with_corpus.chunks] == list(range(11))
    assert plain.chunks[0].text == "User: Why?\nAssistant: Because."
    assert validate([plain, with_corpus]) == []


def test_stepwise_tests_before_and_after_every_batch(folder: Path) -> None:
    datasets = [load_memory_bench("single", name, data=folder) for name in ("NFCats", "Locomo-0")]
    steps = plan(Order.STEPWISE, datasets, system="bm25", batch=4)
    assert [len(step.store) for step in steps] == [0, 4, 4, 2]
    assert steps[0].corpora == ("Locomo-0",)
    assert all(len(step.ask) == 2 for step in steps)


def test_on_policy_draws_tasks_anew_in_every_step(folder: Path) -> None:
    datasets = [load_memory_bench("single", "NFCats", data=folder)]
    steps = plan(Order.ON_POLICY, datasets, batch=3, steps=4)
    assert [len(step.talk) for step in steps] == [3] * 4
    assert all(len({task.task_id for task in step.talk}) == 3 for step in steps)
    assert steps == plan(Order.ON_POLICY, datasets, batch=3, steps=4)
    assert len({tuple(task.task_id for task in step.talk) for step in steps}) > 1


def test_stepwise_as_samples_reads_more_in_every_step_and_asks_the_same(folder: Path) -> None:
    datasets = [load_memory_bench("single", name, data=folder) for name in ("NFCats", "Locomo-0")]
    found = protocol_samples(Order.STEPWISE, datasets, SIZE, system="bm25", batch=4)
    assert [sample.sample_id for sample in found] == [
        f"stepwise:NFCats+Locomo-0:{number:02}" for number in range(4)
    ]
    assert [step_of(sample.sample_id) for sample in found] == [0, 1, 2, 3]
    assert [len(sample.chunks) for sample in found] == [1, 5, 9, 11]
    assert all(later.chunks[: len(one.chunks)] == one.chunks for one, later in pairwise(found))
    assert all(sample.questions == found[0].questions for sample in found)
    assert step_of("off-policy:NFCats") is step_of("locomo:01") is None


def test_on_policy_as_samples_knows_the_corpora_and_what_to_talk_about(folder: Path) -> None:
    datasets = [load_memory_bench("single", name, data=folder) for name in ("NFCats", "Locomo-0")]
    found = protocol_samples(Order.ON_POLICY, datasets, SIZE, batch=3)
    assert len(found) == 10
    assert {len(sample.chunks) for sample in found} == {1}
    assert {len(sample.extra["talk"]) for sample in found} == {3}  # type: ignore[arg-type]  # of tasks
    first, second = found[0].extra["talk"][:2]  # type: ignore[index]  # of tasks
    heard = after_dialogues(found[0], [(first, first.dialog("bm25")), (second, second.dialog("bm25"))], SIZE)
    assert [chunk.index for chunk in heard.chunks] == [0, 1, 2]
    assert heard.chunks[1].text == "User: Why?\nAssistant: Because."


def test_a_plan_without_data_sets_is_refused() -> None:
    with pytest.raises(ConfigError, match="a plan needs data sets"):
        plan(Order.STEPWISE, [])
    with pytest.raises(ConfigError, match="one pass over a memory, got 'on-policy'"):
        off_policy_samples([], SIZE, order=Order.ON_POLICY)


def test_a_benchmark_is_loaded_by_its_name(folder: Path) -> None:
    (sample,) = load_benchmark("memorybench:NFCats", Options(data=folder, size=SIZE))
    assert (sample.metric, sample.extra["judge"]) == ("memorybench_official", "memorybench")
    for name, expected in (
        ("memorybank", "no benchmark 'memorybank': use one of memoryagentbench"),
        ("locomo:7", "locomo has no parts"),
        ("longmemeval:x", "use longmemeval:oracle, longmemeval:s, longmemeval:m"),
    ):
        with pytest.raises(ConfigError, match=expected):
            load_benchmark(name)


def test_every_benchmark_tells_its_pinned_revision_and_local_files_have_none(folder: Path) -> None:
    revisions = {name: revision_of(name) for name in benchmark_names()}
    assert all(found and len(found.partition("@")[2]) == 40 for found in revisions.values())
    assert revision_of("memorybench:NFCats", Options(data=folder)) is None
    with pytest.raises(ConfigError, match="no benchmark 'poems'"):
        revision_of("poems")


RAW = {
    "LexEval-QA": (200, 50),
    "NFCats": (200, 50),
    "JuDGE": (200, 50),
    "LimitGen-Syn": (44, 11),
    "HelloBench-Academic&Knowledge-QA": (170, 43),
    "HelloBench-Academic&Knowledge-Writing": (49, 13),
    "HelloBench-Creative&Design": (181, 47),
}


@pytest.mark.data
@pytest.mark.parametrize("name", RAW)
def test_tasks_are_made_from_raw_sources(data: Path, name: str) -> None:
    dataset = load_memory_bench("single", name, data=data / "memorybench_raw")
    assert (len(dataset.train), len(dataset.test)) == RAW[name]
    assert dataset == load_memory_bench("single", name, data=data / "memorybench_raw")
    assert all(task.messages[-1].content.strip() for task in dataset.test)
    samples = off_policy_samples([dataset], SIZE, metric="memorybench_fixed")
    assert validate(samples) == []


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("nfcats_test.csv", "category,text\na,b\n", "row 1: expected a column 'question'"),
        ("lexeval_5_4_qa.jsonl", '{"instruction": "", "input": ""}', "field 'answer': Field required"),
        (
            "limitgen_1.jsonl",
            '{"category": "x", "ground_truth": "", "paper": {"title": "", "abstract": "", "sections": []}}',
            "unknown category 'x'",
        ),
    ],
)
def test_a_raw_source_in_another_form_is_refused(
    tmp_path: Path, file: str, content: str, expected: str
) -> None:
    (tmp_path / file).write_text(content, encoding="utf-8")
    name = {"nfcats_test.csv": "NFCats", "limitgen_1.jsonl": "LimitGen-Syn"}.get(file, "LexEval-QA")
    with pytest.raises(InputError, match=expected):
        load_memory_bench("single", name, data=tmp_path)
