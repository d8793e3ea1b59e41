from __future__ import annotations

from itertools import pairwise

import pytest

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.scenes import SceneShape, read_scenes, scene_samples, scenes
from memquartet.benchmarks.worlds.truth import FactKind, answer_from, asked_by, truth_of
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Decision
from memquartet.errors import ConfigError

SCENE = """
## a boat
boat: a canoe | a dinghy
--- 0
a: What on earth is that?
b: {boat}. I launch it on {@40s}.
fact b.project = {boat} :: {b} builds {boat}.
event b.launch = {@40} :: {b} launches the boat on {@40}.
a: What a lovely {@0w}.
chat the lovely day :: {a} likes the day.
--- 12
b: Not on {@40s} but on {@50s}.
event b.launch = {@50} :: {b}'s launch was moved to {@50}.
b: And {boat} leaks, I gave up.
fact b.project = :: {b} gave up on {boat}.
ask b.launch: When is {b}'s launch? | When does {b} launch the boat?
ask b.project: What does {b} build?
none: Who is {c}?
"""


def problem(text: str) -> str:
    with pytest.raises(ValueError, match=r"scene|fact") as caught:
        read_scenes(text)
    return str(caught.value)


def test_a_scene_says_what_was_said_by_whom_on_which_day() -> None:
    (scene,) = read_scenes(SCENE)
    assert scene.title == "a boat"
    assert [(turn.day, turn.speaker, len(turn.facts)) for turn in scene.turns] == [
        (0, "a", 0),
        (0, "b", 2),
        (0, "a", 1),
        (12, "b", 1),
        (12, "b", 1),
    ]
    assert [asked.relation for asked in scene.questions] == ["launch", "project", ""]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("she said so", "no such line"),
        ("b: {colour} it is", "'colour'"),
        ("b: {@4x} it is", "braces"),
        ("ask b.age: How old is {b}?", "no fact says b.age"),
        ("fact b.age 40", "no such line"),
        ("--- soon", "no such line"),
        ("--- 3\nb: Well.", "day 3 comes after day 12"),
        ("fact b.age = 40 :: {b} is 39.", "does not say '40'"),
        ("fact b.age = 40 :: {b} is 40.\nfact b.age = 41 :: {b} is 41.", "one thing twice"),
        ("fact b.age = 40 :: {b} is 40.\nfact b.years = 40 :: {b} is 40.", "twice"),
        ("fact b.friend = {c} :: {b}'s friend is {c}.", "nobody says 'c'"),
        ("chat rain, wind :: {b} speaks of rain.", "a comma"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(line: str, told: str) -> None:
    *lines, launch, project, none = SCENE.strip().splitlines()
    asked = (line,) if line.startswith("ask") else ()
    said = () if asked else (line,)
    assert told in problem("\n".join((*lines, *said, launch, project, none, *asked)))


def test_what_is_drawn_is_used_and_names_only_what_was_drawn_before() -> None:
    assert "never used" in problem(SCENE.replace("boat: a canoe", "hull: red | blue\nboat: a canoe"))
    assert "'hull'" in problem(SCENE.replace("boat: a canoe", "boat: a {hull} canoe"))


def test_text_before_the_first_scene_is_no_scene() -> None:
    with pytest.raises(ValueError, match=r"before the first scene, .*'##a boat'"):
        read_scenes(SCENE.replace("## a boat", "##a boat"))


def test_a_fact_needs_a_turn() -> None:
    assert "scene 'x': a fact before any turn" in problem("## x\n--- 0\nfact b.age = 40 :: {b} is 40.")


@pytest.mark.parametrize("split", list(WorldSplit))
def test_the_shipped_scenes_are_true_and_what_changes_in_them_is_asked(split: WorldSplit) -> None:
    told = list(scene_samples(2 * len(scenes(split)), seed=1, split=split))
    kinds = {question.category for sample in told for question in sample.questions}
    assert kinds >= {QuestionKind.SINGLE_HOP, QuestionKind.KNOWLEDGE_UPDATE, QuestionKind.ABSTENTION}
    for sample in told:
        facts = truth_of(sample)
        text = "\n".join(chunk.text for chunk in sample.chunks)
        assert "{" not in text + "".join(fact.text for fact in facts)
        assert not any(fact.text[0].islower() for fact in facts)
        for question in sample.questions:
            assert answer_from(facts, asked_by(question)) == (question.answers or (None,))[0]
        for chunk in sample.chunks:
            keys = [f.key for f in facts if f.chunk == chunk.index and f.kind is not FactKind.UNIMPORTANT]
            assert len(set(keys)) == len(keys)
    assert {fact.decision for sample in told for fact in truth_of(sample)} >= set(Decision)


def test_equal_seeds_tell_equal_scenes_and_a_scene_that_comes_again_is_another() -> None:
    split = WorldSplit.VALIDATION
    count = len(scenes(split))

    def drawn(first: int, n: int) -> list[Sample]:
        return list(make_worlds(WorldKind.SCENES, 5, n, split, first=first))

    whole = drawn(0, 2 * count)
    assert whole[3:] == drawn(3, 2 * count - 3)
    assert whole[0].chunks != whole[count].chunks


def test_chunks_are_as_long_as_wanted_unless_a_turn_hangs_on_the_one_before() -> None:
    told = list(scene_samples(9, seed=2, split=WorldSplit.VALIDATION, shape=SceneShape(lines=3)))
    lengths = [len(chunk.source_ids) for sample in told for chunk in sample.chunks]
    assert sum(length <= 3 for length in lengths) > 0.7 * len(lengths)
    assert max(lengths) <= 12
    sample = told[0]
    assert all(one.time <= two.time for one, two in pairwise(sample.chunks) if one.time and two.time)
    with pytest.raises(ConfigError, match="needs a line"):
        SceneShape(lines=0)


def test_training_and_validation_share_no_sentence() -> None:
    train, validation = (
        {turn.text for scene in scenes(split) for turn in scene.turns if len(turn.text) > 30}
        for split in WorldSplit
    )
    assert not train & validation
