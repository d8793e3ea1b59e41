from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memquartet.agents.answerer import SEARCH_OFFER
from memquartet.agents.team import Team
from memquartet.core.memory import EntryId
from memquartet.core.samples import Question
from memquartet.core.trajectory import Answer, Episode, Role, Search
from memquartet.errors import ModelServerError
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import EpisodeSettings, Rollout
from memquartet.rollout.transcripts import decode_episode, encode_episode
from memquartet.testing.models import Scripted, ScriptedModel

QUESTION = Question(question_id="q", text="What does Ann's sister do for work?", answers=("nurse",))


async def asked(
    replies: Sequence[Scripted], max_searches: int | None, top_k: int = 1, prompts: str | None = None
) -> tuple[Answer, ScriptedModel]:
    memory = Memory(embedder=NoEmbedder())
    memory.insert("semantic", "Ann's sister is Bea.")
    memory.insert("semantic", "Bea is a nurse.")
    memory.insert("semantic", "Cy paints.")
    model = ScriptedModel(list(replies), prompts=prompts)
    settings = EpisodeSettings(answer_top_k=top_k, max_searches=max_searches)
    return await Rollout(team=Team.of(model), memory=memory, settings=settings).answer(QUESTION), model


async def test_a_search_brings_what_the_question_alone_did_not() -> None:
    answer, model = await asked(["search: Bea nurse", "nurse"], 2)
    assert answer.text == "nurse"
    assert answer.hits == ("m1", "m2")
    assert answer.searches == (Search(query="Bea nurse", hits=(EntryId("m2"),)),)
    assert answer.memories == ("Ann's sister is Bea.", "Bea is a nurse.")
    first, second = (request.messages[-1].content for request in model.requests)
    assert "Bea is a nurse." not in first
    assert "- Ann's sister is Bea.\n- Bea is a nurse.\n\nSearched: Bea nurse\n" in second
    assert [turn.output for turn in answer.trajectory.turns] == ["search: Bea nurse", "nurse"]
    assert len({turn.seed for turn in answer.trajectory.turns}) == 2


async def test_after_the_last_search_none_is_offered_and_none_is_taken() -> None:
    answer, model = await asked(["search: Bea", "search: Cy", "search: Ann", "search: Ann"], 2)
    offers = [SEARCH_OFFER in request.messages[-1].content for request in model.requests]
    assert offers[:3] == [True, True, False]
    assert (answer.text, answer.raw) == ("", "")
    assert [search.query for search in answer.searches] == ["Bea", "Cy"]


async def test_memories_that_are_known_are_not_counted_or_shown_twice() -> None:
    answer, model = await asked(["search: Bea", "search: Bea", "nurse"], 2, top_k=3)
    assert [search.hits for search in answer.searches] == [("m2",), ()]
    assert len(set(answer.hits)) == len(answer.hits)
    assert model.requests[-1].messages[-1].content.count("Bea is a nurse.") == 1


async def test_searches_are_part_of_a_transcript() -> None:
    answer, _ = await asked(["search: Bea nurse", "nurse"], 1)
    episode = Episode(sample_id="s", system="quartet", steps=(), answers=(answer,))
    assert decode_episode(encode_episode(episode)).answers[0].searches == answer.searches


async def test_one_search_is_all_there_is_by_default() -> None:
    answer, model = await asked(["search: Bea"], EpisodeSettings().max_searches)
    assert (answer.text, answer.searches, len(model.requests)) == ("search: Bea", (), 1)


async def test_a_model_that_was_taught_to_search_may_unless_told_otherwise(tmp_path: Path) -> None:
    answer, model = await asked(["search: Bea nurse", "nurse"], None, prompts="short")
    assert (answer.text, len(answer.searches)) == ("nurse", 1)
    assert SEARCH_OFFER in model.requests[0].messages[-1].content
    told, _ = await asked(["search: Bea"], 0, prompts="short")
    assert told.text == "search: Bea"
    for role in Role:
        text = "--- user ---\n${question}" if role is Role.ANSWERER else "--- user ---\n${text}"
        (tmp_path / f"{role}.md").write_text(text, encoding="utf-8")
    placeless, _ = await asked(["nurse"], None, prompts=str(tmp_path))
    assert placeless.text == "nurse"


async def test_asked_once_or_with_searches_left_over_the_first_call_has_the_same_seed() -> None:
    once, _ = await asked(["nurse"], 0)
    more, _ = await asked(["nurse"], 3)
    assert once.trajectory.turns[0].seed == more.trajectory.turns[0].seed


async def test_a_server_that_dies_after_a_search_leaves_no_answer_but_its_turns() -> None:
    answer, _ = await asked(["search: Bea", ModelServerError("gone")], 1)
    assert answer.text is None
    assert answer.trajectory.failure is not None
    assert len(answer.trajectory.turns) == 1
