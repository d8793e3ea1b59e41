from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds, named_world
from memquartet.benchmarks.worlds.chinese import ChineseShape, read_day
from memquartet.benchmarks.worlds.classification import ClassificationShape
from memquartet.benchmarks.worlds.documents import DocumentShape
from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.truth import FactKind, answer_from, asked_by, truth_of
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import ConfigError
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.scoring.registry import score, validate
from memquartet.systems.oracle import oracle_team
from memquartet.text.dates import write_chinese_date

KINDS = [WorldKind.CLASSIFICATION, WorldKind.DOCUMENTS, WorldKind.CHINESE]
of_each_kind = pytest.mark.parametrize("kind", KINDS)
of_each_split = pytest.mark.parametrize("split", WorldSplit)


@of_each_kind
@of_each_split
def test_a_perfect_memory_of_a_sample_gives_its_answers(kind: WorldKind, split: WorldSplit) -> None:
    samples = list(make_worlds(kind, 1, 60, split))
    assert validate(samples) == []
    for sample in samples:
        facts = truth_of(sample)
        kept = {fact.key: fact for fact in facts if fact.decision not in (None, Decision.NOOP)}
        lately = [fact for fact in facts if fact.kind is FactKind.UNIMPORTANT]
        for question in sample.questions:
            answer = answer_from([*lately, *kept.values()], asked_by(question))
            assert question.answers == ((answer,) if answer else ())


@of_each_kind
@of_each_split
def test_a_chunk_says_its_few_short_facts_and_names_where(kind: WorldKind, split: WorldSplit) -> None:
    for sample in make_worlds(kind, 2, 60, split):
        assert sample.questions
        facts = truth_of(sample)
        assert max(Counter(fact.chunk for fact in facts).values()) <= 8
        assert len({(fact.chunk, *fact.key) for fact in facts if fact.decision}) == sum(
            fact.decision is not None for fact in facts
        )
        for fact in facts:
            chunk = sample.chunks[fact.chunk]
            assert fact.line in chunk.source_ids
            assert len(fact.text) <= 200
            if fact.kind is FactKind.SEMANTIC:
                assert fact.value in chunk.text
                assert fact.value in fact.text
        known = {source for chunk in sample.chunks for source in chunk.source_ids}
        assert known.issuperset(source for question in sample.questions for source in question.evidence)
        assert len({question.text for question in sample.questions}) == len(sample.questions)


@of_each_kind
def test_equal_seeds_give_equal_samples_wherever_the_count_starts(kind: WorldKind) -> None:
    whole = list(make_worlds(kind, 3, 3))
    assert whole[1:] == list(make_worlds(kind, 3, 2, first=1))
    assert whole[0].chunks != next(make_worlds(kind, 4, 1)).chunks
    assert named_world(f"world:{kind}?seed=3&n=3&split=train") == whole


def words_of(kind: WorldKind, split: WorldSplit) -> set[str]:
    """Every text with letters in the files of a kind, slots left open alike."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            for item in value.values() if isinstance(value, dict) else value:
                yield from texts(item)

    file = resources.files("memquartet.benchmarks.worlds") / "vocabulary" / f"{kind}_{split}.json"
    found = texts(json.loads(file.read_text(encoding="utf-8")))
    return {
        re.sub(r"{\w+}", "{}", text).casefold().strip(" .。:")
        for text in found
        if re.search(r"[^\W\d]", text)
    }


@of_each_kind
def test_the_splits_share_no_word_no_form_and_no_sentence(kind: WorldKind) -> None:
    assert not words_of(kind, WorldSplit.TRAIN) & words_of(kind, WorldSplit.VALIDATION)
    said = {
        split: {fact.text for sample in make_worlds(kind, 1, 60, split) for fact in truth_of(sample)}
        | {question.text for sample in make_worlds(kind, 1, 60, split) for question in sample.questions}
        for split in WorldSplit
    }
    assert not said[WorldSplit.TRAIN] & said[WorldSplit.VALIDATION]


@of_each_kind
@of_each_split
async def test_one_search_finds_what_the_oracle_needs(kind: WorldKind, split: WorldSplit) -> None:
    scores = [value for sample in make_worlds(kind, 11, 40, split) for value in await played(sample)]
    assert len(scores) > 200
    assert sum(scores) / len(scores) >= 0.98


async def played(sample: Sample) -> list[float]:
    """The oracle's scores."""
    episode = await run_episode(sample, oracle_team(sample), Memory())
    values = [
        score(sample.metric, answer.text, question)
        for answer, question in zip(episode.answers, sample.questions, strict=True)
    ]
    return [value for value in values if value is not None]


