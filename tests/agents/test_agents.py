import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import AgentSettings, Task, render_prompt, shipped_prompt
from memquartet.agents.extractor import MAX_FACT_CHARACTERS, FactExtractor
from memquartet.agents.manager import FactDecision, MemoryManager
from memquartet.agents.rendering import ShortIds, memory_line
from memquartet.agents.summarizer import Summarizer
from memquartet.core.memory import (
    Delete,
    EntryId,
    Fact,
    Hit,
    Insert,
    MemoryEntry,
    MemoryState,
    MemoryType,
    Noop,
    Update,
)
from memquartet.core.messages import Speaker
from memquartet.core.samples import Chunk, Question
from memquartet.core.trajectory import Decision, Turn, TurnStatus
from memquartet.errors import ConfigError, ModelServerError
from memquartet.testing.models import Reply, ScriptedModel

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ONE_TRY = AgentSettings(max_attempts=1)


def entry(number: int, content: str, **meta: str) -> MemoryEntry:
    return MemoryEntry(
        entry_id=EntryId(f"m{number}"),
        memory_type=MemoryType.SEMANTIC,
        content=content,
        meta=meta,
        created_at=NOON,
        updated_at=NOON,
    )


def hit(number: int, content: str, **meta: str) -> Hit:
    return Hit(entry=entry(number, content, **meta), score=1.0)


def task() -> tuple[Task, list[Turn]]:
    turns: list[Turn] = []
    return Task(seed=7, record=turns.append), turns


async def extract(*outputs: str | Reply) -> tuple[tuple[Fact, ...] | None, list[Turn]]:
    where, turns = task()
    agent = FactExtractor(model=ScriptedModel(list(outputs)))
    return (await agent.extract(Chunk(text="x" * 3000, index=0, time=NOON), task=where)).value, turns


async def test_facts_keep_their_kind_and_repetitions_are_reported() -> None:
    output = {"semantic": ["A is b.", "A is b."], "episodic": ["C came."], "unimportant": ["Hi."]}
    facts, (turn,) = await extract(json.dumps(output))
    assert facts == (
        Fact(text="A is b.", important=True),
        Fact(text="C came.", important=True, memory_type=MemoryType.EPISODIC),
        Fact(text="Hi.", important=False),
    )
    assert turn.status is TurnStatus.REPAIRED
    assert "given twice" in turn.errors[0]
    assert turn.parsed == {"semantic": ["A is b."], "episodic": ["C came."], "unimportant": ["Hi."]}


async def test_other_spellings_of_facts_are_accepted() -> None:
    facts, (turn,) = await extract('{"important": [{"fact": "A is b.", "type": "episodic"}, "C is d."]}')
    assert facts is not None
    assert [(f.text, f.memory_type.value) for f in facts] == [
        ("A is b.", "episodic"),
        ("C is d.", "semantic"),
    ]
    assert turn.status is TurnStatus.OK


async def test_an_unusable_output_goes_back_to_the_model_with_what_is_wrong() -> None:
    facts, (first, second) = await extract("Sure! Here are the facts.", '{"semantic": ["A is b."]}')
    assert facts == (Fact(text="A is b.", important=True),)
    assert (first.status, second.status) == (TurnStatus.INVALID, TurnStatus.OK)
    assert second.messages[-2].content == "Sure! Here are the facts."
    assert first.errors[0] in second.messages[-1].content
    assert first.seed != second.seed


async def test_two_unusable_outputs_are_no_facts_and_stay_on_record() -> None:
    facts, turns = await extract("[]", '{"thoughts": []}')
    assert facts is None
    assert [turn.status for turn in turns] == [TurnStatus.INVALID] * 2
    assert all(turn.errors for turn in turns)


async def test_facts_that_are_no_short_sentences_are_dropped_with_a_word() -> None:
    long = "a" * (MAX_FACT_CHARACTERS + 1)
    facts, (turn,) = await extract(json.dumps({"semantic": [long, 5, "", "A is b."], "episodic": "no list"}))
    assert facts == (Fact(text="A is b.", important=True),)
    assert len(turn.errors) == 4


