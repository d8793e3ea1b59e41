"""From an episode to a reward for each of its turns, by one of three ways to give credit.

What a turn gets:

1. Nothing, and it is masked, when the world failed where its worth would have shown: in its own unit of work, in
   any step of the episode (the reading ended there), or, for the turns that built the memory, in every answer.
2. In `BROADCAST` mode the episode's outcome, whatever the turn did.
3. Its format part alone when nothing came of its output (an unusable try).
4. Otherwise all parts of its role, weighed by the mix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from memquartet.core.memory import MemoryEntry
from memquartet.core.samples import Sample
from memquartet.core.scores import RewardPart
from memquartet.core.trajectory import Episode, Role
from memquartet.errors import ConfigError
from memquartet.rewards.consistency import consistency_part, distinct_part, update_part
from memquartet.rewards.feedback import fact_credit, noop_part, provenance_part
from memquartet.rewards.ledger import Ledger
from memquartet.rewards.mix import DEFAULT_MIX, RewardMix, total
from memquartet.rewards.outcome import (
    Need,
    entry_credit,
    mean,
    scored_answers,
    used_entries,
    useful_searches,
)
from memquartet.rewards.parts import Part, compression_part, format_part, memory_tokens, operations_part
from memquartet.rewards.turns import PlacedTurn, placed_turns
from memquartet.text.tokens import TokenCounter, default_counter


class CreditMode(StrEnum):
    """How the turns of an episode share what it achieved."""

    BROADCAST = "broadcast"
    """Every turn gets the episode's outcome; episodes of one sample are compared (stock GRPO)."""
    ROLE = "role"
    """Every turn gets its own reward; what one role did about one chunk or question is compared, over the episodes of a
    sample: how hard a question is does not count as its answer's worth."""
    BRANCH = "branch"
    """As `ROLE`, with counterfactual credit (see `memquartet.rewards.branch`) in the place of provenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a reward may need beyond the episode; every part of it may stay away.

    `entries` is the memory after the episode, needed only when it was not empty before. `validity` is a judge's
    share of valid operations by step number (see `judge_steps`). `branch` is counterfactual credit in [-1, 1] by
    turn index (see `branch_credit`).
    """

    entries: tuple[MemoryEntry, ...] = ()
    validity: Mapping[int, float | None] = field(default_factory=dict)
    branch: Mapping[int, float | None] | None = None


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReward:
    """The reward of the turn at `index` of `Episode.turns`.

    `total` is in [0, 1], None for a masked turn, which must not be trained on. Turns with equal `group` are
    compared with one another, over all episodes of a batch.
    """

    index: int
    role: Role
    parts: tuple[RewardPart, ...]
    total: float | None
    group: str

    @property
    def masked(self) -> bool:
        """Whether there is no reward to train on."""
        return self.total is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeReward:
    """Rewards in the order of `Episode.turns`; `outcome` is the mean score of the answers, None without any."""

    outcome: float | None
    turns: tuple[TurnReward, ...]

    def by_role(self) -> Mapping[str, float]:
        """Means over the unmasked turns, for a log, under names like "extractor/total" and "extractor/noop".

        A part that no turn of the role could be judged by is left out.
        """
        values: dict[str, list[float | None]] = {}
        for turn in self.turns:
            if not turn.masked:
                values.setdefault(f"{turn.role}/total", []).append(turn.total)
                for part in turn.parts:
                    values.setdefault(f"{turn.role}/{part.name}", []).append(part.value)
        means = {name: mean(found) for name, found in values.items()}
        return {name: value for name, value in means.items() if value is not None}


def reward_episode(
    episode: Episode,
    sample: Sample,
    *,
    mode: CreditMode = CreditMode.ROLE,
    mix: RewardMix = DEFAULT_MIX,
    evidence: Evidence = NO_EVIDENCE,
    counter: TokenCounter | None = None,
) -> EpisodeReward:
    """A reward for every turn of an episode.

    Args:
        episode: what was lived through.
        sample: what it was made from.
        mode: how credit is given.
        mix: weights of the parts; `BROADCAST` does not look at it.
        evidence: what the episode does not tell.
        counter: counts tokens for compression; the bundled tokenizer by default.

    Raises:
        ConfigError: the episode is of another sample, `BRANCH` without credit, or a part that is not in [0, 1].
        InputError: a question's extra keys are malformed.
    """
    if mode is CreditMode.BRANCH and evidence.branch is None:
        raise ConfigError("credit mode 'branch' needs Evidence(branch=…): compute it with branch_credit()")
    judged = _Judged.of(episode, sample, evidence, counter or default_counter())
    return EpisodeReward(
        outcome=judged.outcome,
        turns=tuple(_turn_reward(placed, judged, mode, mix) for placed in placed_turns(episode)),
    )


