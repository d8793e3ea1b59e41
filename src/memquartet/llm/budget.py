"""A budget of tokens, seconds and questions: what is over it is not asked, and a larger budget goes on there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from memquartet.core.messages import Message
from memquartet.errors import BudgetError, ConfigError
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion


@dataclass(slots=True, kw_only=True)
class Budget:
    """What a run may spend; None is without limit.

    Tokens are of the prompts and outputs that a model was really asked for, as its backend counts them; seconds
    count from the making of this value. A limit stops what would begin, not what is under way, so it can be passed
    by the calls that run at the same time.
    """

    tokens: int | None = None
    seconds: float | None = None
    questions: int | None = None
    spent_tokens: int = 0
    spent_questions: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for name in ("tokens", "seconds", "questions"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ConfigError(
                    f"a budget of {name} must be above 0, got {limit}; leave it out for no limit"
                )

    def check(self) -> None:
        """Go on, if there is something left.

        Raises:
            BudgetError: tokens or seconds are used up.
        """
        if self.tokens is not None and self.spent_tokens >= self.tokens:
            raise BudgetError(f"the budget of {self.tokens} tokens is used up: run again with a larger one")
        if self.seconds is not None and time.monotonic() - self.started >= self.seconds:
            raise BudgetError(f"the budget of {self.seconds:g} seconds is used up: run again to go on")

    def begin_question(self) -> None:
        """Count a question that is about to be asked.

        Raises:
            BudgetError: tokens, seconds or questions are used up.
        """
        self.check()
        if self.questions is not None and self.spent_questions >= self.questions:
            raise BudgetError(f"the budget of {self.questions} questions is used up: run again to go on")
        self.spent_questions += 1


class BudgetedModel:
    """A `ChatModel` within a budget."""

    def __init__(self, model: ChatModel, budget: Budget) -> None:
        self._model = model
        self._budget = budget

    @property
    def name(self) -> str:
        """The inner model's name."""
        return self._model.name

    @property
    def prompts(self) -> str | None:
        """As the inner model says."""
        return self._model.prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """As the inner model says."""
        return self._model.fits(messages)

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask the inner model, if the budget allows it.

        Raises:
            BudgetError: nothing is left.
            ModelServerError: the inner model gave no usable reply.
        """
        self._budget.check()
        completion = await self._model.complete(request)
        self._budget.spent_tokens += completion.prompt_tokens + completion.output_tokens
        return completion
