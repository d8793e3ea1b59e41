from __future__ import annotations

import json

import pytest

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.dialogue import DialogueShape
from memquartet.benchmarks.worlds.questions import QuestionKind
from memquartet.benchmarks.worlds.truth import TRUTH, truth_of
from memquartet.benchmarks.worlds.vocabulary import WorldSplit
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.errors import InputError
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.scoring.registry import score
from memquartet.systems.living import live
from memquartet.systems.oracle import Oracle, oracle_team, perfect_turns


async def scores(samples: list[Sample]) -> dict[bool, list[float]]:
    """Scores of the answers, apart for questions that join two facts and others."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for sample in samples:
        episode = await run_episode(sample, oracle_team(sample), Memory())
        assert {turn.status for turn in episode.turns} == {TurnStatus.OK}
        for answer, question in zip(episode.answers, sample.questions, strict=True):
            value = score(sample.metric, answer.text, question)
            assert value is not None
            found[question.category == QuestionKind.MULTI_HOP].append(value)
    return found


@pytest.mark.parametrize("kind", [WorldKind.CONFLICT, WorldKind.DIALOGUE])
@pytest.mark.parametrize("split", WorldSplit)
async def test_the_pipeline_loses_nothing_that_one_search_can_find(
    kind: WorldKind, split: WorldSplit
) -> None:
    found = await scores(list(make_worlds(kind, 11, 12, split)))
    assert len(found[False]) > 40
    assert sum(found[False]) / len(found[False]) >= 0.98
    assert sum(found[True]) / len(found[True]) >= 0.4


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