def _turn_reward(placed: PlacedTurn, judged: _Judged, mode: CreditMode, mix: RewardMix) -> TurnReward:
    role = placed.turn.role
    group = judged.episode.sample_id
    if mode is CreditMode.BROADCAST:
        parts: tuple[RewardPart, ...] = (RewardPart(name=Part.CORRECTNESS, value=judged.outcome),)
    else:
        unit = f"chunk-{placed.step}" if placed.answer is None else f"question-{placed.answer}"
        group += f"/{unit}/{role}"
        left_out = Part.BRANCH if mode is CreditMode.ROLE else Part.PROVENANCE
        found = judged.parts(placed) if placed.counted else [format_part(placed.turn)]
        parts = mix.weighted(role, (part for part in found if part.name != left_out))
        if any(part.name == Part.BRANCH and part.value is None for part in parts):
            # A turn with and one without counterfactual credit have rewards that do not compare.
            group += "/unprobed"
        if placed.searches:
            # What is asked after a search is what one search did not answer.
            group += f"/searched-{placed.searches}"
    return TurnReward(
        index=placed.index,
        role=role,
        parts=parts,
        total=None if judged.failed(placed) else total(parts),
        group=group,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """An episode with everything that several of its turns are judged by."""

    episode: Episode
    outcome: float | None
    scores: tuple[float | None, ...]
    by_step: tuple[tuple[RewardPart, ...], ...]
    shared: tuple[RewardPart, ...]
    searches: tuple[tuple[bool, ...], ...]
    silent: tuple[bool, ...]
    evidence: Evidence

    @classmethod
    def of(cls, episode: Episode, sample: Sample, evidence: Evidence, counter: TokenCounter) -> _Judged:
        answers = scored_answers(episode, sample)
        ledger = Ledger.of(episode, evidence.entries)
        chunks = {chunk.index: chunk for chunk in sample.chunks}
        used = used_entries(answers)
        earned = fact_credit(ledger, entry_credit(answers, ledger.contents))
        by_step, silent = [], []
        for number, step in enumerate(episode.steps):
            if step.index not in chunks:
                raise ConfigError(
                    f"sample {sample.sample_id!r} has no chunk {step.index}, which the episode read"
                )
            need = Need.of(chunks[step.index], answers)
            facts = len(step.outcomes)
            silent.append(not facts and not need.needless)
            by_step.append(
                (
                    noop_part(number, facts, ledger, need, used),
                    provenance_part(number, facts, ledger, need, used, earned),
                    operations_part(step.outcomes),
                    distinct_part(number, facts, ledger),
                    RewardPart(name=Part.VALIDITY, value=evidence.validity.get(number)),
                )
            )
        read = sum(counter.count(chunks[step.index].text) for step in episode.steps)
        held = (
            memory_tokens(list(ledger.contents.values()), episode.steps[-1].state, counter) if by_step else 0
        )
        outcome = mean(scored.score for scored in answers)
        return cls(
            episode=episode,
            outcome=outcome,
            scores=tuple(scored.score for scored in answers),
            by_step=tuple(by_step),
            shared=(
                RewardPart(name=Part.CORRECTNESS, value=outcome, reason=f"mean of {len(answers)} answers"),
                compression_part(held, read),
                consistency_part(answers, ledger.contents),
                update_part(answers, ledger.contents),
            ),
            searches=tuple(useful_searches(scored, ledger.contents) for scored in answers),
            silent=tuple(silent),
            evidence=evidence,
        )

    def parts(self, placed: PlacedTurn) -> Iterator[RewardPart]:
        """Every part that the turn could have; the mix chooses those of its role."""
        yield format_part(placed.turn)
        if placed.answer is not None:
            yield RewardPart(name=Part.CORRECTNESS, value=self.scores[placed.answer])
            useful = self.searches[placed.answer][placed.searches : placed.searches + 1]
            yield RewardPart(name=Part.SEARCH, value=float(useful[0]) if useful else None)
        if placed.step is not None:
            yield from self.shared
            yield from self.by_step[placed.step]
            yield self._branch_part(placed, placed.step)

    def failed(self, placed: PlacedTurn) -> bool:
        """Whether the world kept the turn's worth from showing."""
        if any(step.trajectory.failure for step in self.episode.steps):
            return True
        if placed.answer is not None:
            return self.episode.answers[placed.answer].trajectory.failure is not None
        answers = self.episode.answers
        return bool(answers) and all(answer.trajectory.failure for answer in answers)

    def _branch_part(self, placed: PlacedTurn, step: int) -> RewardPart:
        credit = (self.evidence.branch or {}).get(placed.index)
        if credit is not None and placed.turn.role is Role.EXTRACTOR and self.silent[step]:
            # Nothing can be left out of nothing, so that its credit is 0; but facts that only did harm have less than 0,
            # and useless ones 0, and an extractor learned to be silent from that.
            return RewardPart(name=Part.BRANCH, value=0.0, reason="no fact of a chunk that answers need")
        return RewardPart(
            name=Part.BRANCH,
            value=None if credit is None else (1 + credit) / 2,
            reason="not probed" if credit is None else f"the outcome changed by {credit:+.3f}",
        )
