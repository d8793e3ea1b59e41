from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rewards.episodes import World, question, sample

from memquartet.agents.team import Team
from memquartet.core.memory import Delete, Insert, Noop, Update
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Episode, Role
from memquartet.errors import ConfigError, ModelServerError
from memquartet.llm.protocols import ChatRequest
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.limits import LINE
from memquartet.memory.memory import Memory
from memquartet.rewards.branch import branch_credit, without
from memquartet.rewards.credit import CreditMode, Evidence, reward_episode
from memquartet.rollout.episode import Rollout, run_episode
from memquartet.testing.models import ScriptedModel

STORY = Sample(
    sample_id="story",
    chunks=(
        Chunk(text="Ann lives in Rome.", index=0),
        Chunk(text="Bob is a cook.", index=1),
        Chunk(text="Hello there.", index=2),
    ),
    questions=(
        Question(question_id="q0", text="Where does Ann live?", answers=("Rome",)),
        Question(question_id="q1", text="What is Bob?", answers=("cook",)),
    ),
    metric="substring_exact_match",
)


def scripted(*, chat: str = "The two greet.", answer: Callable[[str], str] | None = None) -> ScriptedModel:
    """A team on one model: every sentence is an important fact and stored; the answerer repeats what it sees."""

    def reply(request: ChatRequest) -> str:
        shown = request.messages[-1].content
        schema = str(request.json_schema)
        if "semantic" in schema:
            fact = next(c.text for c in STORY.chunks if c.text in shown)
            kind = "unimportant" if fact.startswith("Hello") else "semantic"
            return f'{{"{kind}": ["{fact}"]}}'
        if "decisions" in schema:
            return '{"decisions": [{"fact": 0, "op": "ADD"}]}'
        if "?" in shown:
            return answer(shown) if answer else shown
        return chat

    return ScriptedModel(reply)


async def lived(model: ScriptedModel) -> tuple[Rollout, Episode]:
    memory = Memory(embedder=NoEmbedder())
    team = Team.of(model)
    episode = await run_episode(STORY, team, memory, seed=3)
    return Rollout(team=team, memory=memory, seed=3), episode


async def test_a_fact_that_an_answer_needs_earns_what_is_lost_without_it() -> None:
    model = scripted()
    rollout, episode = await lived(model)
    credit = await branch_credit(rollout, episode, STORY)
    by_place = {
        (step.index, turn.role): credit.by_turn.get(number)
        for number, (step, turn) in enumerate((s, t) for s in episode.steps for t in s.trajectory.turns)
    }
    # Each of the two facts answers one of two questions; the small talk is in no answer.
    assert by_place == {
        (0, Role.EXTRACTOR): 0.5,
        (0, Role.MANAGER): 0.5,
        (1, Role.EXTRACTOR): 0.5,
        (1, Role.MANAGER): 0.5,
        (2, Role.EXTRACTOR): 0.0,
        (2, Role.SUMMARIZER): 0.0,
    }
    assert credit.probes == 3


async def test_only_answers_whose_prompt_changes_are_asked_again() -> None:
    model = scripted(chat="")  # an empty summary is invalid, so there is no state to blank
    rollout, episode = await lived(model)
    before = len(model.requests)
    credit = await branch_credit(rollout, episode, STORY)
    asked = model.requests[before:]
    # Two branches of two questions each; BM25 shows a fact only to the question that shares a word with it.
    assert credit.probes == 2
    assert credit.answers == len(asked) == 2
    assert all("?" in request.messages[-1].content for request in asked)


async def test_the_summarizer_is_paid_for_what_its_state_holds() -> None:
    rollout, episode = await lived(scripted(chat="Ann lives in Rome; Bob is a cook."))
    credit = await branch_credit(rollout, episode, STORY)
    summarizer = next(i for i, turn in enumerate(episode.turns) if turn.role is Role.SUMMARIZER)
    # The long-term memory says the same, so neither alone is needed.
    assert credit.by_turn[summarizer] == 0.0
    rollout, episode = await lived(
        scripted(chat="Hi", answer=lambda shown: shown if "Context: Hi" in shown else "unknown")
    )
    credit = await branch_credit(rollout, episode, STORY)
    assert credit.by_turn[summarizer] == 1.0


