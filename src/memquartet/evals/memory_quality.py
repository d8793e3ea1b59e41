"""How good the memory itself is, beside the answers: what was stored, what is stale, what could not be used.

Everything comes from the episodes, so that any run can be measured again. What needs the truth of a generated world is
left out for other data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from memquartet.benchmarks.worlds.truth import TRUTH, asked_by, truth_of
from memquartet.core.samples import Sample
from memquartet.core.trajectory import Answer, Decision, Episode, Role, Turn, TurnStatus
from memquartet.evals.against_truth import NOTHING_TRUE, Decided, Meanings, TruthReport, confusion
from memquartet.evals.evidence import evidence_reached
from memquartet.evals.superseded import superseded_in
from memquartet.rewards.ledger import Ledger
from memquartet.scoring.summary import Summary, summarize
from memquartet.text.tokens import default_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQuality:
    """One system over many samples. Shares are in [0, 1] with bootstrap intervals over what they are shares of.

    `invalid`: model outputs that could not be used, by role. `decisions`: how often each was made; `defaulted` of them
    are not the manager's, whose output could not be used. `repeated`: facts that told the memory nothing new.
    `stale_shown`: questions for which a superseded value was shown to the answerer, among those whose answer changed.
    `evidence`: see `evidence_reached`. `entries` and `memory_tokens`: facts after the last chunk, without lines of the text; tokens with the short-term
    state; means over samples. The rest is judged by the truth of generated worlds: see `TruthReport`.
    """

    invalid: Mapping[Role, Summary] = field(default_factory=dict)
    decisions: Mapping[Decision, int] = field(default_factory=dict)
    defaulted: int = 0
    repeated: Summary
    stale_shown: Summary
    evidence: Summary
    entries: Summary
    memory_tokens: Summary
    truth: TruthReport | None = None

    def as_json(self) -> dict[str, object]:
        """What there is; shares of nothing are left out."""
        measured = {
            "repeated": self.repeated,
            "stale_shown": self.stale_shown,
            "evidence": self.evidence,
            "entries": self.entries,
            "memory_tokens": self.memory_tokens,
            **(_judged(self.truth) if self.truth else {}),
        }
        told: dict[str, object] = {
            "invalid": {str(role): summary.as_json() for role, summary in self.invalid.items()},
            **{name: summary.as_json() for name, summary in measured.items() if summary.n},
        }
        if made := sum(self.decisions.values()):
            noops = self.decisions.get(Decision.NOOP, 0)
            told["decisions"] = {str(name): count for name, count in self.decisions.items()}
            told["defaulted"] = self.defaulted
            told["noop_share"] = noops / made
        if self.truth and self.truth.decided:
            told["confusion"] = confusion(self.truth.decided)
        return told


def memory_quality(samples: Sequence[Sample], episodes: Mapping[str, Episode]) -> MemoryQuality:
    """Measure one system.

    Args:
        samples: what was read and asked.
        episodes: by sample id; samples without one are left out.

    Raises:
        InputError: a sample's truth is damaged.
    """
    lived = [(sample, episodes[sample.sample_id]) for sample in samples if sample.sample_id in episodes]
    outcomes = [outcome for _, episode in lived for step in episode.steps for outcome in step.outcomes]
    writing = [episode for _, episode in lived if any(step.outcomes for step in episode.steps)]
    ledgers = [Ledger.of(episode) for episode in writing]
    facts = [
        (place in ledger.redundant)
        for episode, ledger in zip(writing, ledgers, strict=True)
        for place in _places(episode)
    ]
    return MemoryQuality(
        invalid=invalid_by_role(turn for _, episode in lived for turn in episode.turns),
        decisions={name: sum(one.decision is name for one in outcomes) for name in Decision},
        defaulted=sum(outcome.defaulted for outcome in outcomes),
        repeated=summarize([float(one) for one in facts]),
        stale_shown=summarize(
            [float(one) for sample, episode in lived for one in stale_shown(sample, episode)]
        ),
        evidence=summarize([one for sample, episode in lived for one in evidence_reached(sample, episode)]),
        entries=summarize([float(len(ledger.contents)) for ledger in ledgers]),
        memory_tokens=summarize(
            [float(_tokens(episode, ledger)) for episode, ledger in zip(writing, ledgers, strict=True)]
        ),
        truth=_truth(lived),
    )


def check_truth(samples: Sequence[Sample]) -> None:
    """Read all that `memory_quality` will read of the samples, so that damage shows before any model is asked.

    Raises:
        InputError: a sample's truth, or what a question says of it, is damaged.
    """
    for sample in samples:
        superseded = superseded_in(sample)
        if TRUTH in sample.extra:
            truth_of(sample)
            for question in sample.questions:
                if question.question_id in superseded:
                    asked_by(question)


def invalid_by_role(turns: Iterable[Turn]) -> dict[Role, Summary]:
    """The share of model calls whose output could not be used, for each role that spoke; retries are calls."""
    by_role: dict[Role, list[float]] = {}
    for turn in turns:
        by_role.setdefault(turn.role, []).append(float(turn.status is TurnStatus.INVALID))
    return {role: summarize(by_role[role]) for role in Role if role in by_role}


def stale_shown(sample: Sample, episode: Episode) -> list[bool]:
    """For each answered question whose answer changed, whether an old value was among the texts that were shown.

    Where the truth is known, a line that means a fact about something else is no stale one, whatever words it shares.

    Raises:
        InputError: a question's superseded values are not a list of texts, or the sample's truth is damaged.
    """
    superseded = superseded_in(sample)
    truth = Meanings(truth_of(sample)) if TRUTH in sample.extra else None
    questions = {question.question_id: question for question in sample.questions}

    def shown(answer: Answer) -> bool:
        lines = superseded[answer.question_id].said_by(answer.memories)
        if truth is None:
            return bool(lines)
        key = truth.asked_for(asked_by(questions[answer.question_id]))
        return any((fact := truth.of_text(line)) is None or fact.key == key for line in lines)

    return [
        shown(answer)
        for answer in episode.answers
        if answer.text is not None and answer.question_id in superseded
    ]


def _places(episode: Episode) -> Iterable[tuple[int, int]]:
    """Every decided fact's place, as the ledger counts them."""
    return ((number, fact) for number, step in enumerate(episode.steps) for fact in range(len(step.outcomes)))


