from __future__ import annotations

import json

import pytest

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.dialogue import DialogueShape
from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.truth import TRUTH, Asked, FactKind, Form, TrueFact, truth_of
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.errors import InputError
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import EpisodeSettings, run_episode
from memquartet.scoring.registry import score
from memquartet.systems.living import live
from memquartet.systems.oracle import Oracle, next_query, oracle_team, perfect_turns


async def scores(samples: list[Sample], max_searches: int) -> dict[bool, list[float]]:
    """Scores of the answers, apart for questions that join several facts and others."""
    found: dict[bool, list[float]] = {True: [], False: []}
    settings = EpisodeSettings(max_searches=max_searches)
    for sample in samples:
        episode = await run_episode(sample, oracle_team(sample), Memory(), settings=settings)
        assert {turn.status for turn in episode.turns} == {TurnStatus.OK}
        for answer, question in zip(episode.answers, sample.questions, strict=True):
            value = score(sample.metric, answer.text, question)
            assert value is not None
            found[question.category == QuestionKind.MULTI_HOP].append(value)
    return found


@pytest.mark.parametrize("kind", [WorldKind.CONFLICT, WorldKind.DIALOGUE])
@pytest.mark.parametrize("split", WorldSplit)
async def test_the_pipeline_loses_nothing_when_the_answerer_may_search_twice(
    kind: WorldKind, split: WorldSplit
) -> None:
    found = await scores(list(make_worlds(kind, 11, 12, split)), max_searches=2)
    assert len(found[False]) > 40
    assert sum(found[False]) / len(found[False]) >= 0.98
    assert sum(found[True]) >= 0.98 * len(found[True])


async def test_one_search_is_enough_for_what_one_fact_answers_and_no_more() -> None:
    samples = list(make_worlds(WorldKind.DIALOGUE, 11, 12))
    once, twice = await scores(samples, max_searches=0), await scores(samples, max_searches=1)
    assert once[False] == twice[False]
    assert sum(once[True]) < sum(twice[True])


def told(subject: str, relation: str, value: str) -> TrueFact:
    return TrueFact(
        fact_id="c0:0",
        chunk=0,
        text="",
        kind=FactKind.SEMANTIC,
        subject=subject,
        relation=relation,
        value=value,
    )


def test_the_query_is_the_name_at_which_the_walk_stops() -> None:
    asked = Asked(subject="Ann", relations=("sister", "boss", "home"))
    walk = [told("Ann", "sister", "Bea"), told("Bea", "boss", "Cy"), told("Cy", "home", "Rome")]
    assert [next_query(walk[:known], asked) for known in range(4)] == ["Ann", "Bea", "Cy", None]
    assert next_query([told("Ann", "sister", "")], asked) is None
    assert next_query([], Asked(subject="Ann", relations=("home",))) is None


def test_the_query_for_a_missing_date_is_what_it_dates() -> None:
    asked = Asked(
        form=Form.FIRST, keys=(("Ann", "move"), ("Bea", "move")), labels=("Ann's move", "Bea's move")
    )
    assert next_query([told("Ann", "move", "7 May 2023")], asked) == "Bea's move"


async def test_the_oracle_makes_no_query_twice() -> None:
    for sample in make_worlds(WorldKind.DIALOGUE, 5, 4):
        settings = EpisodeSettings(answer_top_k=1, max_searches=3)
        episode = await run_episode(sample, oracle_team(sample), Memory(), settings=settings)
        for answer in episode.answers:
            queries = [search.query for search in answer.searches]
            assert len(set(queries)) == len(queries)
            assert answer.text


async def test_turns_are_lessons_for_every_role() -> None:
    (sample,) = make_worlds(WorldKind.DIALOGUE, 2, 1)
    turns = await perfect_turns(sample, Memory(embedder=NoEmbedder()))
    assert {turn.role for turn in turns} == set(Role)
    extracted = [json.loads(turn.output) for turn in turns if turn.role is Role.EXTRACTOR]
    texts = [fact for one in extracted for facts in one.values() for fact in facts]
    assert sorted(texts) == sorted(fact.text for fact in truth_of(sample))
    decided = [json.loads(turn.output)["decisions"] for turn in turns if turn.role is Role.MANAGER]
    wanted = [fact.decision for fact in truth_of(sample) if fact.decision]
    assert sum(map(len, decided)) == len(wanted)


async def test_the_manager_judges_what_is_shown_to_it_and_nothing_else() -> None:
    (sample,) = make_worlds(WorldKind.CONFLICT, 2, 1)
    episode = await run_episode(sample, oracle_team(sample), Memory())
    for step in episode.steps:
        for outcome in step.outcomes:
            assert not outcome.defaulted
            if not outcome.candidates:
                assert outcome.decision.value in ("ADD", "NOOP")


async def test_the_oracle_runs_as_a_memory_system() -> None:
    (sample,) = make_worlds(WorldKind.DIALOGUE, 3, 1, dialogue=DialogueShape(multi_hop=0))
    episode = await live(Oracle(embedder=NoEmbedder()), sample)
    assert episode.system == "oracle"
    for answer, question in zip(episode.answers, sample.questions, strict=True):
        assert score(sample.metric, answer.text, question) == 1


def test_a_sample_of_other_origin_is_refused() -> None:
    with pytest.raises(InputError, match=TRUTH):
        oracle_team(Sample(sample_id="s", chunks=(), questions=()))
