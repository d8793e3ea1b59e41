"""MemoryBench on policy: a system talks with a simulated user, remembers the dialogues, and is asked after each step.

Within a step the memory stands still: the dialogues of a step are held with what was known before it. Unlike the
official code (see docs/benchmarks.md), a reply to the user's feedback stays in the dialogue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from memquartet.agents.base import derive_seed
from memquartet.benchmarks.memorybench.protocols import ROUNDS, after_dialogues
from memquartet.benchmarks.memorybench.records import Task
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Failure
from memquartet.errors import InputError, WorldError
from memquartet.evals.files import write_lines
from memquartet.evals.judging import conduct
from memquartet.llm.protocols import ChatModel
from memquartet.scoring.memorybench_feedback import user_turn
from memquartet.systems.posing import ANSWER_TOKENS
from memquartet.systems.protocols import MemorySystem, Session
from memquartet.systems.sessions import failure_of
from memquartet.text.chunking import ChunkSize

SUFFIX = ".dialogues.jsonl"
"""What a system's dialogues are kept in, one a line, written after each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A dialogue about a training task, held in a step; `feedback` is what the user did in silence, as MemoryBench tells it."""

    step: int
    task_id: str
    messages: tuple[Message, ...]
    feedback: tuple[Mapping[str, object], ...] = ()


class _NotHeldError(WorldError):
    """A dialogue that broke off, with what is recorded about it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """Makes of the samples of `protocol_samples` those that a system reads, by letting it talk.

    `user` plays the user where no score of the data set's own decides. `answer_tokens` bounds the replies in dialogues,
    if it is below the official bound. `at_once` dialogues are held at the same time.
    """

    user: ChatModel
    size: ChunkSize = field(default_factory=ChunkSize)
    answer_tokens: int | None = None
    at_once: int = 32

    async def lessons(
        self,
        system: MemorySystem,
        samples: Sequence[Sample],
        *,
        out: Path,
        seed: int,
        on_dialogue: Callable[[], None] = lambda: None,
    ) -> list[tuple[Sample, Failure | None]]:
        """What the system reads before each step's questions; with a failure where a dialogue could not be held.

        Dialogues that the folder has are not held again.

        Raises:
            InputError: the kept dialogues cannot be read.
            StoreError: the disk refused.
        """
        path = out / f"{system.name}{SUFFIX}"
        kept = read_dialogues(path) if path.exists() else []
        held: list[tuple[Task, Sequence[Message]]] = []
        lessons: list[tuple[Sample, Failure | None]] = []
        failure: Failure | None = None
        for step, sample in enumerate(samples):
            tasks = talks(sample)
            known = {one.task_id: one for one in kept if one.step == step}
            if failure is None and not all(task.task_id in known for task in tasks):
                before = after_dialogues(replace(sample, questions=()), held, self.size)
                try:
                    spoken = await self._talk(system, before, step, tasks, seed, on_dialogue)
                except _NotHeldError as error:
                    failure = error.failure
                except WorldError as error:
                    failure = failure_of(error)
                else:
                    known = {one.task_id: one for one in spoken}
                    kept = [*(one for one in kept if one.step != step), *spoken]
                    write_lines(path, map(encode_dialogue, kept))
            if failure is None:
                held += [(task, known[task.task_id].messages) for task in tasks]
            lessons.append((after_dialogues(sample, held, self.size), failure))
        return lessons

    async def _talk(
        self,
        system: MemorySystem,
        before: Sample,
        step: int,
        tasks: Sequence[Task],
        seed: int,
        on_dialogue: Callable[[], None],
    ) -> list[Dialogue]:
        """The dialogues of a step, in the order of their tasks.

        Raises:
            WorldError: the text could not be read, or a reply is missing.
        """
        session = await system.read(before, seed=seed, on_progress=lambda _: None)
        if session.failure:
            raise _NotHeldError(session.failure)
        bound = asyncio.Semaphore(self.at_once)

        async def one(task: Task) -> Dialogue:
            async with bound:
                dialogue = await self._hold(session, step, task, seed)
            on_dialogue()
            return dialogue

        # Gathered, not grouped: a cancelled call is paid for and lost, one that ends is in the cache for the next run.
        found = await asyncio.gather(*map(one, tasks), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return [result for result in found if isinstance(result, Dialogue)]

    async def _hold(self, session: Session, step: int, task: Task, seed: int) -> Dialogue:
        """Up to `ROUNDS` replies, each followed by the user's reaction; one that cannot be understood ends it."""
        question = task.question()
        official = question.extra[ANSWER_TOKENS]
        if self.answer_tokens is not None and isinstance(official, int):
            limit = min(official, self.answer_tokens)
            question = replace(question, extra={**question.extra, ANSWER_TOKENS: limit})
        messages = [Message(speaker=Speaker.USER, content=question.text)]
        feedback: list[Mapping[str, object]] = []
        for number in range(ROUNDS):
            said = tuple(f"{one.speaker.value.capitalize()}: {one.content}" for one in messages[1:])
            asked = replace(
                question,
                question_id=f"step {step}, {task.task_id}, round {number}",
                extra={**question.extra, "said": said},
            )
            answer = await session.answer(asked)
            if answer.text is None:
                silent = Failure(kind=WorldError.__name__, message=f"no reply about {task.task_id}")
                raise _NotHeldError(answer.trajectory.failure or silent)
            messages.append(Message(speaker=Speaker.ASSISTANT, content=answer.text))
            reaction = await conduct(
                user_turn(question, messages),
                self.user,
                seed=derive_seed(seed, step, task.task_id, number),
            )
            if reaction is None:
                break
            feedback.append(reaction.as_row(number))
            if reaction.says:
                messages.append(Message(speaker=Speaker.USER, content=reaction.says))
            if reaction.ends:
                break
        return Dialogue(step=step, task_id=task.task_id, messages=tuple(messages), feedback=tuple(feedback))


def talks(sample: Sample) -> tuple[Task, ...]:
    """The tasks that a sample wants talked about before its questions."""
    found = sample.extra.get("talk", ())
    return tuple(task for task in found if isinstance(task, Task)) if isinstance(found, tuple) else ()


_DIALOGUES = TypeAdapter(Dialogue)


def encode_dialogue(dialogue: Dialogue) -> str:
    """One line of JSON."""
    return json.dumps(_DIALOGUES.dump_python(dialogue, mode="json"))


def read_dialogues(path: Path) -> list[Dialogue]:
    """The dialogues of a file.

    Raises:
        InputError: a line that is no dialogue; the message names it.
    """
    found = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                found.append(_DIALOGUES.validate_json(line))
            except ValidationError as error:
                raise InputError(
                    f"{path}, line {number}: no dialogue: {error.errors()[0]['msg']}; delete the file to hold them again"
                ) from error
    return found
