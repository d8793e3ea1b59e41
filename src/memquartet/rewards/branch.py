"""Counterfactual credit: what would the answers have been without this fact?

For a fact, the memory is replayed from its journal with the fact's operations left out, and the questions are
asked again; credit is the outcome minus that counterfactual outcome, in [-1, 1]. Nothing but answers is generated
again, and of these only the ones whose prompt differs. For the summarizer the short-term state is blanked.

The idea of credit from branches of a memory pipeline is that of TreeMem (arXiv 2605.04811: sub-trees of a one-shot
builder) and of Memory-R2 (arXiv 2605.21768: re-rollouts from the same memory snapshot); HiMPO (arXiv 2606.16285)
compares a memory before and after one write. Here the branch leaves one fact out of a stream of operations.

What leaving out means, decided in `without`: the operations of the fact are not carried out, and everything later
is, in the old order. A later update of an entry that was never inserted inserts its content, since the later fact
would have found nothing to update; a later removal of such an entry has nothing to do. Decisions are not made
anew: credit is for the fact in the company that it had.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from memquartet.core.memory import Delete, EntryId, Insert, MemoryOp, MemoryType, Meta, Noop, Update
from memquartet.core.messages import Message
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Episode, Role, Turn
from memquartet.errors import ConfigError
from memquartet.llm.protocols import ChatModel, ChatRequest, Completion
from memquartet.memory.journal import JournalRecord, StateChange
from memquartet.memory.limits import LINE
from memquartet.memory.memory import Memory
from memquartet.rewards.ledger import Place
from memquartet.rewards.outcome import answer_score, mean, scored_answers
from memquartet.rewards.turns import placed_turns
from memquartet.rollout.episode import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchCredit:
    """Credit in [-1, 1] by turn index; None where no probe of the turn succeeded.

    `probes` are the branches that were asked, `answers` the model calls that took.
    """

    by_turn: Mapping[int, float | None]
    probes: int
    answers: int


async def branch_credit(
    rollout: Rollout, episode: Episode, sample: Sample, *, budget: int = 16, seed: int = 0
) -> BranchCredit:
    """Probe an episode's facts and its short-term state.

    A step's extractor and manager turns get the mean credit of its facts, every summarizer turn that of the
    state. A fact whose operations changed nothing has credit 0 without a probe, and so has a step without facts.
    An answer that the world kept from being given drops out of both outcomes.

    Args:
        rollout: what made the episode: the team, the memory as the episode left it, settings, scope and seed.
        episode: the episode.
        sample: its sample.
        budget: branches at most, one for a fact and one for the state. Facts are drawn at random, one from each
            step before a second from any.
        seed: of that draw.

    Raises:
        ConfigError: the episode does not belong to the sample or to the memory, or the budget is negative.
    """
    if budget < 0:
        raise ConfigError(f"budget must be at least 0 branches, got {budget}")
    scores = tuple(scored.score for scored in scored_answers(episode, sample))
    changed = _changed_records(episode)
    if any(seq > rollout.memory.seq for seqs in changed.values() for seq in seqs):
        raise ConfigError("the memory is not the one that the episode wrote: give the memory it ended with")
    recorded = _Recorded(rollout.team.answerer.model, episode)
    team = replace(rollout.team, answerer=replace(rollout.team.answerer, model=recorded))

    async def credit(memory: Memory) -> float | None:
        answers = await replace(rollout, team=team, memory=memory).answer_all(sample.questions)
        texts = {answer.question_id: answer.text for answer in answers}
        questions = {question.question_id: question for question in sample.questions}
        pairs = [
            (score, answer_score(sample.metric, texts[answer.question_id], questions[answer.question_id]))
            for answer, score in zip(episode.answers, scores, strict=True)
        ]
        return mean(then - now for then, now in pairs if then is not None and now is not None)

    async def fact_credit(place: Place) -> float | None:
        return await credit(await asyncio.to_thread(without, rollout.memory, changed[place]))

    async def state_credit() -> float | None:
        blank = rollout.memory.fork()
        blank.set_state("", scope=rollout.scope)
        return await credit(blank)

    folded = (
        _turns_of(episode, Role.SUMMARIZER) if budget and rollout.memory.state(rollout.scope).text else {}
    )
    chosen = _draw(changed, budget - bool(folded), random.Random(seed))
    of_facts = dict(zip(chosen, await asyncio.gather(*map(fact_credit, chosen)), strict=True))
    of_state = await state_credit() if folded else None
    by_turn = {
        index: _step_credit(step, episode, changed, of_facts)
        for role in (Role.EXTRACTOR, Role.MANAGER)
        for index, step in _turns_of(episode, role).items()
    }
    by_turn |= dict.fromkeys(folded, of_state)
    return BranchCredit(by_turn=by_turn, probes=len(chosen) + bool(folded), answers=recorded.calls)


def without(memory: Memory, seqs: Set[int]) -> Memory:
    """A fork of the memory in which the journal records `seqs` never happened; see the module's text.

    Raises:
        ConfigError: no sequence numbers, or one that is not in the journal.
    """
    if not seqs:
        raise ConfigError("no journal records to leave out: give at least one")
    first = min(seqs)
    branch = memory.as_of(first - 1).fork()
    ids: dict[EntryId, EntryId] = {}
    missing: set[EntryId] = set()
    for record in memory.journal(first - 1):
        if record.seq in seqs:
            if record.before is None and record.after is not None:
                missing.add(record.after.entry_id)
        elif isinstance(record.op, StateChange):
            branch.set_state(record.op.after.text, scope=record.scope, provenance=record.provenance)
        elif op := _replayed(record, ids, missing):
            (receipt,) = branch.apply([op], scope=record.scope, provenance=record.provenance)
            if record.after is not None and receipt.entry_id is not None:
                ids[record.after.entry_id] = receipt.entry_id
                missing.discard(record.after.entry_id)
    return branch


def _replayed(
    record: JournalRecord, ids: Mapping[EntryId, EntryId], missing: Set[EntryId]
) -> MemoryOp | None:
    """The record's operation for a branch whose entries have the ids `ids` and that lacks the `missing` ones."""
    after = record.after
    match record.op:
        case Insert(meta=meta):
            return replace(record.op, entry_id=None, meta=_renamed(meta, ids, missing))
        case Update(entry_id=old) if old in missing and after is not None:
            return Insert(
                content=after.content, memory_type=after.memory_type, meta=_renamed(after.meta, ids, missing)
            )
        case Update(entry_id=old, meta=changed):
            return replace(
                record.op,
                entry_id=ids.get(old, old),
                meta=None if changed is None else _renamed(changed, ids, missing),
            )
        case Delete() if record.before and record.before.memory_type is MemoryType.VERBATIM:
            return None  # it went with its fact, and will again where the fact goes
        case Delete(entry_id=old) if old not in missing:
            return Delete(entry_id=ids.get(old, old))
        case _:
            return None


