"""Running an episode: chunks are read in order, then the questions are asked with the memory frozen.

The agents never meet each other nor the store; this module carries values between them:

    chunk → facts → (important: retrieve → decide → apply) and (unimportant: fold → state) → next chunk
    question → retrieve → answer, or (with `max_searches`) search → retrieve → answer

With `line_top_k` the lines of a chunk are kept word for word, too, and retrieved beside the facts; see `lines`.

A model's mistake stays in the trajectory and the episode goes on. When the world fails (server, disk) the unit
of work is marked with the failure; a chunk that could not be read ends the reading, and its questions are left
unanswered rather than answered from half a memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from memquartet.agents.answerer import Answerer
from memquartet.agents.base import Reply, Task, derive_seed
from memquartet.agents.manager import FactDecision
from memquartet.agents.rendering import as_asked, as_read, chunk_meta, memory_line
from memquartet.agents.team import Team
from memquartet.core.memory import (
    EVERYWHERE,
    FACT_TYPES,
    LINE_TYPES,
    EntryId,
    Fact,
    Hit,
    Insert,
    MemoryType,
    Provenance,
    Receipt,
    Scope,
)
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import (
    Answer,
    Decision,
    Episode,
    FactOutcome,
    Failure,
    MemoryStep,
    Trajectory,
    Turn,
)
from memquartet.errors import WorldError, first_of_group
from memquartet.memory.memory import Memory
from memquartet.memory.protocols import Filters, SearchMethod
from memquartet.rollout.answering import answer_question
from memquartet.rollout.lines import lines_of, source_of, with_line

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
Progress = Callable[[str], None]
"""Called with "chunk" or "question" after each finished unit of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSettings:
    """How memories are retrieved: how many for each fact and for each question, and by which method.

    `answer_top_k` is how many facts each search for a question finds; None is `TAUGHT_TOP_K` with a taught model and
    `TOP_K` with others. `max_searches` is how often the answerer may search again with a query of its own, for each
    question; every such search adds up to `answer_top_k` memories. 0 is one search, by the question; None is as often as the
    answerer's model was taught to, see `searches`. `line_top_k` is how many lines of the text each search for a
    question shows beside the facts, word for word; 0 keeps none, None is `TAUGHT_LINES` with a taught model and none with others.
    """

    fact_top_k: int = 3
    answer_top_k: int | None = None
    max_searches: int | None = None
    line_top_k: int | None = None
    method: SearchMethod = SearchMethod.HYBRID

    def top_k(self, answerer: Answerer) -> int:
        """How many facts this answerer is shown with each search."""
        return answerer.taught_top_k if self.answer_top_k is None else self.answer_top_k

    def searches(self, answerer: Answerer) -> int:
        """How often this answerer may search again."""
        return answerer.taught_searches if self.max_searches is None else self.max_searches

    def lines(self, answerer: Answerer) -> int:
        """How many lines this answerer is shown with each search."""
        return answerer.taught_lines if self.line_top_k is None else self.line_top_k


