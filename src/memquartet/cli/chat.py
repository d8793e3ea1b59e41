"""`memquartet chat`: talk with a model that remembers."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass, field
from secrets import token_hex

import click

from memquartet.agents.team import Team
from memquartet.cli.command import INTERRUPTED, Command
from memquartet.cli.options import Target, local_time, model_option, seed_option, target_options
from memquartet.cli.screen import Screen
from memquartet.core.memory import FACT_TYPES
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Chunk
from memquartet.core.trajectory import MemoryStep
from memquartet.errors import ModelServerError
from memquartet.llm.protocols import ChatModel, ChatRequest, Sampling
from memquartet.llm.specs import make_model
from memquartet.memory.prompts import PromptMode
from memquartet.memory.protocols import Filters
from memquartet.rollout.episode import EpisodeSettings, Rollout

RECENT_MESSAGES = 6
"""What was just said stays in the prompt word for word; everything older comes from the memory."""
HELP = "/memory lists the entries · /state shows the short-term memory · /quit ends"


@click.command(
    "chat",
    cls=Command,
    examples=[
        "memquartet chat --user ann",
        "memquartet chat --model openai:qwen3-4b@http://localhost:8000/v1",
    ],
)
@model_option
@seed_option
@target_options
def command(*, target: Target, model: str, seed: int) -> None:
    """Talk with a model that remembers.

    Each message is answered from the memory and the last few messages; then the four agents read the exchange and
    remember it. /memory lists the entries, /state shows the short-term memory, /quit or Ctrl-D ends.
    """
    screen = Screen()
    with target.open(create=True) as memory:
        chat = make_model(model)
        # What the assistant replied is no source, and it would be kept as one.
        settings = EpisodeSettings(line_top_k=0)
        rollout = Rollout(team=Team.of(chat), memory=memory, settings=settings, scope=target.scope, seed=seed)
        screen.say(f"{chat.name} with {len(memory):,} entries in {target.db}. {HELP}.")
        # A runner and not one long coroutine: Ctrl-C at the prompt must end the program at once.
        with asyncio.Runner() as runner:
            talk = _Talk(rollout=rollout, model=chat, screen=screen, seed=seed, runner=runner)
            try:
                talk.run()
            except KeyboardInterrupt:
                screen.warn("Interrupted. Every exchange that was remembered is kept.")
                raise SystemExit(INTERRUPTED) from None
            finally:
                runner.run(chat.aclose())
        screen.say(f"{len(memory):,} entries in {target.db}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """One conversation; its exchanges are chunks that are read one after another."""

    rollout: Rollout
    model: ChatModel
    screen: Screen
    seed: int
    runner: asyncio.Runner
    name: str = field(default_factory=lambda: f"chat:{token_hex(4)}")
    recent: deque[Message] = field(default_factory=lambda: deque(maxlen=RECENT_MESSAGES))

    def run(self) -> None:
        """Until /quit or the end of the input."""
        number = 0
        while (text := _read_line()) is not None:
            match text.strip():
                case "":
                    pass
                case "/quit" | "/exit":
                    return
                case "/memory":
                    self._show_memory()
                case "/state":
                    self._show_state()
                case command if command.startswith("/"):
                    self.screen.say(f"no command {command!r}: {HELP}")
                case said:
                    self.runner.run(self._exchange(said, number))
                    number += 1

    async def _exchange(self, said: str, number: int) -> None:
        prompt = self.rollout.memory.render_system_prompt(PromptMode.CHAT, said, scope=self.rollout.scope)
        system = Message(speaker=Speaker.SYSTEM, content=prompt)
        user = Message(speaker=Speaker.USER, content=said)
        sampling = Sampling(max_tokens=512, seed=self.seed + number)
        try:
            with self.screen.status("thinking"):
                reply = await self.model.complete(
                    ChatRequest(messages=(system, *self.recent, user), sampling=sampling)
                )
        except ModelServerError as error:
            self.screen.warn(f"Error: {error}")
            return
        self.screen.write(reply.text)
        self.recent.extend((user, Message(speaker=Speaker.ASSISTANT, content=reply.text)))
        now = local_time()
        chunk = Chunk(text=f"User: {said}\nAssistant: {reply.text}", index=number, time=now)
        with self.screen.status("remembering"):
            step = await self.rollout.read_chunk(chunk, origin=f"{self.name}#{number}")
        self._say_remembered(step)

    def _say_remembered(self, step: MemoryStep) -> None:
        if step.trajectory.failure:
            self.screen.warn(f"Error: not remembered: {step.trajectory.failure.message}")
            return
        for outcome in step.outcomes:
            self.screen.say(f"  {outcome.decision.value.lower()}: {outcome.fact.text}")

    def _show_memory(self) -> None:
        entries = self.rollout.memory.entries(Filters(scope=self.rollout.scope, memory_types=FACT_TYPES))
        self.screen.table(
            ["ID", "TYPE", "CONTENT"], [[e.entry_id, e.memory_type, e.content] for e in entries]
        )

    def _show_state(self) -> None:
        state = self.rollout.memory.state(self.rollout.scope)
        self.screen.write("\n".join([*state.notes, state.text]).strip() or "(empty)")


def _read_line() -> str | None:
    """The next line; None at the end. The prompt goes to stderr: stdout carries the replies."""
    if sys.stdin.isatty():
        sys.stderr.write("you> ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    return line if line else None
