"""MemoryBench's rows: a task, what is known about its answer, and a dialogue in which a user gave feedback."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, Strict
from pydantic_core import from_json

from memquartet.benchmarks.memorybench.catalogue import CATALOGUE
from memquartet.benchmarks.reading import Record, Row, checked, shown
from memquartet.benchmarks.sessions import Utterance, session_chunks
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Chunk, Question
from memquartet.errors import InputError
from memquartet.text.chunking import ChunkSize

MAX_LITERAL_CHARS = 8 * 2**20
"""A column that holds a Python or JSON literal as a text."""
_ADVERSARIAL = 5


class Part(StrEnum):
    """The two sets of a data set."""

    TRAIN = "train"
    """Dialogues to learn from."""
    TEST = "test"
    """Tasks to be scored on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row.

    `messages` are what the model is given, `info` what its score needs. `dialogs` are dialogues of a model without memory
    with a simulated user, by what the column's name adds: memory systems ("bm25", "mem0", …) in sets with a corpus, else
    "" and simulators ("mistral"). `feedbacks` are the user's silent acts in each, as the row tells them.
    """

    dataset: str
    test_idx: int
    part: Part
    lang: str
    messages: tuple[Message, ...]
    info: Mapping[str, object]
    dialogs: Mapping[str, tuple[Message, ...]] = field(default_factory=dict)
    feedbacks: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        """Data set and number, as "NFCats:17"."""
        return f"{self.dataset}:{self.test_idx}"

    def question(self) -> Question:
        """The task as a question; a system message is in `extra` ("system"), as is the official bound of a reply.

        "instructed" says that the text has its instructions with it: nobody should add that a word will do.
        """
        answer = self.info.get("golden_answer")
        system = [message.content for message in self.messages if message.speaker is Speaker.SYSTEM]
        return Question(
            question_id=self.task_id,
            text=self.messages[-1].content,
            answers=(answer,) if isinstance(answer, str) else (),
            category=self.dataset,
            extra={
                "dataset": self.dataset,
                "lang": self.lang,
                "info": self.info,
                "instructed": True,
                "answer_tokens": CATALOGUE[self.dataset].answer_tokens,
            }
            | ({"system": system[0]} if system else {}),
        )

    def dialog(self, system: str = "") -> tuple[Message, ...]:
        """The dialogue for a memory system; the only one where the row has one, () where it has none."""
        return self.dialogs.get(system) or self.dialogs.get("") or ()


class _Message(Row):
    role: Annotated[Speaker, Strict(strict=False)]  # a plain text in the file
    content: str


class _Messages(Row):
    messages: list[_Message] = Field(min_length=1)


class _Acts(Row):
    acts: list[dict[str, Any]]  # told as they are


class _Row(Row):
    test_idx: int = Field(ge=0)
    dataset_name: str
    lang: str
    input_prompt: str | None = None
    input_chat_messages: list[Any] | None = None  # checked as messages, with their own place
    info: dict[str, Any]  # differs by data set, and is checked by its scorer


def read_tasks(records: Iterable[Record], part: Part) -> Iterator[Task]:
    """One task a row. Columns that hold a literal as a text are parsed: Python's first, else JSON.

    Raises:
        InputError: a column is missing or of the wrong type, the data set is unknown, or a test_idx comes twice.
    """
    seen: set[tuple[str, int]] = set()
    for record in records:
        parsed = {name: _parsed(name, value, record.place) for name, value in record.value.items()}
        place = record.place
        row = checked(_Row, Record(place=place, value=parsed))
        if row.dataset_name not in CATALOGUE:
            raise InputError(
                f"{place}, field 'dataset_name': MemoryBench has no data set {row.dataset_name!r}: expected one of"
                f" {', '.join(CATALOGUE)}"
            )
        if (row.dataset_name, row.test_idx) in seen:
            raise InputError(f"{place}, field 'test_idx': {row.test_idx} comes twice in {row.dataset_name}")
        seen.add((row.dataset_name, row.test_idx))
        yield Task(
            dataset=row.dataset_name,
            test_idx=row.test_idx,
            part=part,
            lang=row.lang,
            messages=_input(row, place),
            info=_info(row),
            dialogs={
                name: _messages(value, where) for name, value, where in _columns(parsed, "dialog", place)
            },
            feedbacks={
                name: tuple(checked(_Acts, Record(place=where, value={"acts": value})).acts)
                for name, value, where in _columns(parsed, "implicit_feedback", place)
            },
        )


def _columns(row: Mapping[str, object], kind: str, place: str) -> Iterator[tuple[str, object, str]]:
    """The filled columns of a kind: what the name adds to it, the value, and the place."""
    for name, value in row.items():
        if value and (name == kind or name.startswith(f"{kind}_")):
            yield name.removeprefix(kind).removeprefix("_"), value, f"{place}, field {name!r}"


def dialog_chunks(
    task: Task, messages: Iterable[Message], size: ChunkSize, *, start: int = 0
) -> Iterator[Chunk]:
    """A dialogue as chunks numbered from `start`, one line a message; their source id is the task's id."""
    said = (
        Utterance(text=f"{message.speaker.value.capitalize()}: {message.content}", source_id=task.task_id)
        for message in messages
    )
    return session_chunks(said, head="", size=size, start=start)


def literal(text: str, place: str) -> object:
    """The value of a Python literal or, where it is none, of JSON; nothing is executed.

    Raises:
        InputError: neither, or longer than `MAX_LITERAL_CHARS`, or nested too deeply for the parsers.
    """
    if len(text) > MAX_LITERAL_CHARS:
        raise InputError(
            f"{place}: a literal of at most {MAX_LITERAL_CHARS:,} characters is read, given {len(text):,}"
        )
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError:
            raise InputError(f"{place}: expected a Python literal or JSON, given {shown(text)}") from None
    return value


def _parsed(name: str, value: object, place: str) -> object:
    wanted = name in ("info", "input_chat_messages") or name.startswith(("dialog", "implicit_feedback"))
    if not wanted or not isinstance(value, str):
        return value
    return literal(value, f"{place}, field {name!r}") if value.strip() else None


def _input(row: _Row, place: str) -> tuple[Message, ...]:
    if row.input_prompt:
        return (Message(speaker=Speaker.USER, content=row.input_prompt),)
    if not row.input_chat_messages:
        raise InputError(f"{place}: expected an input_prompt or input_chat_messages, given neither")
    return _messages(row.input_chat_messages, f"{place}, field 'input_chat_messages'")


def _messages(value: object, place: str) -> tuple[Message, ...]:
    row = checked(_Messages, Record(place=place, value={"messages": value}))
    return tuple(Message(speaker=one.role, content=one.content) for one in row.messages)


def _info(row: _Row) -> Mapping[str, object]:
    """LoCoMo's answers become texts, those of adversarial questions JSON with two options, as officially."""
    info = dict(row.info)
    if row.dataset_name.startswith("Locomo") and "golden_answer" in info:
        answer = info["golden_answer"]
        info["golden_answer"] = _as_json(answer) if info.get("category") == _ADVERSARIAL else str(answer)
    return info


def _as_json(answer: object) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