DEFAULT_SETTINGS = EpisodeSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A team at work on one memory. `scope` is whose memory it writes and reads."""

    team: Team
    memory: Memory
    settings: EpisodeSettings = DEFAULT_SETTINGS
    scope: Scope = EVERYWHERE
    seed: int = 0

    async def read_chunk(self, chunk: Chunk, *, origin: str = "") -> MemoryStep:
        """Let the team read one chunk; its operations and its new state enter the memory in one transaction.

        Args:
            chunk: what to read.
            origin: the chunk's place in its source, written into the journal.
        """
        work = _Work(seed=derive_seed(self.seed, "chunk", chunk.index))
        facts: tuple[Fact, ...] = ()
        outcomes: tuple[FactOutcome, ...] = ()
        failure = None
        try:
            facts = (await self.team.extractor.extract(chunk, task=work.task())).value or ()
            outcomes = await self._remember(chunk, facts, work, origin)
        except WorldError as error:
            failure = _failure(error)
        return MemoryStep(
            index=chunk.index,
            facts=facts,
            outcomes=outcomes,
            state=self.memory.state(self.scope),
            seq=self.memory.seq,
            trajectory=Trajectory(turns=tuple(work.turns), failure=failure),
        )

    async def answer(self, question: Question) -> Answer:
        """Answer one question; nothing is written."""
        work = _Work(seed=derive_seed(self.seed, "question", question.question_id))

        answered, failure = None, None
        try:
            answered = await answer_question(
                self.team.answerer,
                as_asked(question),
                self.retrieve,
                self.memory.state(self.scope),
                task=work.task(),
                max_searches=self.settings.searches(self.team.answerer),
            )
        except WorldError as error:
            failure = _failure(error)
        return Answer(
            question_id=question.question_id,
            text=answered.text if answered else None,
            raw=answered.raw if answered else None,
            hits=answered.entry_ids if answered else (),
            trajectory=Trajectory(turns=tuple(work.turns), failure=failure),
            memories=answered.memories if answered else (),
            searches=answered.searches if answered else (),
        )

    async def retrieve(self, query: str) -> Sequence[Hit]:
        """What is shown for a question: facts, best first, then lines of the text, best first."""
        (hits,) = await self._search([query], self.settings.top_k(self.team.answerer))
        if lines := self.settings.lines(self.team.answerer):
            (said,) = await self._search([query], lines, among_lines=True)
            # What was said again and again at one time ("Good morning!") is shown once.
            different: dict[str, Hit] = {}
            for hit in said:
                different.setdefault(memory_line(hit.entry), hit)
            return [*hits, *different.values()]
        return hits

    async def answer_all(
        self, questions: Sequence[Question], on_progress: Progress = lambda _: None
    ) -> tuple[Answer, ...]:
        """Answer questions concurrently; the answers stand in the questions' order."""

        async def one(question: Question) -> Answer:
            answer = await self.answer(question)
            on_progress("question")
            return answer

        return tuple(await asyncio.gather(*map(one, questions)))

    async def _remember(
        self, chunk: Chunk, facts: Sequence[Fact], work: _Work, origin: str
    ) -> tuple[FactOutcome, ...]:
        """Decide about the important facts and fold the others, at the same time; then write both."""
        important = [fact for fact in facts if fact.important]
        unimportant = [fact for fact in facts if not fact.important]
        state = self.memory.state(self.scope)
        deciding = work.branch()
        folding = work.branch()
        try:
            decided, folded = await _both(
                self._decide(chunk, important, deciding) if important else None,
                self.team.summarizer.fold(state, unimportant, task=folding.task()) if unimportant else None,
            )
        finally:
            work.turns.extend([*deciding.turns, *folding.turns])
        return await _off_loop(self.memory, lambda: self._write(chunk, decided, folded, origin))

    async def _decide(
        self, chunk: Chunk, important: Sequence[Fact], work: _Work
    ) -> Reply[tuple[FactDecision, ...]]:
        hits = await self._search([fact.text for fact in important], self.settings.fact_top_k)
        return await self.team.manager.decide(important, hits, meta=chunk_meta(chunk), task=work.task())

    async def _search(
        self, queries: Sequence[str], top_k: int, *, among_lines: bool = False
    ) -> Sequence[Sequence[Hit]]:
        filters = Filters(scope=self.scope, memory_types=LINE_TYPES if among_lines else FACT_TYPES)
        method = self.settings.method
        return await _off_loop(
            self.memory,
            # A talk's lines begin with few names, which would drown what a question is about.
            lambda: self.memory.search_many(
                queries, top_k, filters=filters, method=method, without_common=among_lines
            ),
        )

    def _write(
        self,
        chunk: Chunk,
        decided: Reply[tuple[FactDecision, ...]] | None,
        folded: Reply[str] | None,
        origin: str,
    ) -> tuple[FactOutcome, ...]:
        outcomes: list[FactOutcome] = []
        decisions = () if decided is None else decided.value or ()
        with self.memory.transaction():
            lines = self._keep_lines(chunk, decisions, origin)
            if decided is not None:
                why = _provenance(chunk, decided.turn, origin)
                outcomes.extend(self._carry_out(one, why, lines.get(one.fact.text)) for one in decisions)
            if folded is not None and folded.value is not None:
                self.memory.set_state(
                    folded.value, scope=self.scope, provenance=_provenance(chunk, folded.turn, origin)
                )
        return tuple(outcomes)

    def _keep_lines(
        self, chunk: Chunk, decisions: Sequence[FactDecision], origin: str
    ) -> Mapping[str, EntryId]:
        """Store the chunk's lines, if any are ever shown, and tell by a fact's text which entry is its line.

        A line from which nothing was taken but what the memory holds already (NOOP) is left out, with whatever else it says.
        """
        if not self.settings.lines(self.team.answerer):
            return {}
        lines = lines_of(as_read(chunk))
        sources = {one.fact.text: source_of(one.fact.text, lines) for one in decisions}
        told = {sources[one.fact.text] for one in decisions if one.decision is not Decision.NOOP}
        kept = [number for number in range(len(lines)) if number in told or number not in sources.values()]
        inserts = [
            Insert(content=lines[number], memory_type=MemoryType.VERBATIM, meta=chunk_meta(chunk))
            for number in kept
        ]
        why = Provenance(actor="reading", source=chunk.text, origin=origin)
        receipts = self.memory.apply(inserts, scope=self.scope, provenance=why)
        stored = {
            number: receipt.entry_id
            for number, receipt in zip(kept, receipts, strict=True)
            if receipt.applied and receipt.entry_id
        }
        return {text: stored[source] for text, source in sources.items() if source in stored}

    def _carry_out(self, decision: FactDecision, why: Provenance, line: EntryId | None) -> FactOutcome:
        """Apply one decision; where the store refuses (an entry vanished meanwhile) the fact is stored as new."""
        ops = [with_line(op, line) for op in decision.ops]
        receipts = self.memory.apply(ops, scope=self.scope, provenance=why)
        refused = not all(receipt.applied for receipt in receipts)
        if refused:
            new = Insert(content=decision.fact.text, memory_type=decision.fact.memory_type)
            receipts = [
                *receipts,
                *self.memory.apply([with_line(new, line)], scope=self.scope, provenance=why),
            ]
        return FactOutcome(
            fact=decision.fact,
            candidates=decision.candidates,
            decision=decision.decision,
            receipts=tuple[Receipt, ...](receipts),
            defaulted=decision.defaulted or refused,
        )


