"""The answerer: memory state, retrieved memories and a question in, a short answer out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.agents.base import AgentSettings, Reading, Reply, Task, ask, render_prompt, shipped_prompt
from memquartet.agents.rendering import in_time_order, memory_line, within_window
from memquartet.core.memory import Hit, MemoryState
from memquartet.core.messages import Message
from memquartet.core.samples import Question
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.llm.protocols import ChatModel, Completion, Sampling

_MARK = re.compile(r"\**answer\s*:\**\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """Asks a model for the answer to a question."""

    model: ChatModel
    settings: AgentSettings = field(default_factory=lambda: AgentSettings(sampling=Sampling(max_tokens=64)))

    async def answer(
        self, question: Question, hits: Sequence[Hit], state: MemoryState, *, task: Task
    ) -> Reply[str]:
        """The answer's text; None when the model stayed silent.

        Memories are shown oldest first with the date they are about, so that the newest stands last.
        """
        known = "\n".join([*state.notes, state.text]).strip()

        def prompt(shown: Sequence[Sequence[Hit]]) -> tuple[Message, ...]:
            lines = [f"- {memory_line(hit.entry)}" for found in shown for hit in in_time_order(found)]
            return self._prompt(question, "\n".join(lines), known)

        messages, left_out = within_window([hits], prompt, self.model.fits)
        return await self._ask(messages, task, left_out)

    async def answer_from(
        self, question: Question, memories: str, *, state: str = "", task: Task
    ) -> Reply[str]:
        """The same call with the memories as text, for systems that keep something else than entries."""
        return await self._ask(self._prompt(question, memories, state), task)

    def _prompt(self, question: Question, memories: str, state: str) -> tuple[Message, ...]:
        values = {
            "state": f"Context: {state}\n" if state else "",
            "memories": memories or "(none)",
            "question": question.text,
        }
        return render_prompt(self.settings.prompt or shipped_prompt("answerer"), values)

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
