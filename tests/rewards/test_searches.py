from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rewards.episodes import World, question, sample, turn

from memquartet.core.memory import EntryId
from memquartet.core.trajectory import Episode, Role, Search, Trajectory, TurnStatus
from memquartet.rewards.credit import CreditMode, TurnReward, reward_episode
from memquartet.rewards.parts import Part
from memquartet.rewards.turns import placed_turns

ANN = sample(["Ann's sister is Bea. Bea lives in Rome."], question(0, "Rome"))
BEA, ROME, NOISE = "m1", "m2", "m3"


def lived(text: str, first: tuple[str, ...], *searches: tuple[str, ...]) -> Episode:
    """An answer from what the first search found, and what each further one brought."""
    world = World()
    world.step(world.add("Ann's sister is Bea"), world.add("Bea lives in Rome"), world.add("Cy paints"))
    world.answer(text, *first, *(hit for search in searches for hit in search))
    (answer,) = world.answers
    world.answers[0] = replace(
        answer,
        searches=tuple(Search(query="x", hits=tuple(map(EntryId, hits))) for hits in searches),
        trajectory=Trajectory(turns=tuple(turn(Role.ANSWERER) for _ in range(len(searches) + 1))),
    )
    return world.episode()


def answerers(episode: Episode, mode: CreditMode = CreditMode.ROLE) -> list[TurnReward]:
    return [paid for paid in reward_episode(episode, ANN, mode=mode).turns if paid.role is Role.ANSWERER]


def part(paid: TurnReward, name: Part) -> float | None:
    return next(one.value for one in paid.parts if one.name == name)


@pytest.mark.parametrize(("text", "score"), [("Rome", 1.0), ("Ulm", 0.0)])
def test_every_turn_of_a_question_shares_the_answers_score(text: str, score: float) -> None:
    turns = answerers(lived(text, (BEA,), (ROME,)))
    assert [part(paid, Part.CORRECTNESS) for paid in turns] == [score, score]
    assert part(turns[-1], Part.SEARCH) is None


@pytest.mark.parametrize(
    ("first", "searches", "useful"),
    [
        ((BEA,), [(ROME,)], [1.0]),
        ((BEA, ROME), [(NOISE,)], [0.0]),
        ((BEA,), [()], [0.0]),
        ((NOISE,), [(BEA,), (ROME,)], [1.0, 1.0]),
        ((BEA,), [(), (ROME,)], [0.0, 1.0]),
        ((BEA,), [(ROME,), (NOISE,)], [1.0, 0.0]),
        ((), [(BEA,), ()], [1.0, 0.0]),
    ],
    ids=[
        "needed",
        "answer was there",
        "nothing new",
        "leads on",
        "first was empty",
        "one too many",
        "nobody says it",
    ],
)
def test_a_search_is_worth_something_where_the_answer_needed_it(
    first: tuple[str, ...], searches: list[tuple[str, ...]], useful: list[float]
) -> None:
    turns = answerers(lived("Rome", first, *searches))[:-1]
    assert [part(paid, Part.SEARCH) for paid in turns] == useful


def test_a_search_for_what_nobody_said_is_wasted() -> None:
    episode = lived("no information available", (BEA,), (NOISE,))
    nothing = sample(["Ann's sister is Bea."], question(0))
    paid = [one for one in reward_episode(episode, nothing).turns if one.role is Role.ANSWERER]
    assert part(paid[0], Part.CORRECTNESS) == 1.0
    assert part(paid[0], Part.SEARCH) == 0.0


ENTRIES = st.lists(st.sampled_from([BEA, ROME, NOISE]), unique=True).map(tuple)


@given(text=st.sampled_from(["Rome", "Ulm"]), first=ENTRIES, wanted=st.lists(ENTRIES, min_size=1, max_size=4))
def test_no_search_earns_more_than_answering_at_once_would(
    text: str, first: tuple[str, ...], wanted: list[tuple[str, ...]]
) -> None:
    seen = set(first)
    searches = []
    for hits in wanted:
        searches.append(tuple(hit for hit in hits if hit not in seen))
        seen |= set(hits)
    (at_once,) = answerers(lived(text, first))
    searching = answerers(lived(text, first, *searches))[:-1]
    assert at_once.total is not None
    for paid in searching:
        assert paid.total is not None
        assert paid.total <= at_once.total
        if not part(paid, Part.SEARCH):
            assert paid.total < at_once.total


def test_turns_after_a_search_are_compared_with_one_another_only() -> None:
    episode = lived("Rome", (NOISE,), (BEA,), (ROME,))
    groups = [paid.group for paid in answerers(episode)]
    assert groups == [f"s/question-0/answerer{after}" for after in ("", "/searched-1", "/searched-2")]
    assert {paid.group for paid in answerers(episode, CreditMode.BROADCAST)} == {"s"}


def test_a_malformed_search_gets_its_format_alone_and_the_next_try_counts() -> None:
    episode = lived("Rome", (BEA,), (ROME,))
    (answer,) = episode.answers
    tries = (
        turn(Role.ANSWERER, TurnStatus.INVALID),
        turn(Role.ANSWERER, TurnStatus.OK, 1),
        turn(Role.ANSWERER),
    )
    episode = replace(episode, answers=(replace(answer, trajectory=Trajectory(turns=tries)),))
    malformed, search, last = answerers(episode)
    assert (malformed.total, [one.name for one in malformed.parts]) == (0.0, [Part.FORMAT])
    assert (part(search, Part.SEARCH), part(last, Part.SEARCH)) == (1.0, None)
    placed = [one for one in placed_turns(episode) if one.answer is not None]
    assert [(one.counted, one.searches) for one in placed] == [(False, 0), (True, 0), (True, 1)]
