from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Task
from memquartet.agents.manager import MemoryManager
from memquartet.agents.rendering import within_window
from memquartet.core.memory import EntryId, Fact, Hit, MemoryEntry, MemoryState, MemoryType
from memquartet.core.samples import Question
from memquartet.core.trajectory import Turn
from memquartet.testing.models import ScriptedModel

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def hit(number: int, content: str = "") -> Hit:
    time = NOON + timedelta(minutes=number)
    entry = MemoryEntry(
        entry_id=EntryId(f"m{number}"),
        memory_type=MemoryType.SEMANTIC,
        content=content or f"memory {number}",
        created_at=time,
        updated_at=time,
    )
    return Hit(entry=entry, score=1.0)


def shown_in(lists: Sequence[Sequence[Hit]]) -> list[set[str]]:
    return [{h.entry.entry_id for h in found} for found in lists]


@given(lists=st.lists(st.lists(st.integers(0, 9), unique=True), max_size=4), room=st.integers(0, 12))
def test_the_newest_memories_that_fit_are_shown(lists: list[list[int]], room: int) -> None:
    hits = [[hit(number) for number in found] for found in lists]
    distinct = sorted({number for found in lists for number in found})
    shown, left_out = within_window(hits, shown_in, lambda sets: len(set().union(*sets)) <= room)
    kept = {f"m{number}" for number in distinct[left_out:]}
    assert left_out == max(0, len(distinct) - room)
    assert shown == [{f"m{n}" for n in found} & kept for found in lists]


def test_a_prompt_that_never_fits_is_made_without_memories() -> None:
    shown, left_out = within_window([[hit(1), hit(2)]], shown_in, lambda _: False)
    assert shown == [set()]
    assert left_out == 2


async def test_the_answerer_leaves_out_the_oldest_memories_and_says_how_many() -> None:
    turns: list[Turn] = []
    model = ScriptedModel(["Rome"], window=120)
    hits = [hit(2, "newest " * 5), hit(0, "oldest " * 5), hit(1, "middle " * 5)]
    question = Question(question_id="q", text="Where?", answers=())
    answerer = Answerer(model=model)
    await answerer.answer(question, hits, MemoryState(), task=Task(seed=1, record=turns.append))
    prompt = model.requests[0].messages[-1].content
    assert ("oldest" in prompt, "middle" in prompt, "newest" in prompt) == (False, True, True)
    assert turns[0].left_out == 1
    assert turns[0].messages == model.requests[0].messages


async def test_the_manager_cannot_name_a_memory_that_was_left_out() -> None:
    turns: list[Turn] = []
    reply = '{"decisions": [{"fact": 0, "op": "UPDATE", "id": "1"}]}'
    manager = MemoryManager(model=ScriptedModel([reply, reply], window=60))
    fact = Fact(text="Anna lives in Rome.", important=True)
    hits = [[hit(0, "Anna lives in Oslo."), hit(1, "Anna is a baker.")]]
    decided = await manager.decide([fact], hits, meta={}, task=Task(seed=1, record=turns.append))
    assert turns[0].left_out == 1
    assert decided.value
    assert decided.value[0].candidates == ("m1",)
    assert decided.value[0].defaulted