async def test_the_episode_and_its_memory_are_left_as_they_are() -> None:
    rollout, episode = await lived(scripted())
    bytes_before = rollout.memory.canonical_bytes()
    await branch_credit(rollout, episode, STORY)
    assert rollout.memory.canonical_bytes() == bytes_before


async def test_a_budget_bounds_the_probes_and_unprobed_turns_have_no_credit() -> None:
    rollout, episode = await lived(scripted())
    for budget in range(5):
        credit = await branch_credit(rollout, episode, STORY, budget=budget)
        assert credit.probes == min(budget, 3)
    nothing = await branch_credit(rollout, episode, STORY, budget=0)
    assert set(nothing.by_turn.values()) == {None, 0.0}
    assert nothing.answers == 0


async def test_a_fact_that_changed_nothing_counts_zero_beside_the_others() -> None:
    world = World()
    world.step(world.add("Ann lives in Rome."), world.noop("Ann is in Rome", "m1")).answer("Rome", "m1")
    team = Team.of(ScriptedModel(lambda request: request.messages[-1].content))
    made = sample(["Ann lives in Rome."], question(0, "Rome"), metric="substring_exact_match")
    credit = await branch_credit(Rollout(team=team, memory=world.memory), world.episode(), made)
    assert credit.by_turn == {0: 0.5, 1: 0.5}


async def test_equal_seeds_probe_the_same_facts() -> None:
    rollout, episode = await lived(scripted())
    one, other = [await branch_credit(rollout, episode, STORY, budget=2, seed=5) for _ in range(2)]
    assert one == other


async def test_a_server_that_fails_in_a_branch_leaves_no_credit_instead_of_a_wrong_one() -> None:
    down = False

    def answer(shown: str) -> str:
        if down:
            raise ModelServerError("down")
        return shown

    rollout, episode = await lived(scripted(chat="", answer=answer))
    down = True
    credit = await branch_credit(rollout, episode, STORY)
    # The branch without Ann's fact still has the recorded answer about Bob where that prompt is unchanged.
    assert all(value in (None, 0.0) for value in credit.by_turn.values())


async def test_credit_becomes_a_reward_of_every_turn() -> None:
    rollout, episode = await lived(scripted())
    credit = await branch_credit(rollout, episode, STORY)
    rewards = reward_episode(episode, STORY, mode=CreditMode.BRANCH, evidence=Evidence(branch=credit.by_turn))
    assert len(rewards.turns) == len(episode.turns)
    assert rewards.by_role()["manager/branch"] == 0.75


async def test_a_memory_that_the_episode_did_not_write_is_refused() -> None:
    rollout, episode = await lived(scripted())
    with pytest.raises(ConfigError, match="the memory it ended with"):
        await branch_credit(replace(rollout, memory=Memory(embedder=NoEmbedder())), episode, STORY)
    with pytest.raises(ConfigError, match="budget"):
        await branch_credit(rollout, episode, STORY, budget=-1)


# ---------------------------------------------------------------- leaving records out


def clocked() -> Memory:
    ticks = itertools.count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Memory(embedder=NoEmbedder(), clock=lambda: start + timedelta(seconds=next(ticks)))


def contents(memory: Memory) -> list[str]:
    return [entry.content for entry in memory.entries()]


def test_leaving_out_an_insert_lets_a_later_update_stand_as_a_new_entry() -> None:
    memory = clocked()
    memory.insert("semantic", "Ann lives in Paris")
    memory.insert("episodic", "Bob cooked")
    memory.update("m1", "Ann lives in Rome")
    assert contents(without(memory, {1})) == ["Bob cooked", "Ann lives in Rome"]
    assert contents(without(memory, {3})) == ["Ann lives in Paris", "Bob cooked"]


def test_an_entry_that_an_update_brought_back_is_updated_like_any_other() -> None:
    memory = clocked()
    memory.insert("semantic", "Ann lives in Paris")
    memory.update("m1", "Ann lives in Rome")
    memory.update("m1", "Ann lives in Oslo")
    assert contents(without(memory, {1})) == ["Ann lives in Oslo"]


def test_leaving_out_an_insert_makes_its_later_removal_pointless() -> None:
    memory = clocked()
    memory.insert("semantic", "Ann lives in Paris")
    memory.delete("m1")
    memory.insert("semantic", "Ann lives in Rome")
    assert contents(without(memory, {1})) == ["Ann lives in Rome"]
    assert contents(without(memory, {2})) == ["Ann lives in Paris", "Ann lives in Rome"]