def test_labels_differ_from_sample_to_sample() -> None:
    labels: dict[str, set[str]] = {}
    for sample in make_worlds(WorldKind.CLASSIFICATION, 5, 60):
        for fact in truth_of(sample):
            labels.setdefault(fact.subject, set()).add(fact.value)
    assert min(map(len, labels.values())) > 5


@of_each_split
def test_no_text_to_label_is_among_the_examples(split: WorldSplit) -> None:
    for sample in make_worlds(WorldKind.CLASSIFICATION, 6, 60, split):
        examples = {fact.text.split('"')[1] for fact in truth_of(sample)}
        assert not [q.text for q in sample.questions if any(q.text.endswith(one) for one in examples)]


@pytest.mark.parametrize("wrong", [{"chunks": 0}, {"bare": 2}, {"intents": 500}])
def test_a_lesson_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ClassificationShape(**wrong)


@of_each_split
def test_documents_change_repeat_and_leave_things_out(split: WorldSplit) -> None:
    samples = list(make_worlds(WorldKind.DOCUMENTS, 7, 60, split))
    decisions = {fact.decision for sample in samples for fact in truth_of(sample)}
    assert decisions == {Decision.ADD, Decision.UPDATE, Decision.NOOP}
    asked = {question.category for sample in samples for question in sample.questions}
    assert asked == {QuestionKind.SINGLE_HOP, QuestionKind.KNOWLEDGE_UPDATE, QuestionKind.ABSTENTION}


@of_each_split
def test_many_paragraphs_do_not_name_what_they_are_about(split: WorldSplit) -> None:
    named = Counter(
        fact.subject in paragraph
        for sample in make_worlds(WorldKind.DOCUMENTS, 8, 60, split)
        for fact in truth_of(sample)
        for paragraph in sample.chunks[fact.chunk].text.split("\n\n")[1:]
        if fact.value in paragraph
    )
    assert named[False] > named.total() / 4


@pytest.mark.parametrize("wrong", [{"documents": 0}, {"filler": 2}, {"changes": 0.7, "mentions": 0.5}])
def test_documents_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DocumentShape(**wrong)  # type: ignore[arg-type]  # the point of the test


@of_each_split
def test_chinese_lists_and_dialogues_have_every_decision_and_kind_of_question(split: WorldSplit) -> None:
    samples = list(make_worlds(WorldKind.CHINESE, 9, 120, split))
    lists = [sample for sample in samples if sample.chunks[0].time is None]
    assert 40 < len(lists) < 80
    assert {fact.decision for sample in samples for fact in truth_of(sample)} == {*Decision, None}
    assert {question.category for sample in samples for question in sample.questions} == {
        QuestionKind.SINGLE_HOP,
        QuestionKind.TEMPORAL,
        QuestionKind.KNOWLEDGE_UPDATE,
        QuestionKind.ABSTENTION,
        QuestionKind.SHORT_TERM,
    }


@of_each_split
def test_chinese_samples_are_chinese(split: WorldSplit) -> None:
    for sample in make_worlds(WorldKind.CHINESE, 9, 60, split):
        texts = [chunk.text for chunk in sample.chunks] + [fact.text for fact in truth_of(sample)]
        texts += [text for question in sample.questions for text in (question.text, *question.answers)]
        assert not [text for text in texts if re.search("[A-Za-z{}]", text)]


@given(st.dates())
def test_chinese_days_are_read_as_they_are_written(day: date) -> None:
    assert read_day(write_chinese_date(day)) == day


@pytest.mark.parametrize("wrong", [{"lines": 0}, {"lists": 2}, {"updates": 0.7, "abstentions": 0.5}])
def test_a_chinese_story_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ChineseShape(**wrong)  # type: ignore[arg-type]  # the point of the test
