from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memquartet.agents.rendering import memory_line
from memquartet.agents.team import Team
from memquartet.core.memory import (
    EVERYWHERE,
    FACT_TYPES,
    Delete,
    Insert,
    MemoryType,
    MetaValue,
    Scope,
    Update,
)
from memquartet.core.samples import Chunk, Question
from memquartet.llm.protocols import ChatRequest
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.limits import LINE
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters
from memquartet.rollout.episode import EpisodeSettings, Rollout
from memquartet.rollout.lines import LINE_TOKENS, lines_of, source_of, with_line
from memquartet.rollout.rethink import rethink
from memquartet.testing.models import ScriptedModel
from memquartet.text.tokens import default_counter

FIRST = (
    "Ann: I moved to Oslo in May, with two suitcases and a plant.\nBea: The rain here never ends.\n"
    "Ann: And I play the cello badly, sorry neighbours."
)
SECOND = "Ann: I left in tears, I moved to Rome.\nAnn: Still playing the cello, worse than ever!"
FACTS = {
    FIRST: '{"semantic": ["Ann moved to Oslo in May.", "Ann plays the cello."], "episodic": [], "unimportant": []}',
    SECOND: '{"semantic": ["Ann moved to Rome.", "Ann is playing the cello."], "episodic": [], "unimportant": []}',
}


def script(request: ChatRequest) -> str:
    system, task = request.messages[0].content, request.messages[-1].content
    if system.startswith("You extract"):
        return next(facts for text, facts in FACTS.items() if text in task)
    if system.startswith("You keep a long-term"):
        return '["UPDATE 0", "NOOP"]' if "Rome" in task else '["ADD", "ADD"]'
    return "never"


async def read(
    line_top_k: int | None, *texts: str, memory: Memory | None = None, scope: Scope = EVERYWHERE
) -> tuple[Rollout, ScriptedModel]:
    model = ScriptedModel(script)
    memory = memory or Memory(embedder=NoEmbedder())
    settings = EpisodeSettings(line_top_k=line_top_k)
    rollout = Rollout(team=Team.of(model), memory=memory, settings=settings, scope=scope)
    for number, text in enumerate(texts):
        await rollout.read_chunk(Chunk(text=text, index=number))
    return rollout, model


def said(memory: Memory) -> list[str]:
    lines = memory.entries(Filters(memory_types=frozenset({MemoryType.VERBATIM})))
    return [entry.content for entry in lines]


async def test_lines_are_kept_and_shown_beside_the_facts() -> None:
    rollout, model = await read(2, FIRST)
    assert said(rollout.memory) == FIRST.splitlines()
    answer = await rollout.answer(Question(question_id="q", text="When does the rain end?", answers=()))
    assert "- Bea: The rain here never ends." in model.requests[-1].messages[-1].content
    kinds = [rollout.memory.get(hit).memory_type for hit in answer.hits]
    assert kinds == sorted(kinds, key=lambda kind: kind is MemoryType.VERBATIM)
    assert answer.memories == tuple(rollout.memory.get(hit).content for hit in answer.hits)


async def test_what_is_no_line_is_never_removed_as_one() -> None:
    rollout, _ = await read(5, FIRST)
    oslo, cello = rollout.memory.entries(Filters(memory_types=FACT_TYPES))
    rollout.memory.update(oslo.entry_id, oslo.content, {LINE: cello.entry_id})
    await rollout.read_chunk(Chunk(text=SECOND, index=1))
    assert cello.entry_id in rollout.memory


async def test_the_manager_never_sees_a_line() -> None:
    _, model = await read(5, FIRST, SECOND)
    shown = [r.messages[-1].content for r in model.requests if "keep a long-term" in r.messages[0].content]
    assert len(shown) == 2
    assert not any("Ann: " in prompt or "Bea: " in prompt for prompt in shown)


async def test_no_line_is_kept_unless_asked_for_or_taught() -> None:
    for wish in (None, 0):
        rollout, _ = await read(wish, FIRST)
        assert said(rollout.memory) == []
        assert {entry.memory_type for entry in rollout.memory.entries()} <= FACT_TYPES
        assert not any(LINE in entry.meta for entry in rollout.memory.entries())


async def test_a_line_goes_with_its_fact_and_one_that_tells_nothing_new_is_not_kept() -> None:
    rollout, _ = await read(5, FIRST, SECOND)
    assert said(rollout.memory) == [*FIRST.splitlines()[1:], SECOND.splitlines()[0]]
    (home,) = [entry for entry in rollout.memory.entries() if "Rome" in entry.content and LINE in entry.meta]
    assert rollout.memory.get(str(home.meta[LINE])).content == SECOND.splitlines()[0]