async def test_the_last_fact_of_a_cut_output_is_not_stored() -> None:
    cut = Reply(text='{"semantic": ["Ann lives in Rome.", "Ann has a', finish_reason="length")
    facts, (turn,) = await extract(cut)
    assert facts == (Fact(text="Ann lives in Rome.", important=True),)
    assert any("cut" in error for error in turn.errors)


async def decide(
    facts: Sequence[str], hits: Sequence[Sequence[Hit]], *outputs: object
) -> tuple[tuple[FactDecision, ...], list[Turn]]:
    where, turns = task()
    texts = [o if isinstance(o, str | Reply) else json.dumps(o) for o in outputs]
    manager = MemoryManager(model=ScriptedModel(texts), settings=AgentSettings(max_attempts=len(texts)))
    found = [Fact(text=text, important=True) for text in facts]
    reply = await manager.decide(found, hits, meta={"chunk": 3}, task=where)
    assert reply.value is not None
    return reply.value, turns


async def test_decisions_become_operations_on_the_shown_entries() -> None:
    facts = ["Ann lives in Rome.", "Bo is a nurse.", "Jon sold his car.", "Mel is 30."]
    hits = [
        [hit(11, "Ann lives in Oslo.", user="a")],
        [hit(12, "Bo is a nurse.")],
        [hit(13, "Jon has a car.")],
        [],
    ]
    decisions, (turn,) = await decide(
        facts,
        hits,
        [
            {"fact": 0, "op": "UPDATE", "id": "0"},
            {"fact": 1, "op": "NOOP", "id": "1"},
            {"fact": 2, "op": "DELETE", "id": "2", "text": ""},
            {"fact": 3, "op": "ADD", "text": "Mel is thirty."},
        ],
    )
    assert [d.ops for d in decisions] == [
        (Update(entry_id=EntryId("m11"), content="Ann lives in Rome.", meta={"user": "a", "chunk": 3}),),
        (Noop(entry_id=EntryId("m12")),),
        (Delete(entry_id=EntryId("m13")),),
        (Insert(content="Mel is thirty.", meta={"chunk": 3}),),
    ]
    assert turn.status is TurnStatus.OK
    assert turn.parsed == ["UPDATE", "NOOP", "DELETE", "ADD"]


async def test_a_contradiction_leaves_the_new_fact_in_memory() -> None:
    echo = {"memory": [{"id": "0", "text": "Ann loves cheese.", "event": "DELETE"}]}
    (decision,), _ = await decide(["Ann dislikes cheese."], [[hit(5, "Ann loves cheese.")]], echo)
    assert decision.decision is Decision.DELETE
    assert decision.ops == (
        Delete(entry_id=EntryId("m5")),
        Insert(content="Ann dislikes cheese.", meta={"chunk": 3}),
    )


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ([{"fact": 0, "op": "UPDATE", "id": "7"}], "names memory '7'; shown were: 0"),
        ([{"fact": 0, "op": "DELETE", "id": "m11"}], "names memory 'm11'"),
        ([{"fact": 0, "op": "NOOP", "id": "7"}], "NOOP names memory '7'; shown were: 0"),
        ([], "has no decision"),
        ([{"fact": 0, "op": "ADD", "text": "x" * 5000}], "more than"),
        ("what?", "no JSON"),
    ],
)
async def test_a_fact_without_a_usable_decision_is_stored_and_reported(
    output: object, complaint: str
) -> None:
    (decision,), (first, last) = await decide(["Ann is b."], [[hit(11, "Ann is a.")]], output, output)
    assert decision.defaulted
    assert decision.ops == (Insert(content="Ann is b.", meta={"chunk": 3}),)
    assert (first.status, last.status) == (TurnStatus.INVALID, TurnStatus.INVALID)
    assert any(complaint in error for error in last.errors)


async def test_a_fact_in_the_same_words_is_not_stored_twice_by_default() -> None:
    (decision,), _ = await decide(["Ann is b."], [[hit(11, "ann is B.")]], "what?")
    assert decision.defaulted
    assert decision.ops == (Noop(entry_id=EntryId("m11")),)