def _tokens(episode: Episode, ledger: Ledger) -> int:
    state = episode.steps[-1].state
    texts = [*ledger.contents.values(), *state.notes, state.text]
    return sum(map(default_counter().count, texts))


def _truth(lived: Sequence[tuple[Sample, Episode]]) -> TruthReport | None:
    reports = [TruthReport.of(sample, episode) for sample, episode in lived if TRUTH in sample.extra]
    if not any(report.precise or report.recalled for report in reports):
        return None
    return TruthReport(
        precise=tuple(one for report in reports for one in report.precise),
        recalled=tuple(one for report in reports for one in report.recalled),
        decided=tuple(one for report in reports for one in report.decided),
        junk=tuple(one for report in reports for one in report.junk),
        stale=tuple(one for report in reports for one in report.stale),
        missing=tuple(one for report in reports for one in report.missing),
    )


def _judged(truth: TruthReport) -> dict[str, Summary]:
    def share(values: Iterable[bool]) -> Summary:
        return summarize([float(value) for value in values])

    judged: list[Decided] = [one for one in truth.decided if one.right != NOTHING_TRUE]
    return {
        "extraction_precision": share(truth.precise),
        "extraction_recall": share(truth.recalled),
        "right_decisions": share(one.right == one.made for one in judged),
        "right_targets": share(one.aimed for one in judged if one.aimed is not None),
        "junk": share(truth.junk),
        "stale_stored": share(truth.stale),
        "missing": share(truth.missing),
    }