def test_later_operations_follow_an_entry_whose_id_moved() -> None:
    memory = clocked()
    for content in ("ant", "bee", "cat"):
        memory.insert("semantic", content)
    memory.update("m2", "bear")
    memory.delete("m3")
    assert contents(without(memory, {1})) == ["bear"]


def test_later_states_survive() -> None:
    memory = clocked()
    memory.insert("semantic", "Ann lives in Paris")
    memory.set_state("small talk")
    assert without(memory, {1}).state().text == "small talk"


def test_leaving_nothing_out_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        without(clocked(), set())


Moves = list[tuple[str, str, int]]
words = st.sampled_from(["ant", "bee", "cat", "dog", "elk", "fox"])
moves = st.lists(st.tuples(st.sampled_from(["insert", "update", "delete", "noop"]), words, st.integers(0, 9)))


def written(stream: Moves) -> Memory:
    """A memory after a stream of operations; what needs an entry is an insert while there is none."""
    memory = clocked()
    for kind, word, pick in stream:
        ids = [entry.entry_id for entry in memory.entries()]
        target = ids[pick % len(ids)] if ids else None
        if kind == "update" and target:
            memory.apply([Update(entry_id=target, content=f"{word} {pick}")])
        elif kind == "delete" and target:
            memory.apply([Delete(entry_id=target)])
        elif kind == "noop":
            memory.apply([Noop(entry_id=target)])
        else:
            memory.apply([Insert(content=f"{word} {pick}")])
    return memory


@settings(deadline=None)
@given(moves)
def test_leaving_out_the_last_record_is_the_memory_before_it(stream: Moves) -> None:
    memory = written(stream)
    if memory.seq:
        branch = without(memory, {memory.seq})
        assert contents(branch) == contents(memory.as_of(memory.seq - 1))


@settings(deadline=None)
@given(moves, words)
def test_a_record_that_nothing_built_on_takes_away_its_own_content_alone(stream: Moves, word: str) -> None:
    memory = written(stream)
    alone = memory.insert("semantic", f"{word} alone")
    seq = memory.seq
    for kind, other, pick in stream:
        if kind == "insert":
            memory.insert("semantic", f"{other} {pick} later")
    left = [entry.content for entry in memory.entries() if entry.entry_id != alone.entry_id]
    assert contents(without(memory, {seq})) == left


@settings(deadline=None)
@given(moves, st.data())
def test_leaving_out_a_noop_changes_nothing(stream: Moves, data: st.DataObject) -> None:
    memory = written(stream)
    noops = [record.seq for record in memory.journal() if isinstance(record.op, Noop)]
    if noops:
        seq = data.draw(st.sampled_from(noops))
        assert contents(without(memory, {seq})) == contents(memory)


@settings(deadline=None)
@given(moves, st.data())
def test_every_record_can_be_left_out_and_nothing_new_is_said(stream: Moves, data: st.DataObject) -> None:
    memory = written(stream)
    if memory.seq:
        seq = data.draw(st.integers(1, memory.seq))
        said = {record.after.content for record in memory.journal() if record.after}
        assert set(contents(without(memory, {seq}))) <= said


async def test_a_branch_has_the_lines_that_it_would_have() -> None:
    memory = Memory(embedder=NoEmbedder())
    old, other, new = (memory.insert("verbatim", text) for text in ("I: Oslo!", "I: hm", "I: Rome!"))
    fact = memory.insert("semantic", "Ann lives in Oslo.", {LINE: old.entry_id})
    before = memory.seq
    memory.update(fact.entry_id, "Ann lives in Rome.", {LINE: new.entry_id})
    memory.insert("semantic", "Ann sings.", {LINE: other.entry_id})
    branch = without(memory, {before + 1})
    assert [entry.content for entry in branch.entries()] == [
        *("I: Oslo!", "I: hm", "I: Rome!"),
        *("Ann lives in Oslo.", "Ann sings."),
    ]
    without_first = without(memory, {1})
    (sings,) = [entry for entry in without_first.entries() if entry.content == "Ann sings."]
    assert without_first.get(str(sings.meta[LINE])).content == "I: hm"
    assert "I: Oslo!" not in [entry.content for entry in without_first.entries()]
