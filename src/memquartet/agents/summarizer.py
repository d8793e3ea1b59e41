"""The summarizer: memory state and unimportant facts in, new memory state out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.agents.base import AgentSettings, Reading, Reply, Task, ask, render_prompt, shipped_prompt
from memquartet.core.memory import Fact, MemoryState
from memquartet.core.trajectory import Role, TurnStatus
from memquartet.llm.protocols import ChatModel, Completion, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarizer:
    """Asks a model to fold remarks into the short-term memory."""

    model: ChatModel
    settings: AgentSettings = field(default_factory=lambda: AgentSettings(sampling=Sampling(max_tokens=384)))

    async def fold(self, state: MemoryState, facts: Sequence[Fact], *, task: Task) -> Reply[str]:
        """The new state's text; the store holds it to the budget. None when the output was empty.

        Notes are shown with the summary and are not the model's to change.
        """
        shown = "\n".join([*(f"(note) {note}" for note in state.notes), state.text]).strip()
        values = {
            "state": shown or "(empty)",
            "facts": "\n".join(f"- {fact.text}" for fact in facts),
            "budget": str(state.budget),
        }
        messages = render_prompt(self.settings.prompt or shipped_prompt("summarizer"), values)
        return await ask(
            self.model, Role.SUMMARIZER, messages, read_summary, task=task, settings=self.settings
        )


def read_summary(completion: Completion) -> Reading[str]:
    """The output as it stands, without surrounding white space; an empty one is invalid."""
    text = completion.text.strip()
    if not text:
        return Reading(value=None, status=TurnStatus.INVALID, errors=("the summary is empty",))
    cut = completion.finish_reason == "length"
    return Reading(
        value=text,
        status=TurnStatus.REPAIRED if cut else TurnStatus.OK,
        parsed=text,
        errors=("the summary was cut at the token limit",) if cut else (),
    )