async def run_episode(
    sample: Sample,
    team: Team,
    memory: Memory,
    *,
    settings: EpisodeSettings = DEFAULT_SETTINGS,
    scope: Scope = EVERYWHERE,
    seed: int = 0,
    on_progress: Progress = lambda _: None,
) -> Episode:
    """Live through one sample: read its chunks in order, then answer its questions concurrently.

    Episodes share nothing but the models; run as many at once as you like with `asyncio.gather`.

    Args:
        sample: chunks and questions.
        team: the four agents.
        memory: an empty memory, or one to go on from. The questions do not change it.
        settings: retrieval.
        scope: whose memory it is.
        seed: equal seeds and a deterministic model give equal episodes.
        on_progress: called after each finished unit of work.
    """
    rollout = Rollout(team=team, memory=memory, settings=settings, scope=scope, seed=seed)
    steps: list[MemoryStep] = []
    for chunk in sample.chunks:
        steps.append(await rollout.read_chunk(chunk, origin=f"{sample.sample_id}#{chunk.index}"))
        on_progress("chunk")
        if steps[-1].trajectory.failure:
            break
    broken = steps[-1].trajectory.failure if steps else None
    if broken:
        answers = tuple(unanswered(question, broken) for question in sample.questions)
    else:
        answers = await rollout.answer_all(sample.questions, on_progress)
    return Episode(
        sample_id=sample.sample_id,
        system="quartet",
        steps=tuple(steps),
        answers=answers,
        seed=seed,
        config={**asdict(settings), **asdict(scope)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One unit of work: its seed, and the turns made so far."""

    seed: int
    turns: list[Turn] = field(default_factory=list)

    def task(self) -> Task:
        return Task(seed=self.seed, record=self.turns.append)

    def branch(self) -> _Work:
        return _Work(seed=self.seed)


async def _off_loop(memory: Memory, call: Callable[[], T]) -> T:
    """Run a store call; one that may wait for a disk or a server runs in a thread, so that no episode waits."""
    return await asyncio.to_thread(call) if memory.blocking else call()


async def _both(first: Awaitable[T] | None, second: Awaitable[U] | None) -> tuple[T | None, U | None]:
    """Await two at once; the first error cancels the other and is raised as it is."""

    async def one(awaitable: Awaitable[V] | None) -> V | None:
        return None if awaitable is None else await awaitable

    with first_of_group():
        async with asyncio.TaskGroup() as group:
            left, right = group.create_task(one(first)), group.create_task(one(second))
    return left.result(), right.result()


def _failure(error: WorldError) -> Failure:
    return Failure(kind=type(error).__name__, message=str(error))


def unanswered(question: Question, failure: Failure) -> Answer:
    """The answer that was never given: no text, and the failure that prevented it."""
    return Answer(
        question_id=question.question_id, text=None, hits=(), trajectory=Trajectory(failure=failure)
    )


def _provenance(chunk: Chunk, turn: Turn, origin: str) -> Provenance:
    return Provenance(
        actor=turn.role,
        source=chunk.text,
        origin=origin,
        prompt="\n\n".join(message.content for message in turn.messages),
        model=turn.model,
        seed=turn.seed,
        raw_output=turn.output,
    )