async def test_a_line_stays_as_long_as_another_fact_names_it() -> None:
    rollout, _ = await read(5, FIRST)
    oslo, cello = rollout.memory.entries(Filters(memory_types=FACT_TYPES))
    rollout.memory.update(cello.entry_id, cello.content, {LINE: oslo.meta[LINE]})
    await rollout.read_chunk(Chunk(text=SECOND, index=1))
    assert FIRST.splitlines()[0] in said(rollout.memory)


async def test_rethinking_leaves_lines_alone() -> None:
    rollout, model = await read(5, FIRST)
    memory = rollout.memory
    memory.insert("verbatim", FIRST.splitlines()[1])
    before = said(memory)
    await rethink(memory, rollout.team.manager)
    assert said(memory) == before
    assert not any("rain" in request.messages[-1].content for request in model.requests[2:])


def test_long_lines_are_cut_between_sentences_and_empty_ones_left_out() -> None:
    sentence = "The tall clock in the hall strikes every quarter of an hour. "
    found = lines_of(f"Ann: Hi.\n\n  \nBea: {sentence * 20}\n")
    assert found[0] == "Ann: Hi."
    assert len(found) > 2
    assert all(default_counter().count(line) <= LINE_TOKENS and line.endswith(".") for line in found)
    assert all(line.startswith("Bea: ") for line in found[1:])
    assert lines_of(" \n") == lines_of("") == []


def test_a_fact_comes_from_the_line_that_shares_most_with_it_or_from_none() -> None:
    lines = lines_of("Ann: I bought a red kayak.\nBea: A kayak! Red!\nAnn: Yes.")
    assert source_of("Ann bought a red kayak.", lines) == 0
    assert source_of("Cy owns three goats.", lines) is None
    assert source_of("", lines) is None
    assert source_of("Ann said yes.", []) is None
    assert source_of("The kayak is red.", lines_of("a red kayak\nthe red kayak")) == 1


def test_an_operation_that_writes_names_its_line_and_no_former_one() -> None:
    insert = with_line(Insert(content="x", meta={LINE: "m1", "chunk": 2}), None)
    assert insert.meta == {"chunk": 2}
    update = with_line(Update(entry_id="m2", content="x", meta={LINE: "m1"}), "m9")  # type: ignore[arg-type]
    assert update.meta == {LINE: "m9"}
    delete = Delete(entry_id="m2")  # type: ignore[arg-type]
    assert with_line(delete, "m9") is delete  # type: ignore[arg-type]


def test_a_taught_answerer_is_shown_fewer_facts_unless_told_otherwise() -> None:
    taught = Team.of(ScriptedModel([], prompts="short")).answerer
    other = Team.of(ScriptedModel([])).answerer
    assert EpisodeSettings().top_k(taught) < EpisodeSettings().top_k(other)
    assert EpisodeSettings(answer_top_k=3).top_k(taught) == 3


def test_a_taught_answerer_is_shown_lines_unless_told_otherwise() -> None:
    taught = Team.of(ScriptedModel([], prompts="short")).answerer
    plain = Team.of(ScriptedModel([])).answerer
    assert EpisodeSettings().lines(taught) == taught.taught_lines > 0
    assert EpisodeSettings().lines(plain) == 0
    assert EpisodeSettings(line_top_k=0).lines(taught) == 0


def test_a_head_and_what_is_said_twice_in_a_chunk_make_no_lines() -> None:
    assert lines_of("[Monday 6 March 2024, 09:29]\nAnn: Hi!\nBea: Hi!\nAnn: Hi!") == ["Ann: Hi!", "Bea: Hi!"]
    assert lines_of("[Friday]\n1. Ann left. 2. Bea came.\n[Code: 4711]") == [
        *("1. Ann left.", "2. Bea came.", "[Code: 4711]")
    ]
    assert lines_of("Dr. Smith came late. He left.") == ["Dr. Smith came late.", "He left."]
    assert lines_of("What the archive says:\n1. Ann left.") == ["What the archive says:", "1. Ann left."]


