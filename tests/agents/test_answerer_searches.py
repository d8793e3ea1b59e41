from __future__ import annotations

import pytest
from tests.agents.test_window import hit

from memquartet.agents.answerer import MAX_QUERY, SEARCH_OFFER, Answerer, Found, Query
from memquartet.agents.base import AgentSettings, Reply, Task
from memquartet.agents.prompt_sets import prompt_set
from memquartet.core.memory import MemoryState
from memquartet.core.samples import Question
from memquartet.core.trajectory import Role, Turn, TurnStatus
from memquartet.errors import ConfigError
from memquartet.testing.models import ScriptedModel

WHERE = Question(question_id="q", text="Where does Ann's sister live?", answers=("Rome",))


async def replied(
    *outputs: str,
    further: tuple[Found, ...] = (),
    may_search: bool = True,
    settings: AgentSettings | None = None,
) -> tuple[Reply[str | Query], list[Turn]]:
    turns: list[Turn] = []
    agent = Answerer(model=ScriptedModel(list(outputs)), settings=settings or AgentSettings())
    reply = await agent.answer_or_search(
        WHERE,
        [hit(3, "Ann's sister is Bea.")],
        MemoryState(),
        further=further,
        may_search=may_search,
        task=Task(seed=1, record=turns.append),
    )
    return reply, turns


@pytest.mark.parametrize(
    "output",
    [
        "search: Bea",
        "Search: Bea ",
        "**search:** Bea",
        "`search: Bea`",
        "I do not know yet.\n- search: Bea\nThanks.",
    ],
)
async def test_a_search_line_is_a_search_however_it_is_decorated(output: str) -> None:
    reply, turns = await replied(output)
    assert reply.value == Query(text="Bea")
    assert (turns[0].status, turns[0].parsed) == (TurnStatus.OK, {"search": "Bea"})


@pytest.mark.parametrize("output", ["Rome", "Answer: Rome", "a thorough search: no, Rome", "research: Rome"])
async def test_anything_else_is_the_answer(output: str) -> None:
    reply, _ = await replied(output)
    assert isinstance(reply.value, str)
    assert reply.value.endswith("Rome")


@pytest.mark.parametrize("query", ["", "x" * (MAX_QUERY + 1)])
async def test_a_query_that_is_empty_or_too_long_goes_back_to_the_model(query: str) -> None:
    reply, turns = await replied(f"search: {query}", "Rome")
    assert reply.value == "Rome"
    assert turns[0].status is TurnStatus.INVALID
    assert str(MAX_QUERY) in turns[0].errors[0]


async def test_where_no_search_is_left_a_search_is_no_answer() -> None:
    further = (Found(query="Bea", hits=[]),)
    reply, turns = await replied("search: Bea", "search: Bea", further=further, may_search=False)
    assert reply.value is None
    assert {turn.status for turn in turns} == {TurnStatus.INVALID}
    assert SEARCH_OFFER not in turns[0].messages[-1].content


async def test_asked_only_once_the_answerer_reads_and_says_nothing_of_searching() -> None:
    turns: list[Turn] = []
    agent = Answerer(model=ScriptedModel(["search: Bea"]))
    reply = await agent.answer(WHERE, [], MemoryState(), task=Task(seed=1, record=turns.append))
    assert reply.value == "search: Bea"
    assert "search" not in "".join(message.content for message in turns[0].messages).casefold()
    assert turns[0].messages[-1].content == f"Memories:\n(none)\n\nQuestion: {WHERE.text}"


@pytest.mark.parametrize("prompts", ["shipped", "short"])
async def test_the_next_prompt_is_a_new_one_with_all_memories_and_the_queries(prompts: str) -> None:
    settings = AgentSettings(prompt=prompt_set(prompts).get(Role.ANSWERER))
    further = (Found(query="Bea", hits=[hit(1, "Bea moved to Rome.")]), Found(query="Rome", hits=[]))
    _, turns = await replied("Rome", further=further, settings=settings)
    assert len(turns[0].messages) == 2
    assert turns[0].messages[-1].content == (
        "Memories:\n- Bea moved to Rome.\n- Ann's sister is Bea.\n\n"
        f"Searched: Bea; Rome\n{SEARCH_OFFER}.\n\nQuestion: {WHERE.text}"
    )


async def test_memories_of_the_earliest_search_are_left_out_first() -> None:
    turns: list[Turn] = []
    model = ScriptedModel(["Rome"], window=140)
    await Answerer(model=model).answer_or_search(
        WHERE,
        [hit(9, "newest but found first " * 3)],
        MemoryState(),
        further=[Found(query="Bea", hits=[hit(1, "oldest and found last " * 3)])],
        may_search=False,
        task=Task(seed=1, record=turns.append),
    )
    shown = turns[0].messages[-1].content
    assert ("found first" in shown, "found last" in shown, turns[0].left_out) == (False, True, 1)


async def test_a_prompt_without_a_place_for_the_offer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\$\{searches\}"):
        await replied(
            "Rome", settings=AgentSettings(prompt="Answer.\n--- user ---\n$memories $question $state")
        )
