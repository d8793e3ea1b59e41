"""The answerer: memory state, retrieved memories and a question in, a short answer out, or a further search.

The protocol of searching is plain text, so that the smallest models can learn it: where the prompt offers it, a line
`search: QUERY` asks for more memories and everything else is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.agents.base import AgentSettings, Reading, Reply, Task, ask, render_prompt, shipped_prompt
from memquartet.agents.prompt_sets import TAUGHT_LINES, TAUGHT_SEARCHES, TAUGHT_TOP_K
from memquartet.agents.rendering import in_time_order, memory_line, within_window
from memquartet.core.memory import Hit, MemoryState, MemoryType
from memquartet.core.messages import Message
from memquartet.core.samples import Question
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.errors import ConfigError
from memquartet.llm.protocols import ChatModel, Completion, Sampling

SEARCHES = "${searches}"
"""Where a prompt has it, a search can be offered and those made can be told."""
TOP_K = 10
"""Facts that a model which was not taught is shown with each search."""
MAX_QUERY = 200
"""Characters of a query at most."""
SEARCHED = "Searched: "
"""What stands before the queries made so far, in the prompt."""
SEARCH_OFFER = "If this does not say it, look for more with a line `search: QUERY`"
"""What a prompt says when the answerer may search."""

_MARK = re.compile(r"\**answer\s*:\**\s*", re.IGNORECASE)
_SEARCH = re.compile(r"^[\s*`_>-]*search[*_]*\s*:[\s*`_]*(.*?)[\s*`_]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What the answerer wants to look for: one line of 1 to `MAX_QUERY` characters."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a further search brought: its query, and the hits that no search for the question had before."""

    query: str
    hits: Sequence[Hit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """Asks a model for the answer to a question."""

    model: ChatModel
    settings: AgentSettings = field(default_factory=lambda: AgentSettings(sampling=Sampling(max_tokens=64)))

    @property
    def taught_searches(self) -> int:
        """How often it may search again where nobody says so: never, unless its model was taught with such a prompt."""
        return TAUGHT_SEARCHES if self.model.prompts is not None and SEARCHES in self._text else 0

    @property
    def taught_top_k(self) -> int:
        """How many facts it is shown with each search where nobody says so."""
        return TAUGHT_TOP_K if self.model.prompts is not None else TOP_K

    @property
    def taught_lines(self) -> int:
        """How many lines of the text it is shown with each search where nobody says so: none, unless it is a taught model."""
        return TAUGHT_LINES if self.model.prompts is not None else 0

    @property
    def _text(self) -> str:
        return self.settings.prompt or shipped_prompt("answerer")

    async def answer(
        self, question: Question, hits: Sequence[Hit], state: MemoryState, *, task: Task
    ) -> Reply[str]:
        """The answer's text; None when the model stayed silent.

        Memories are shown oldest first with the date they are about, so that the newest stands last.
        """
        messages, left_out = self._with_memories(question, hits, (), state, may_search=False)
        return await self._ask(messages, task, left_out)

    async def answer_or_search(
        self,
        question: Question,
        hits: Sequence[Hit],
        state: MemoryState,
        *,
        further: Sequence[Found],
        may_search: bool,
        task: Task,
    ) -> Reply[str | Query]:
        """The answer's text, or what to look for; None when neither could be read.

        The prompt is a new one each time: the memories of all searches, merged oldest first, and the queries that
        were made. Where its window is too small, those of the earliest search are left out first.

        Args:
            question: what is asked.
            hits: of the search by the question.
            state: the short-term memory.
            further: the searches that the answerer made, in their order.
            may_search: whether another one is offered; a search that is not is an unusable output.
            task: seed and sink.

        Raises:
            ConfigError: a search is offered, and the prompt has no place to say so.
            ModelServerError: see `ask`.
        """
        messages, left_out = self._with_memories(question, hits, further, state, may_search=may_search)
        return await ask(
            self.model,
            Role.ANSWERER,
            messages,
            read_answer_or_query if may_search else read_last_answer,
            task=task,
            settings=self.settings,
            left_out=left_out,
        )

    async def answer_from(
        self, question: Question, memories: str, *, state: str = "", task: Task
    ) -> Reply[str]:
        """The same call with the memories as text, for systems that keep something else than entries."""
        return await self._ask(self._prompt(question, memories, state), task)

    def _with_memories(
        self,
        question: Question,
        hits: Sequence[Hit],
        further: Sequence[Found],
        state: MemoryState,
        *,
        may_search: bool,
    ) -> tuple[tuple[Message, ...], int]:
        """The prompt with as many memories as fit, and how many were left out."""
        known = "\n".join([*state.notes, state.text]).strip()
        searches = [hits, *(found.hits for found in further)]
        queries = [found.query for found in further]

        def prompt(shown: Sequence[Sequence[Hit]]) -> tuple[Message, ...]:
            merged = in_time_order(hit for found in shown for hit in found)
            lines = [f"- {memory_line(hit.entry)}" for hit in merged]
            return self._prompt(question, "\n".join(lines), known, queries, may_search=may_search)

        oldest = [hit for found in searches for hit in in_time_order(found)]
        # Lines first: a fact says in fewer words what holds.
        droppable = sorted(oldest, key=lambda hit: hit.entry.memory_type is not MemoryType.VERBATIM)
        return within_window(searches, prompt, self.model.fits, droppable=droppable)

    def _prompt(
        self,
        question: Question,
        memories: str,
        state: str,
        queries: Sequence[str] = (),
        *,
        may_search: bool = False,
    ) -> tuple[Message, ...]:
        text = self._text
        if may_search and SEARCHES not in text:
            raise ConfigError(
                "the answerer's prompt cannot offer a search: put ${searches} before the question, or set max_searches"
                " to 0"
            )
        said = [SEARCHED + "; ".join(queries)] if queries else []
        offered = [f"{SEARCH_OFFER}."] if may_search else []
        values = {
            "state": f"Context: {state}\n" if state else "",
            "memories": memories or "(none)",
            "searches": "".join(f"{line}\n" for line in (*said, *offered)) + "\n" * bool(said or offered),
            "question": question.text,
        }
        return render_prompt(text, values)

    async def _ask(self, messages: tuple[Message, ...], task: Task, left_out: int = 0) -> Reply[str]:
        return await ask(
            self.model,
            Role.ANSWERER,
            messages,
            read_answer,
            task=task,
            settings=self.settings,
            left_out=left_out,
        )


def read_answer(completion: Completion) -> Reading[str]:
    """The text behind the last "Answer:" if there is one (Memory-R1's form), else all of it."""
    text = completion.text.strip()
    *_, answer = _MARK.split(text)
    answer = (answer.strip() or text).strip()
    if not answer:
        return Reading(value=None, status=TurnStatus.INVALID, errors=("the answer is empty",))
    return Reading(value=answer, status=TurnStatus.OK, parsed=answer)


def read_answer_or_query(completion: Completion) -> Reading[str | Query]:
    """The query of the first line `search: QUERY`, around which emphasis does not count; else the answer."""
    found = _SEARCH.search(completion.text)
    if found is None:
        answer = read_answer(completion)
        return Reading(value=answer.value, status=answer.status, parsed=answer.parsed, errors=answer.errors)
    query = " ".join(found[1].split())
    if not 0 < len(query) <= MAX_QUERY:
        complaint = f"a search needs a query of 1 to {MAX_QUERY} characters, got {len(query)}"
        return Reading(value=None, status=TurnStatus.INVALID, errors=(complaint,))
    return Reading(value=Query(text=query), status=TurnStatus.OK, parsed={"search": query})


def read_last_answer(completion: Completion) -> Reading[str | Query]:
    """The answer, where no search is left; a line `search: QUERY` is no answer."""
    reading = read_answer_or_query(completion)
    if _SEARCH.search(completion.text) is None:
        return reading
    complaint = "no search is left: answer from the memories that are shown"
    return Reading(value=None, status=TurnStatus.INVALID, errors=(complaint,))