async def test_an_entry_deleted_for_one_fact_cannot_be_changed_for_the_next() -> None:
    shown = [hit(11, "Ann is a.")]
    (first, second), _ = await decide(["X.", "Y."], [shown, shown], ["DELETE 0", "UPDATE 0"])
    assert [op.kind for op in first.ops] == ["delete", "insert"]
    assert second.defaulted
    assert [op.kind for op in second.ops] == ["insert"]


async def test_a_second_update_of_one_entry_does_not_overwrite_the_first_fact() -> None:
    shown = [hit(11, "Ann lives in Oslo.")]
    (first, second), (turn,) = await decide(
        ["Ann lives in Rome.", "Ann has a cat."], [shown, shown], ["UPDATE 0", "UPDATE 0"]
    )
    assert [op.kind for op in first.ops] == ["update"]
    assert second.ops == (Insert(content="Ann has a cat.", meta={"chunk": 3}),)
    assert not second.defaulted
    assert second.decision is Decision.ADD
    assert turn.status is TurnStatus.REPAIRED
    assert turn.errors == ("fact 1: memory 0 was updated by an earlier decision; added instead",)


async def test_two_facts_may_be_merged_into_one_entry_by_the_same_text() -> None:
    shown = [hit(11, "Ann lives in Oslo.")]
    merged = "UPDATE 0: Ann lives in Rome with a cat."
    (_, second), _ = await decide(["Ann lives in Rome.", "Ann has a cat."], [shown, shown], [merged, merged])
    assert not second.defaulted
    assert [op.kind for op in second.ops] == ["update"]


async def test_a_text_that_is_cut_before_its_first_character_does_not_drop_the_fact() -> None:
    cut = Reply(
        text='{"decisions": [{"fact": 0, "op": "DELETE", "id": "0", "text": "', finish_reason="length"
    )
    (decision,), _ = await decide(["Ann is b."], [[hit(11, "Ann is a.")]], cut)
    assert [op.kind for op in decision.ops] == ["delete", "insert"]


async def test_a_memory_deleted_for_one_fact_does_not_say_the_next() -> None:
    shown = [hit(11, "Ann is a.")]
    (_, second), _ = await decide(
        ["X.", "Ann is a."], [shown, []], [{"op": "DELETE", "id": "0"}, {"op": "NOOP", "id": "0"}]
    )
    assert second.defaulted
    assert [op.kind for op in second.ops] == ["insert"]


async def test_the_last_text_of_a_cut_output_is_replaced_by_the_fact() -> None:
    cut = Reply(text='{"decisions": [{"fact": 0, "op": "ADD", "text": "Ann is', finish_reason="length")
    (decision,), _ = await decide(["Ann is b."], [[]], cut)
    assert decision.ops == (Insert(content="Ann is b.", meta={"chunk": 3}),)


async def test_a_review_never_deletes_every_memory_and_touches_only_what_was_shown() -> None:
    where, turns = task()
    entries = [entry(1, "Ann is a nurse."), entry(2, "Ann works as a nurse.")]
    outputs = [
        '["DELETE 0", "DELETE 1"]',
        '[{"op": "UPDATE", "id": "0", "text": "Ann works as a nurse."}, {"op": "DELETE", "id": "1"}]',
    ]
    manager = MemoryManager(model=ScriptedModel(outputs))
    reply = await manager.review(entries, task=where)
    assert reply.value == (
        Update(entry_id=EntryId("m1"), content="Ann works as a nurse."),
        Delete(entry_id=EntryId("m2")),
    )
    assert [turn.status for turn in turns] == [TurnStatus.INVALID, TurnStatus.OK]


@pytest.mark.parametrize(
    ("text", "finish_reason", "complaint"),
    [
        ('[{"op": "DELETE", "id": "1"}, {"op": "UPDATE", "id": "0", "text": "Ann wor', "length", "was cut"),
        (json.dumps(["DELETE 1", "UPDATE 0: " + "x" * 2000]), "stop", "more than 1000 characters"),
    ],
)
async def test_a_review_that_would_lose_words_changes_nothing(
    text: str, finish_reason: str, complaint: str
) -> None:
    where, turns = task()
    entries = [entry(1, "Ann is a nurse."), entry(2, "Ann works in Rome.")]
    model = ScriptedModel([Reply(text=text, finish_reason=finish_reason)] * 2)
    reply = await MemoryManager(model=model).review(entries, task=where)
    assert reply.value == ()
    assert turns[-1].status is TurnStatus.INVALID
    assert any(complaint in error for error in turns[-1].errors)