async def test_what_was_said_in_many_chunks_is_shown_once() -> None:
    FACTS["Cy: Tea, please."] = '{"semantic": [], "episodic": [], "unimportant": []}'
    rollout, _ = await read(5, *["Cy: Tea, please."] * 3)
    assert said(rollout.memory) == ["Cy: Tea, please."] * 3
    assert [hit.entry.content for hit in await rollout.retrieve("tea")] == ["Cy: Tea, please."]


async def test_what_was_said_on_two_days_is_shown_for_both() -> None:
    FACTS["Cy: I ran ten miles."] = '{"semantic": [], "episodic": [], "unimportant": []}'
    rollout, _ = await read(5)
    for number, day in enumerate((1, 1, 9)):
        time = datetime(2024, 5, day, tzinfo=UTC)
        await rollout.read_chunk(Chunk(text="Cy: I ran ten miles.", index=number, time=time))
    shown = [memory_line(hit.entry) for hit in await rollout.retrieve("miles")]
    assert sorted(shown) == ["(2024-05-01) Cy: I ran ten miles.", "(2024-05-09) Cy: I ran ten miles."]


@pytest.mark.parametrize("meta", [None, {}, {"topic": "home"}])
async def test_a_correction_takes_the_old_line_along(meta: dict[str, MetaValue] | None) -> None:
    rollout, _ = await read(5, FIRST)
    memory = rollout.memory
    oslo, _ = memory.entries(Filters(memory_types=FACT_TYPES))
    memory.update(oslo.entry_id, oslo.content)
    assert FIRST.splitlines()[0] in said(memory)
    memory.update(oslo.entry_id, "Ann moved to Rome.", meta)
    assert FIRST.splitlines()[0] not in said(memory)
    assert LINE not in memory.get(oslo.entry_id).meta
    own = memory.insert("semantic", "Ann sings.", {LINE: "page 3"})
    assert memory.update(own.entry_id, "Ann hums.").meta == {LINE: "page 3"}


@pytest.mark.parametrize("durable", [False, True])
async def test_whoever_replaces_or_deletes_a_fact_takes_its_line_along(durable: bool, tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "m.db", embedder=NoEmbedder()) if durable else None
    ann = Scope(user_id="ann")
    rollout, _ = await read(5, FIRST, memory=memory, scope=ann)
    memory = rollout.memory
    oslo, cello = memory.entries(Filters(memory_types=FACT_TYPES))
    records = memory.seq
    memory.delete(oslo.entry_id)
    assert FIRST.splitlines()[0] not in said(memory)
    assert memory.seq == records + 2
    memory.update(cello.entry_id, "Ann has given up the cello.", {})
    assert said(memory) == FIRST.splitlines()[1:2]
    memory.undo(records + 2)
    memory.undo(records + 1)
    assert FIRST.splitlines()[0] in said(memory)
    assert memory.entries(Filters(memory_types=FACT_TYPES))[-1].scope == ann
    assert Memory.replay(memory, embedder=NoEmbedder()).canonical_bytes() == memory.canonical_bytes()
    memory.close()


async def test_a_line_of_somebody_else_is_out_of_reach() -> None:
    rollout, _ = await read(5, FIRST, scope=Scope(user_id="ann"))
    memory = rollout.memory
    (line,) = [e for e in memory.entries() if e.content == FIRST.splitlines()[1]]
    bob = Scope(user_id="bob")
    fact = memory.insert("semantic", "It rains.", {LINE: line.entry_id}, scope=bob)
    memory.delete(fact.entry_id, scope=bob)
    assert line.entry_id in memory
    other = replace(rollout, scope=bob)
    assert await other.retrieve("the rain") == []


async def test_where_the_window_is_small_lines_are_left_out_before_facts() -> None:
    rollout, _ = await read(8, FIRST)
    whole = ScriptedModel(["x"])
    small = ScriptedModel(["x"], window=200)
    for model in (whole, small):
        narrow = replace(rollout, team=Team.of(model))
        await narrow.answer(Question(question_id="q", text="Ann cello rain Oslo?", answers=()))
    fact, line = "- Ann moved to Oslo in May.", f"- {FIRST.splitlines()[0]}"
    assert fact in whole.requests[0].messages[-1].content
    assert line in whole.requests[0].messages[-1].content
    assert fact in small.requests[0].messages[-1].content
    assert line not in small.requests[0].messages[-1].content


async def test_prompts_that_show_the_memory_show_its_facts() -> None:
    rollout, _ = await read(5, FIRST)
    for mode in ("memorize", "chat", "rethink"):
        assert "never ends" not in rollout.memory.render_system_prompt(mode, "the rain")
