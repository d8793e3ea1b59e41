"""NOOP feedback and provenance credit, and the ways in which one might try to cheat them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rewards.episodes import World, question, sample

from memquartet.core.memory import EntryId
from memquartet.core.samples import Sample
from memquartet.core.trajectory import FactOutcome, Role
from memquartet.rewards.credit import reward_episode
from memquartet.rewards.ledger import Ledger
from memquartet.rewards.outcome import entry_credit, scored_answers
from memquartet.rewards.parts import Part

UNTIMED = settings(deadline=None, max_examples=50)
RICH = sample(["Ann lives in Rome.", "Ann still lives in Rome. Bob is a cook."], question(0, "Rome"))


def part(
    world: World, name: Part, made: Sample = RICH, role: Role = Role.EXTRACTOR, step: int = 0
) -> float | None:
    """The value of a part for the role's turn of a step."""
    rewards = reward_episode(world.episode(), made)
    turns = [reward for reward in rewards.turns if reward.role is role]
    return {found.name: found.value for found in turns[step].parts}[name]


def total(world: World, step: int) -> float:
    """What the extractor earns for a step."""
    rewards = [r for r in reward_episode(world.episode(), RICH).turns if r.role is Role.EXTRACTOR]
    return float(str(rewards[step].total))


def test_a_fact_that_ends_as_noop_lowers_the_extractors_share() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"), world.noop("Ann resides in Rome", "m1")).answer("Rome", "m1")
    assert part(world, Part.NOOP) == 0.5


def test_a_re_mention_of_a_memory_that_a_right_answer_used_is_neutral() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"))
    world.step(world.noop("Ann still lives in Rome", "m1"), world.add("Bob is a cook")).answer("Rome", "m1")
    assert part(world, Part.NOOP, step=1) == 1.0


def test_the_same_re_mention_counts_when_the_answer_was_wrong_or_used_something_else() -> None:
    made = sample(["Ann lives in Rome.", "Ann lives in Rome."], question(0, "Rome"), question(1, "Oslo"))
    for text, hit in (("Rome", "m2"), ("Paris", "m1")):
        world = World()
        world.step(world.add("Ann lives in Rome"), world.add("Bob is a cook"))
        world.step(world.noop("Ann still lives in Rome", "m1"))
        world.answer(text, hit).answer("Oslo")
        assert part(world, Part.NOOP, made, step=1) == 0.0


def test_a_noop_that_names_no_memory_means_the_one_that_resembles_the_fact_most() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"), world.add("Bob is a cook"))
    world.step(world.noop("Ann is in Rome", candidates=("m1", "m2"))).answer("Rome", "m1")
    assert part(world, Part.NOOP, step=1) == 1.0


def test_where_only_another_chunk_is_needed_saying_nothing_is_as_good_as_a_new_fact() -> None:
    made = sample(["Ann lives in Rome.", "Hello!"], question(0, "Rome", evidence=("d0",)))
    silent, talkative = World(), World()
    silent.step(silent.add("Ann lives in Rome")).step().answer("Rome", "m1")
    talkative.step(talkative.add("Ann lives in Rome"))
    talkative.step(talkative.add("They greet")).answer("Rome", "m1")
    assert part(silent, Part.NOOP, made, step=1) == part(talkative, Part.NOOP, made, step=1) == 1.0
    assert part(silent, Part.PROVENANCE, made, step=1) is None


def test_the_guard_is_the_score_of_the_questions_that_need_the_chunk() -> None:
    made = sample(
        ["Ann lives in Rome.", "Bob lives in Oslo."],
        question(0, "Rome", evidence=("d0",)),
        question(1, "Oslo", evidence=("d1",)),
    )
    world = World()
    world.step(world.add("Ann lives in Rome")).step(world.add("Bob exists"))
    world.answer("Rome", "m1").answer("Ulm", "m2")
    assert part(world, Part.NOOP, made, step=0) == 1.0
    assert part(world, Part.NOOP, made, step=1) == 0.0


def test_without_scores_there_is_no_feedback() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"))
    episode = world.episode()
    parts = {p.name: p.value for p in reward_episode(episode, RICH).turns[0].parts}
    assert parts[Part.NOOP] is None
    assert parts[Part.PROVENANCE] is None


# ---------------------------------------------------------------- it does not pay to cheat

TEXTS = st.sampled_from(
    ["Ann lives in Rome", "ann LIVES in rome!", "Bob is a cook", "Cid sails", "Dee sings"]
)
MOVES = st.sampled_from(["add", "noop", "update"])
Moves = list[tuple[str, str]]
STREAM = st.lists(st.tuples(TEXTS, MOVES), min_size=1, max_size=6)
ANSWERS = st.sampled_from(["Rome", "Ulm"])


