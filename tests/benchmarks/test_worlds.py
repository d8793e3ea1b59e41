from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memquartet.benchmarks.dataset import load_samples, save_samples
from memquartet.benchmarks.reading import read_records
from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds, named_world
from memquartet.benchmarks.worlds.dialogue import DialogueShape
from memquartet.benchmarks.worlds.dialogue_words import say_date
from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.stream import StreamForm, StreamShape
from memquartet.benchmarks.worlds.truth import (
    Asked,
    FactKind,
    Form,
    TrueFact,
    answer_from,
    asked_by,
    read_date,
    truth_of,
)
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, built_in, from_trex
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import ConfigError, InputError
from memquartet.scoring.answers import normalize
from memquartet.scoring.registry import validate
from memquartet.text.dates import write_date

few = settings(max_examples=30)
shares = st.floats(0, 0.3)
stream_shapes = st.builds(
    StreamShape,
    facts=st.integers(1, 40),
    chunk_lines=st.integers(1, 10),
    form=st.sampled_from(StreamForm),
    conflicts=shares,
    mentions=shares,
    deletions=shares,
    small_talk=shares,
    joined=st.floats(0, 1),
    queries=st.floats(0, 1),
    questions=st.integers(1, 12),
)
dialogue_shapes = st.builds(
    DialogueShape,
    sessions=st.integers(1, 9),
    lines=st.integers(1, 12),
    small_talk=shares,
    filler=shares,
    changes=shares,
    mentions=shares,
    deletions=shares,
    queries=st.floats(0, 1),
    questions=st.integers(1, 12),
)
kinds = st.sampled_from([WorldKind.CONFLICT, WorldKind.DIALOGUE])
splits = st.sampled_from(WorldSplit)
worlds = st.builds(
    lambda kind, seed, split, stream, dialogue: list(
        make_worlds(kind, seed, 2, split, stream=stream, dialogue=dialogue)
    ),
    kinds,
    st.integers(0, 10**6),
    splits,
    stream_shapes,
    dialogue_shapes,
)


def replayed(sample: Sample) -> list[TrueFact]:
    """What a memory holds that carries out the truth's decisions, entries by the fact that wrote them last."""
    entries: dict[str, TrueFact] = {}
    for fact in truth_of(sample):
        match fact.decision:
            case Decision.ADD:
                assert fact.target is None
                entries[fact.fact_id] = fact
            case Decision.UPDATE:
                assert entries.pop(fact.target or "").value != fact.value
                entries[fact.fact_id] = fact
            case Decision.DELETE:
                del entries[fact.target or ""]
            case Decision.NOOP:
                assert fact.target is None or entries[fact.target].value == fact.value
            case None:
                assert fact.kind is FactKind.UNIMPORTANT
    return list(entries.values())


@few
@given(worlds)
def test_the_right_decisions_carried_out_give_the_answers(samples: list[Sample]) -> None:
    for sample in samples:
        entries = replayed(sample)
        assert len({entry.key for entry in entries}) == len(entries)
        for question in sample.questions:
            asked = asked_by(question)
            facts = truth_of(sample) if asked.form is Form.RECENT else entries
            assert question.answers == tuple(filter(None, [answer_from(facts, asked)]))


@few
@given(worlds)
def test_gold_answers_score_one_and_superseded_values_are_none_of_them(samples: list[Sample]) -> None:
    assert validate(samples) == []
    for question in (question for sample in samples for question in sample.questions):
        old = question.extra.get("superseded", [])
        assert isinstance(old, list)
        assert not {normalize(value) for value in old} & {normalize(answer) for answer in question.answers}


@few
@given(worlds)
def test_a_fact_is_said_by_the_line_that_it_names(samples: list[Sample]) -> None:
    for sample in samples:
        lines: dict[str, str] = {}
        for chunk in sample.chunks:
            said = chunk.text.splitlines()[-len(chunk.source_ids) :]
            lines |= dict(zip(chunk.source_ids, said, strict=True))
        facts = truth_of(sample)
        for fact in facts:
            assert fact.line in sample.chunks[fact.chunk].source_ids
            if fact.kind is FactKind.SEMANTIC:
                assert fact.value.casefold() in lines[fact.line].casefold()
                assert fact.value.casefold() in fact.text.casefold()
        assert all(set(question.evidence) <= lines.keys() for question in sample.questions)