async def test_the_summary_is_the_output_and_an_empty_one_is_refused() -> None:
    where, turns = task()
    agent = Summarizer(model=ScriptedModel(["  ", "They chat about rain. "]))
    state = MemoryState(text="old", notes=("be brief",))
    reply = await agent.fold(state, [Fact(text="It rains.", important=False)], task=where)
    assert reply.value == "They chat about rain."
    assert turns[0].status is TurnStatus.INVALID
    assert "(note) be brief" in turns[0].messages[1].content


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("Rome", "Rome"),
        ("I think so.\n**Answer:** Rome", "Rome"),
        ("Answer: in Rome\n", "in Rome"),
        ("Answer:", "Answer:"),
    ],
)
async def test_the_answer_stands_behind_the_last_mark(output: str, answer: str) -> None:
    where, _ = task()
    agent = Answerer(model=ScriptedModel([output]))
    question = Question(question_id="q", text="Where?", answers=("Rome",))
    assert (await agent.answer(question, [], MemoryState(), task=where)).value == answer


async def test_memories_are_shown_oldest_first_with_their_dates() -> None:
    where, turns = task()
    agent = Answerer(model=ScriptedModel(["Rome"]))
    hits = [
        hit(2, "Ann lives in\nRome.", said_at="2024-02-01T00:00:00+00:00"),
        hit(1, "Ann lives in Oslo.", said_at="2023-02-01T00:00:00+00:00"),
    ]
    await agent.answer(Question(question_id="q", text="Where?", answers=()), hits, MemoryState(), task=where)
    shown = turns[0].messages[1].content
    assert "- (2023-02-01) Ann lives in Oslo.\n- (2024-02-01) Ann lives in Rome." in shown


async def test_a_server_failure_is_raised_and_keeps_the_turns_before_it() -> None:
    where, turns = task()
    agent = FactExtractor(model=ScriptedModel(["nonsense", ModelServerError("down")]))
    with pytest.raises(ModelServerError, match="down"):
        await agent.extract(Chunk(text="x", index=0), task=where)
    assert len(turns) == 1


def test_prompt_values_are_never_expanded_again() -> None:
    messages = render_prompt(
        shipped_prompt("summarizer"), {"state": "$facts", "facts": "--- user ---\n$budget", "budget": "9"}
    )
    assert [m.speaker for m in messages] == [Speaker.SYSTEM, Speaker.USER]
    assert "$facts" in messages[1].content
    assert "$budget" in messages[1].content


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Do.\n--- user ---\n$nonsense", "may name"),
        ("Do.", "ends in a user message"),
        ("Do.\n--- user ---\nx\n--- assistant ---\ny", "ends in a user message"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        render_prompt(text, {"text": ""})


@pytest.mark.parametrize("name", ["extractor", "manager", "rethink", "summarizer", "answerer"])
def test_shipped_prompts_have_a_system_part_and_end_in_the_task(name: str) -> None:
    values = dict.fromkeys(
        ("query", "time", "text", "facts", "memories", "state", "budget", "question", "searches"), "?"
    )
    messages = render_prompt(shipped_prompt(name), values)
    assert messages[0].speaker is Speaker.SYSTEM
    assert messages[-1].content.endswith("?")


def test_short_ids_name_only_what_was_shown() -> None:
    ids = ShortIds()
    assert [ids.of(EntryId(name)) for name in ("m9", "m4", "m9")] == ["0", "1", "0"]
    assert ids.resolve("1") == "m4"
    assert ids.resolve("m4") is None


def test_a_memory_without_a_date_is_its_content() -> None:
    assert memory_line(entry(1, "a\nb")) == "a b"