def do(world: World, text: str, move: str) -> FactOutcome:
    """Carry a move out; what needs an entry is an ADD while there is none."""
    entries = world.memory.entries()
    if move == "add" or not entries:
        return world.add(text)
    target = entries[len(text) % len(entries)].entry_id
    return world.noop(text, target) if move == "noop" else world.update(text, target)


def close(world: World, answer: str) -> World:
    world.answer(answer, *(entry.entry_id for entry in world.memory.entries()))
    return world


@UNTIMED
@given(STREAM, STREAM, ANSWERS)
def test_extracting_nothing_never_earns_more_than_any_other_extraction_with_the_same_answers(
    first: Moves, second: Moves, answer: str
) -> None:
    silent, talking = World(), World()
    silent.step(*(do(silent, *move) for move in first)).step()
    talking.step(*(do(talking, *move) for move in first)).step(*(do(talking, *move) for move in second))
    assert part(close(silent, answer), Part.NOOP, step=1) == 0.0
    assert total(silent, step=1) <= total(close(talking, answer), step=1) + 1e-12


@UNTIMED
@given(STREAM, ANSWERS)
def test_calling_repeated_words_an_add_or_an_update_earns_the_extractor_no_more_than_a_noop(
    first: Moves, answer: str
) -> None:
    by_move: dict[str, tuple[float | None, float | None]] = {}
    for move in ("noop", "add", "update"):
        world = World()
        world.step(*(do(world, *made) for made in first))
        entry = world.memory.entries()[0]
        repeated = entry.content.upper()
        if move == "noop":
            outcome = world.noop(repeated, entry.entry_id)
        elif move == "add":
            outcome = world.add(repeated)
        else:
            outcome = world.update(repeated, entry.entry_id)
        world.step(outcome, world.add("Eve paints"))
        world.answer(answer, entry.entry_id)
        by_move[move] = (part(world, Part.NOOP, step=1), part(world, Part.PROVENANCE, step=1))
    assert by_move["noop"] == by_move["add"] == by_move["update"]


@UNTIMED
@given(STREAM, STREAM, ANSWERS, st.integers(1, 4))
def test_repeating_a_fact_within_a_step_never_raises_the_extractors_reward(
    first: Moves, second: Moves, answer: str, times: int
) -> None:
    def lived(copies: int) -> World:
        world = World()
        world.step(*(do(world, *move) for move in first))
        made = [do(world, *move) for move in second]
        new = world.add("Eve paints")
        again = [world.noop("Eve paints", new.receipts[0].entry_id) for _ in range(copies)]
        return close(world.step(*made, new, *again), answer)

    once, often = lived(0), lived(times)
    most = part(once, Part.NOOP, step=1)
    value = part(often, Part.NOOP, step=1)
    assert value is not None
    assert most is not None
    assert value <= most
    assert part(often, Part.PROVENANCE, step=1) == part(once, Part.PROVENANCE, step=1)


@UNTIMED
@given(STREAM, ANSWERS)
def test_no_extraction_earns_more_than_the_recall_guard(stream: Moves, answer: str) -> None:
    world = World()
    world.step(*(do(world, *move) for move in stream))
    close(world, answer)
    value = part(world, Part.NOOP)
    assert value is not None
    assert value <= (answer == "Rome")


@UNTIMED
@given(STREAM, ANSWERS)
def test_facts_called_unimportant_are_facts_not_extracted(stream: Moves, answer: str) -> None:
    world = World()
    world.step(*(do(world, *move) for move in stream)).step(unimportant=["Bob is a cook", "Ann is in Rome"])
    assert part(close(world, answer), Part.NOOP, step=1) == 0.0


# ---------------------------------------------------------------- provenance


def test_an_entry_retrieved_for_a_right_answer_pays_the_turns_that_wrote_it() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).step(world.add("Bob is a cook")).answer("Rome", "m2", "m1")
    for role in (Role.EXTRACTOR, Role.MANAGER):
        assert part(world, Part.PROVENANCE, role=role, step=0) == 1.0
        assert part(world, Part.PROVENANCE, role=role, step=1) == 0.0


def test_entries_that_say_no_answer_earn_by_rank_where_none_does() -> None:
    made = sample(["Ann has two cats.", "Ann got a third cat."], question(0, "yes"))
    world = World()
    world.step(world.add("Ann has two cats")).step(world.add("Ann got a third cat")).answer("yes", "m2", "m1")
    assert part(world, Part.PROVENANCE, made, step=0) == 0.5
    assert part(world, Part.PROVENANCE, made, step=1) == 1.0


def test_a_wrong_answer_pays_nobody() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).answer("Ulm", "m1")
    assert part(world, Part.PROVENANCE) == 0.0