@few
@given(worlds)
def test_words_have_one_meaning_and_a_chunk_speaks_of_a_key_once(samples: list[Sample]) -> None:
    for sample in samples:
        facts = [fact for fact in truth_of(sample) if fact.kind is not FactKind.UNIMPORTANT]
        for one, two in pairwise(sorted(facts, key=lambda fact: fact.text)):
            assert one.text != two.text or (one.key, one.value) == (two.key, two.value)
        assert len({(fact.chunk, fact.key) for fact in facts}) == len(facts)
        assert len({question.text for question in sample.questions}) == len(sample.questions)


@few
@given(kind=kinds, seed=st.integers(0, 99), split=splits)
def test_equal_seeds_give_equal_samples_wherever_the_count_starts(
    kind: WorldKind, seed: int, split: WorldSplit
) -> None:
    whole = list(make_worlds(kind, seed, 3, split))
    assert whole[1:] == list(make_worlds(kind, seed, 2, split, first=1))
    assert whole[0].chunks != next(make_worlds(kind, seed + 1, 1, split)).chunks


@few
@given(kind=kinds, seed=st.integers(0, 99))
def test_samples_survive_a_file(kind: WorldKind, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("worlds") / "samples.jsonl"
    samples = list(make_worlds(kind, seed, 2))
    save_samples(path, samples)
    assert load_samples(path) == samples


def test_every_kind_of_question_and_decision_occurs() -> None:
    samples = [sample for kind in WorldKind for sample in make_worlds(kind, 3, 60)]
    assert {q.category for s in samples for q in s.questions} == set(QuestionKind)
    assert {f.decision for s in samples for f in truth_of(s)} == {*Decision, None}
    queries = [bool(chunk.query) for sample in samples for chunk in sample.chunks]
    assert any(queries)
    assert not all(queries)


def test_a_query_makes_a_passing_remark_important() -> None:
    found = 0
    for sample in make_worlds(WorldKind.DIALOGUE, 5, 60):
        for fact in truth_of(sample):
            if fact.relation.startswith("remark:"):
                found += 1
                assert sample.chunks[fact.chunk].query in [question.text for question in sample.questions]
    assert found


def words_of(split: WorldSplit) -> set[str]:
    """Every text of a split's files, but for the names of fields and types."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key not in ("between", "wikidata", "subject", "object", "trex", "numbers"):
                    yield from texts(item)

    folder = resources.files("memquartet.benchmarks.worlds") / "vocabulary"
    files = [folder / f"{kind}_{split}.json" for kind in ("stream", "dialogue")]
    found = {text for file in files for text in texts(json.loads(file.read_text(encoding="utf-8")))}
    return {text.casefold().strip(" .:") for text in found if text.strip()}


def test_the_splits_share_no_word_no_form_and_no_relation() -> None:
    assert not words_of(WorldSplit.TRAIN) & words_of(WorldSplit.VALIDATION)


def test_the_splits_share_no_name() -> None:
    train, validation = ({n for names in built_in(s).names.values() for n in names} for s in WorldSplit)
    assert not train & validation


def test_the_splits_share_no_statement_and_no_question() -> None:
    said = {
        split: {f.text for s in make_worlds(kind, 1, 60, split) for f in truth_of(s)}
        | {q.text for s in make_worlds(kind, 1, 60, split) for q in s.questions}
        for kind in WorldKind
        for split in WorldSplit
    }
    assert not said[WorldSplit.TRAIN] & said[WorldSplit.VALIDATION]


@pytest.mark.data
def test_real_names_belong_to_one_split_and_to_no_benchmark(data: Path) -> None:
    folder = data / "trex_triples"
    train, validation = (
        {n for names in from_trex(folder, split).names.values() for n in names} for split in WorldSplit
    )
    assert len(train) > 5000
    assert len(validation) > 500
    assert not train & validation
    invented = {n for split in WorldSplit for names in built_in(split).names.values() for n in names}
    path = data / "memoryagentbench" / "Conflict_Resolution.dev.jsonl.gz"
    benchmark = "".join(json.dumps(record.value, ensure_ascii=False) for record in read_records(path))
    assert not [name for name in (train | validation) - invented if name in benchmark]
    samples = list(make_worlds(WorldKind.CONFLICT, 1, 20, data=folder))
    assert validate(samples) == []
    for sample in samples:
        replayed(sample)


@given(day=st.dates(date(1900, 1, 8), date(2100, 1, 1)), distance=st.integers(-7, 7), seed=st.integers(0, 9))
def test_near_days_are_said_relative_to_today(day: date, distance: int, seed: int) -> None:
    said = say_date(day + timedelta(days=distance), day, Random(seed))
    if distance in (-1, 0, 1):
        assert said == {-1: "yesterday", 0: "today", 1: "tomorrow"}[distance]
    assert read_date(write_date(day)) == day


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("world:peace", "world:conflict"),
        ("world:conflict?sed=1", "'sed'"),
        ("world:conflict?n=many", "n: "),
        ("world:conflict?n=0", "at least 1"),
        ("world:dialogue?split=test", "split: "),
        ("world:conflict?size=0", "from 1 to 50"),
        ("world:documents?size=2", "size is for conflict"),
    ],
)
def test_a_wrong_name_is_refused_with_the_next_step(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        named_world(name)


def test_a_named_world_is_what_make_worlds_gives() -> None:
    named = named_world("world:dialogue?seed=4&n=2&split=train")
    assert named == list(make_worlds(WorldKind.DIALOGUE, 4, 2, WorldSplit.TRAIN))


@pytest.mark.parametrize("kind", ["conflict", "dialogue", "friends", "assistant"])
def test_a_long_sample_says_and_asks_so_many_times_as_much(kind: str) -> None:
    (plain,), (long,) = (named_world(f"world:{kind}?seed=3&n=1&size={size}") for size in (1, 3))
    assert len(long.questions) == 3 * len(plain.questions)
    assert len(truth_of(long)) > 2 * len(truth_of(plain))


@pytest.mark.parametrize("wrong", [{"facts": 0}, {"conflicts": 0.9, "mentions": 0.2}, {"joined": 1.5}])
def test_a_stream_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        StreamShape(**wrong)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("wrong", [{"lines": 0}, {"small_talk": 0.8, "filler": 0.3}, {"queries": -1}])
def test_a_dialogue_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DialogueShape(**wrong)  # type: ignore[arg-type]  # the point of the test


def test_a_sample_without_truth_is_refused() -> None:
    with pytest.raises(InputError, match="carries no truth"):
        truth_of(Sample(sample_id="s", chunks=(), questions=()))


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trex_triples"):
        next(make_worlds(WorldKind.CONFLICT, 1, 1, data=tmp_path))


def test_what_was_first_said_roughly_tells_no_order_and_no_distance() -> None:
    keys = (("Ann", "move"), ("Bea", "move"))

    def told(subject: str, value: str) -> TrueFact:
        return TrueFact(
            fact_id="c0:0",
            chunk=0,
            text="",
            kind=FactKind.EPISODIC,
            subject=subject,
            relation="move",
            value=value,
        )

    first = Asked(form=Form.FIRST, keys=keys, labels=("Ann's move", "Bea's move"))
    ago = Asked(form=Form.AGO, subject="Ann", relations=("move",), day="9 May 2023")
    rough, exact, other = (
        told("Ann", "the weekend after 7 May 2023"),
        told("Ann", "7 May 2023"),
        told("Bea", "8 May 2023"),
    )
    assert answer_from([rough, other], first) is None
    assert answer_from([rough], ago) is None
    assert answer_from([rough, exact, other], first) == "Ann's move"
    assert answer_from([exact], ago) == "2 days ago"
