"""What a rollout leaves behind: turns, trajectories and the episode, all plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from memquartet.core.memory import EntryId, Fact, MemoryState, Receipt
from memquartet.core.messages import Message, ToolCall


class Role(StrEnum):
    """Who is speaking: the four agents."""

    EXTRACTOR = "extractor"
    MANAGER = "manager"
    SUMMARIZER = "summarizer"
    ANSWERER = "answerer"


class TurnStatus(StrEnum):
    """Whether a model's output said what its role has to say."""

    OK = "ok"
    """Parsed as it stood."""
    REPAIRED = "repaired"
    """Parsed after bounded repair, or with some parts missing; `Turn.errors` says what."""
    INVALID = "invalid"
    """Not usable; the errors went back to the model, or the attempt limit was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One model call: what went in, what came out, and what we made of it.

    `output_ids` and `logprobs` (nats, one for each output token) are None where the backend does not
    give them. `parsed` is the JSON-ready result. `attempt` counts from 0 within one role's task;
    `seconds` is wall time of the call. `left_out` counts retrieved memories for which the prompt had no room.
    """

    role: Role
    messages: tuple[Message, ...]
    output: str
    status: TurnStatus
    model: str = ""
    seed: int | None = None
    attempt: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_ids: tuple[int, ...] | None = None
    output_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    parsed: object = None
    errors: tuple[str, ...] = ()
    prompt_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str = "stop"
    seconds: float = 0.0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The world failed (server, disk): the trajectory is masked from training, never scored 0."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The model calls of one unit of work, in order."""

    turns: tuple[Turn, ...] = ()
    failure: Failure | None = None


class Decision(StrEnum):
    """What the manager decides about a fact."""

    ADD = "ADD"
    """Store it as a new entry."""
    UPDATE = "UPDATE"
    """Replace the whole content of a shown entry."""
    DELETE = "DELETE"
    """Remove a shown entry. The fact takes its place unless the manager says that nothing should."""
    NOOP = "NOOP"
    """The memory already says it. A negative signal for the extractor that proposed the fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactOutcome:
    """What became of one important fact.

    `candidates` are the entries shown with it, `receipts` the operations it ended in (a DELETE may be
    followed by an insert). `defaulted` is set when the manager's decision could not be used and the program
    stored the fact as new, so that nothing is dropped in silence.
    """

    fact: Fact
    candidates: tuple[EntryId, ...]
    decision: Decision
    receipts: tuple[Receipt, ...]
    defaulted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStep:
    """One chunk read: the facts found, what became of them, and the state afterwards.

    `seq` is the journal's last record after the step, so that a counterfactual can start from there.
    """

    index: int
    facts: tuple[Fact, ...]
    outcomes: tuple[FactOutcome, ...]
    state: MemoryState
    seq: int
    trajectory: Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that the answerer asked for: its query, and the entries that it found and no search before it."""

    query: str
    hits: tuple[EntryId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question answered with the memory frozen. `text` is None when the world failed.

    `text` is the answer as the system reads its model's reply, `raw` that reply as it came (None where the system has
    none): official scorers read the reply themselves. `hits` are the retrieved entries, where the system has entries; `memories` are the texts that were shown to the
    answerer, whatever the system keeps them in. `searches` are those that the answerer itself asked for, in their
    order; `hits` has theirs, too. `seconds` is wall time, None where nobody measured it.
    """

    question_id: str
    text: str | None
    hits: tuple[EntryId, ...]
    trajectory: Trajectory
    memories: tuple[str, ...] = ()
    seconds: float | None = None
    raw: str | None = None
    searches: tuple[Search, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One sample, lived through. `config` holds the settings and seed that made it.

    `reading_seconds` is the wall time of reading all chunks, None where nobody measured it.
    """

    sample_id: str
    system: str
    steps: tuple[MemoryStep, ...]
    answers: tuple[Answer, ...]
    seed: int = 0
    config: Mapping[str, object] = field(default_factory=dict)
    reading_seconds: float | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every model call in order: first the chunks', then the questions'."""
        trajectories = (
            *(step.trajectory for step in self.steps),
            *(answer.trajectory for answer in self.answers),
        )
        return tuple(turn for trajectory in trajectories for turn in trajectory.turns)