def test_an_answer_that_is_barely_right_is_not_right() -> None:
    made = sample(["Ann lives in Rome."], question(0, "Rome, Italy, Europe, Earth"), metric="f1")
    world = World()
    world.step(world.add("Ann lives in Rome, Italy, Europe, Earth")).answer("Rome", "m1")
    assert part(world, Part.CORRECTNESS, made) == pytest.approx(0.4)
    assert part(world, Part.PROVENANCE, made) == 0.0


def test_facts_of_a_chunk_that_no_question_needs_are_not_blamed_for_not_being_used() -> None:
    made = sample(["Ann lives in Rome.", "Bob is a cook."], question(0, "Rome", evidence=("d0",)))
    world = World()
    world.step(world.add("Ann lives in Rome")).step(world.add("Bob is a cook")).answer("Rome", "m1", "m2")
    assert part(world, Part.PROVENANCE, made, step=1) is None


def test_an_update_pays_the_last_writer_in_full_and_the_one_before_half() -> None:
    world = World()
    world.step(world.add("Ann lives in Italy")).step(world.update("Ann lives in Rome", "m1"))
    world.answer("Rome", "m1")
    assert part(world, Part.PROVENANCE, step=0) == 0.5
    assert part(world, Part.PROVENANCE, step=1) == 1.0


def test_rewriting_an_entry_with_its_own_words_does_not_take_its_credit() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome")).step(world.update("ann lives in Rome.", "m1"))
    world.answer("Rome", "m1")
    assert part(world, Part.PROVENANCE, step=0) == 1.0
    assert part(world, Part.PROVENANCE, step=1) is None


def test_the_right_answer_that_nothing_is_known_pays_no_entry_and_excuses_no_repetition() -> None:
    made = sample(["Ann lives in Rome.", "Ann lives in Rome."], question(0, "Rome"), question(1))
    world = World()
    world.step(world.add("What the archive says:"))
    world.step(world.noop("What the archive says:", "m1"), world.add("Bob is a cook"))
    world.answer("Ulm", "m1").answer("no information available", "m1", "m2")
    rewards = reward_episode(world.episode(), made)
    assert rewards.outcome == 0.5
    assert part(world, Part.PROVENANCE, made) == 0.0
    assert part(world, Part.PROVENANCE, made, step=1) == 0.0
    assert part(world, Part.NOOP, made, step=1) == 0.0


@UNTIMED
@given(STREAM, STREAM, ANSWERS)
def test_all_parts_and_totals_are_in_zero_to_one(first: Moves, second: Moves, answer: str) -> None:
    world = World()
    world.step(*(do(world, *move) for move in first)).step(*(do(world, *move) for move in second))
    for turn in reward_episode(close(world, answer).episode(), RICH).turns:
        assert turn.total is not None
        assert 0 <= turn.total <= 1
        assert all(found.value is None or 0 <= found.value <= 1 for found in turn.parts)


@pytest.mark.parametrize("step", [0, 1])
def test_extractor_and_manager_share_the_provenance_of_their_step(step: int) -> None:
    world = World()
    world.step(world.add("Ann lives in Rome"), world.add("Bob is a cook"))
    world.step(world.add("Cid sails")).answer("Rome", "m1")
    mine = part(world, Part.PROVENANCE, step=step)
    assert mine == part(world, Part.PROVENANCE, role=Role.MANAGER, step=step) == [0.5, 0.0][step]


def test_where_a_line_of_the_text_alone_says_the_answer_no_fact_earns_anything() -> None:
    world = World()
    world.step(world.add("Ann is fond of tea"), world.add("Ann moved"))
    world.memory.insert("verbatim", "Ann: Rome it is!")
    world.answer("Rome", "m1", "m2", "m3")
    asked = sample(["Ann: Rome it is!"], question(0, "Rome"))
    shown = replace(world.answers[0], memories=("Ann is fond of tea", "Ann moved", "Ann: Rome it is!"))
    episode = replace(world.episode(), answers=(shown,))
    credit = entry_credit(scored_answers(episode, asked), Ledger.of(episode).contents)
    assert credit == {"m3": 1.0}


def test_the_date_that_stands_before_a_line_says_no_answer() -> None:
    world = World()
    world.step(world.add("Ann is fond of tea"))
    world.memory.insert("verbatim", "Ann: hello")
    world.answer("2023", "m1", "m2")
    asked = sample(["Ann: hello"], question(0, "2023"))
    shown = replace(world.answers[0], memories=("Ann is fond of tea", "(2023-05-08) Ann: hello"))
    credit = entry_credit(
        scored_answers(replace(world.episode(), answers=(shown,)), asked),
        {EntryId("m1"): "Ann is fond of tea"},
    )
    assert credit == {"m1": 1.0, "m2": 0.5}  # by rank, as where nothing that was shown says it
