from __future__ import annotations

import re
from importlib import resources
from random import Random

import pytest

from memquartet.benchmarks.worlds.cards import cards
from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds, named_world
from memquartet.benchmarks.worlds.documents import document_words
from memquartet.benchmarks.worlds.fresh import FreshWords
from memquartet.benchmarks.worlds.truth import answer_from, asked_by, truth_of
from memquartet.benchmarks.worlds.vocabulary import WorldSplit, files_of
from memquartet.core.trajectory import Decision
from memquartet.errors import ConfigError
from memquartet.scoring.registry import validate

FRESHENED = [WorldKind.DIALOGUE, WorldKind.FRIENDS, WorldKind.ASSISTANT, WorldKind.DOCUMENTS]


def fresh(split: WorldSplit = WorldSplit.TRAIN, share: float = 1.0, seed: int = 0) -> FreshWords:
    return FreshWords(split, share, Random(seed))


@pytest.mark.parametrize("kind", FRESHENED)
@pytest.mark.parametrize("split", WorldSplit)
def test_what_is_true_stays_true_in_other_words(kind: WorldKind, split: WorldSplit) -> None:
    samples = list(make_worlds(kind, 1, 20, split, fresh=0.6))
    assert validate(samples) == []
    for sample in samples:
        facts = truth_of(sample)
        kept = {f.key: f for f in facts if f.decision not in (None, Decision.NOOP)}
        gists = [f for f in facts if f.gist]
        for question in sample.questions:
            answer = answer_from([*gists, *kept.values()], asked_by(question))
            assert answer in question.answers if question.answers else answer is None


@pytest.mark.parametrize("kind", FRESHENED)
def test_every_sample_has_words_of_its_own_and_the_same_in_every_call(kind: WorldKind) -> None:
    whole = list(make_worlds(kind, 3, 3, fresh=0.8))
    assert whole[1:] == list(make_worlds(kind, 3, 2, fresh=0.8, first=1))
    assert whole == named_world(f"world:{kind}?seed=3&n=3&split=train&fresh=0.8")
    assert whole[0].chunks != next(make_worlds(kind, 3, 1)).chunks


def test_a_name_stays_a_name_an_article_stays_and_times_stay() -> None:
    before, after = cards(WorldSplit.TRAIN), fresh().cards(cards(WorldSplit.TRAIN))
    # A name put together from pieces may happen to be one that there is.
    assert len(set(before.people) & set(after.people)) <= 1
    assert all(re.fullmatch(r"[A-Z][a-z]+", name) for name in after.people)
    topics = {topic.name: topic for topic in after.topics}
    assert all(re.fullmatch(r"a [a-z]+( [a-z]+)?", job) for job in topics["job"].values)
    assert topics["commute time"].values == next(t for t in before.topics if t.name == "commute time").values


def test_dates_and_numbers_of_documents_stay() -> None:
    before, after = document_words(WorldSplit.TRAIN), fresh().documents(document_words(WorldSplit.TRAIN))
    assert after.values["month"] == before.values["month"]
    assert after.values["year"] == before.values["year"]
    assert after.values["person"] != before.values["person"]


@pytest.mark.parametrize("split", WorldSplit)
def test_no_fresh_word_is_one_of_the_other_split(split: WorldSplit) -> None:
    other = next(one for one in WorldSplit if one is not split)
    texts = [file.read_text(encoding="utf-8") for file in files_of(other)]
    known = {word.casefold() for text in texts for word in re.findall(r"[^\W\d_]+", text)}
    drawn = {
        word.casefold()
        for seed in range(5)
        for topic in fresh(split, seed=seed).cards(cards(split)).topics
        for value in topic.values
        for word in value.split()
    }
    kept = {word.casefold() for t in cards(split).topics for v in t.values for word in v.split()}
    invented = {word for word in drawn - kept if word not in ("a", "the")}
    # Names put together from pieces may happen to be words; they are few.
    assert len(invented & known) < len(invented) / 50


def test_every_file_of_a_split_is_known() -> None:
    folder = resources.files("memquartet.benchmarks.worlds") / "vocabulary"
    both = {file for split in WorldSplit for file in files_of(split)}
    assert {file.name for file in both} == {file.name for file in folder.iterdir()}
    assert not set(files_of(WorldSplit.TRAIN)) & set(files_of(WorldSplit.VALIDATION))


@pytest.mark.parametrize(
    ("name", "told"),
    [("world:friends?fresh=2", "fresh must be a share"), ("world:conflict?fresh=0.5", "fresh is for")],
)
def test_a_share_that_cannot_be_is_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        named_world(name)