def _renamed(meta: Meta, ids: Mapping[EntryId, EntryId], missing: Set[EntryId]) -> Meta:
    """Meta with the line that it names by the line's id in the branch, or without one that the branch lacks."""
    line = meta.get(LINE)
    if not isinstance(line, str):
        return meta
    rest = {key: value for key, value in meta.items() if key != LINE}
    return rest if line in missing else {**rest, LINE: ids.get(EntryId(line), line)}


def _changed_records(episode: Episode) -> dict[Place, frozenset[int]]:
    """The journal records by which each fact changed the memory; facts that changed nothing are left out."""
    records = {
        Place(step_number, number): frozenset(
            receipt.seq
            for receipt in outcome.receipts
            if receipt.applied and receipt.seq is not None and not isinstance(receipt.op, Noop)
        )
        for step_number, step in enumerate(episode.steps)
        for number, outcome in enumerate(step.outcomes)
    }
    return {place: seqs for place, seqs in records.items() if seqs}


def _draw(places: Mapping[Place, Set[int]], budget: int, rng: random.Random) -> list[Place]:
    """At most `budget` places, spread over the steps as evenly as they go."""
    by_step: dict[int, list[Place]] = {}
    for place in places:
        by_step.setdefault(place.step, []).append(place)
    ranked = [
        (rank, rng.random(), place)
        for own in by_step.values()
        for rank, place in enumerate(rng.sample(own, len(own)))
    ]
    return [place for _, _, place in sorted(ranked)[: max(0, budget)]]


def _step_credit(
    step: int, episode: Episode, changed: Mapping[Place, Set[int]], credit: Mapping[Place, float | None]
) -> float | None:
    """The mean over a step's facts, estimated from those that were probed; the unchanging ones count 0."""
    facts = len(episode.steps[step].outcomes)
    effective = sum(place.step == step for place in changed)
    if not effective:
        return 0.0
    probed = mean(value for place, value in credit.items() if place.step == step)
    return None if probed is None else probed * effective / facts


def _turns_of(episode: Episode, role: Role) -> dict[int, int]:
    """The role's counted turns and the steps they belong to."""
    return {
        placed.index: placed.step
        for placed in placed_turns(episode)
        if placed.turn.role is role and placed.counted and placed.step is not None
    }


class _Recorded:
    """The answerer's model, which gives the episode's own reply to a request that the episode made.

    So a branch that does not change a prompt does not change the answer, and costs nothing.
    """

    def __init__(self, model: ChatModel, episode: Episode) -> None:
        self._model = model
        self._replies: dict[tuple[Sequence[Message], int | None], Turn] = {
            (turn.messages, turn.seed): turn for answer in episode.answers for turn in answer.trajectory.turns
        }
        self.calls = 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def prompts(self) -> str | None:
        return self._model.prompts

    def fits(self, messages: Sequence[Message]) -> bool:
        """As the model behind it says."""
        return self._model.fits(messages)

    async def complete(self, request: ChatRequest) -> Completion:
        turn = self._replies.get((request.messages, request.sampling.seed))
        if turn is None:
            self.calls += 1
            return await self._model.complete(request)
        return Completion(text=turn.output, model=turn.model, tool_calls=turn.tool_calls)
