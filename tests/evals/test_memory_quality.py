from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memquartet.benchmarks.worlds.catalog import WorldKind, make_worlds
from memquartet.benchmarks.worlds.truth import Asked, FactKind, TrueFact, truth_as_json, truth_of
from memquartet.core.memory import (
    Delete,
    EntryId,
    Fact,
    Insert,
    MemoryEntry,
    MemoryOp,
    MemoryState,
    MemoryType,
    Noop,
    Receipt,
    ReceiptStatus,
    Update,
)
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import (
    Answer,
    Decision,
    Episode,
    FactOutcome,
    Failure,
    MemoryStep,
    Role,
    Trajectory,
    Turn,
    TurnStatus,
)
from memquartet.errors import InputError
from memquartet.evals.against_truth import NOTHING_TRUE, UNUSABLE, Decided, TruthReport, confusion, meant_by
from memquartet.evals.memory_quality import check_truth, memory_quality, stale_shown
from memquartet.memory.embedders import StaticEmbedder
from memquartet.systems.living import live
from memquartet.systems.oracle import Oracle

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def true(fact_id: str, text: str, subject: str, relation: str, value: str) -> TrueFact:
    return TrueFact(
        fact_id=fact_id,
        chunk=int(fact_id[1]),
        text=text,
        kind=FactKind.SEMANTIC,
        subject=subject,
        relation=relation,
        value=value,
    )


TRUTH = (
    true("c0:0", "Ann lives in Oslo.", "Ann", "home", "Oslo"),
    true("c0:1", "Bo keeps a parrot.", "Bo", "pet", "parrot"),
    TrueFact(fact_id="c0:2", chunk=0, text="Ann saw fog.", kind=FactKind.UNIMPORTANT, gist="fog"),
    true("c1:0", "Ann lives in Rome.", "Ann", "home", "Rome"),
    true("c1:1", "Bo keeps a parrot.", "Bo", "pet", "parrot"),
    true("c1:2", "Bo keeps no pet any more.", "Bo", "pet", ""),
)
SAMPLE = Sample(
    sample_id="s",
    chunks=(Chunk(text="one", index=0), Chunk(text="two", index=1)),
    questions=(
        Question(
            question_id="q",
            text="Where does Ann live?",
            answers=("Rome",),
            extra={
                "superseded": ["Oslo"],
                "subject": "Ann",
                "asks": Asked(subject="Ann", relations=("home",)).as_json(),
            },
        ),
    ),
    extra={"truth": truth_as_json(TRUTH)},
)


def entry(name: str, content: str) -> MemoryEntry:
    return MemoryEntry(
        entry_id=EntryId(name),
        memory_type=MemoryType.SEMANTIC,
        content=content,
        created_at=NOW,
        updated_at=NOW,
    )


def did(op: MemoryOp, before: MemoryEntry | None = None, after: MemoryEntry | None = None) -> Receipt:
    return Receipt(op=op, status=ReceiptStatus.APPLIED, before=before, after=after)


def outcome(
    text: str, decision: Decision, *receipts: Receipt, shown: Sequence[str] = (), defaulted: bool = False
) -> FactOutcome:
    return FactOutcome(
        fact=Fact(text=text, important=True),
        candidates=tuple(map(EntryId, shown)),
        decision=decision,
        receipts=receipts,
        defaulted=defaulted,
    )


def step(index: int, *outcomes: FactOutcome, turns: Sequence[Turn] = ()) -> MemoryStep:
    return MemoryStep(
        index=index,
        facts=tuple(one.fact for one in outcomes),
        outcomes=outcomes,
        state=MemoryState(text="fog"),
        seq=0,
        trajectory=Trajectory(turns=tuple(turns)),
    )


def episode(*steps: MemoryStep, shown: Sequence[str] = ()) -> Episode:
    answer = Answer(question_id="q", text="Rome", hits=(), trajectory=Trajectory(), memories=tuple(shown))
    return Episode(sample_id="s", system="quartet", steps=steps, answers=(answer,))


def added(name: str, content: str) -> Receipt:
    return did(Insert(content=content), after=entry(name, content))


OSLO, PARROT = entry("a", "Ann lives in Oslo."), entry("b", "Bo keeps a parrot.")
FIRST = step(
    0,
    outcome("Ann lives in Oslo.", Decision.ADD, added("a", OSLO.content)),
    outcome("Bo keeps a parrot.", Decision.ADD, added("b", PARROT.content)),
)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ann lives in oslo", "c0:0"),
        ("In Oslo lives Ann", "c0:0"),
        ("Ann lives in Rome now.", "c1:0"),
        ("Ann lives somewhere.", None),
        ("Ann flew to Oslo because her sister works there.", None),
        ("Bo lives in Oslo.", None),
        ("Bo keeps a parrot.", "c1:1"),
        ("Bo keeps no pet now.", "c1:2"),
        ("", None),
    ],
)
def test_a_text_means_the_last_fact_with_its_words_or_with_its_names_and_most_of_its_words(
    text: str, meaning: str | None
) -> None:
    facts = [fact for fact in TRUTH if fact.kind is not FactKind.UNIMPORTANT]
    found = meant_by(text, facts)
    assert (found.fact_id if found else None) == meaning


def test_extraction_is_judged_by_the_facts_of_the_chunk() -> None:
    read = step(
        0,
        outcome("Ann lives in Oslo.", Decision.ADD, added("a", OSLO.content)),
        outcome("Ann lives in Rome.", Decision.ADD, added("b", "Ann lives in Rome.")),
    )
    report = TruthReport.of(SAMPLE, episode(read))
    assert report.precise == (True, False)
    assert report.recalled == (True, False)


@pytest.mark.parametrize(
    ("done", "judged"),
    [
        (
            outcome(
                "Ann lives in Rome.",
                Decision.UPDATE,
                did(Update(entry_id=EntryId("a"), content="x"), OSLO, entry("a", "Ann lives in Rome.")),
                shown="ab",
            ),
            Decided(right="UPDATE", made="UPDATE", aimed=True),
        ),
        (
            outcome(
                "Ann lives in Rome.",
                Decision.UPDATE,
                did(Update(entry_id=EntryId("b"), content="x"), PARROT, entry("b", "Ann lives in Rome.")),
                shown="ab",
            ),
            Decided(right="UPDATE", made="UPDATE", aimed=False),
        ),
        (
            outcome("Ann lives in Rome.", Decision.ADD, added("c", "Ann lives in Rome."), shown="b"),
            Decided(right="ADD", made="ADD"),
        ),
        (
            outcome("Ann lives in Rome.", Decision.ADD, added("c", "x"), shown="a", defaulted=True),
            Decided(right="UPDATE", made=UNUSABLE),
        ),
        (
            outcome(
                "Ann lives in Rome.",
                Decision.DELETE,
                did(Delete(entry_id=EntryId("a")), OSLO),
                added("c", "Ann lives in Rome."),
                shown="a",
            ),
            Decided(right="UPDATE", made="UPDATE", aimed=True),
        ),
        (
            outcome("Bo keeps no pet any more.", Decision.DELETE, did(Delete(entry_id=EntryId("b")), PARROT), shown="b"),
            Decided(right="DELETE", made="DELETE", aimed=True),
        ),
        (
            outcome("Bo keeps no pet any more.", Decision.NOOP, did(Noop()), shown="a"),
            Decided(right="NOOP", made="NOOP"),
        ),
        (
            outcome("Bo keeps a parrot.", Decision.NOOP, did(Noop(entry_id=EntryId("b"))), shown="b"),
            Decided(right="NOOP", made="NOOP"),
        ),
        (
            outcome("Ann saw fog.", Decision.ADD, added("c", "Ann saw fog."), shown="a"),
            Decided(right=NOTHING_TRUE, made="ADD"),
        ),
    ],
)  # fmt: skip
def test_a_decision_is_judged_by_the_memories_that_were_shown(done: FactOutcome, judged: Decided) -> None:
    assert TruthReport.of(SAMPLE, episode(FIRST, step(1, done))).decided[-1] == judged


def test_an_old_value_that_comes_back_later_is_still_old_before() -> None:
    back = replace(TRUTH[0], fact_id="c2:0", chunk=2)
    sample = replace(SAMPLE, extra={"truth": truth_as_json((*TRUTH, back))})
    rome = added("c", "Ann lives in Rome.")
    kept = step(1, outcome("Ann lives in Rome.", Decision.ADD, rome, shown="a"))
    again = step(2, outcome("Ann lives in Oslo.", Decision.NOOP, did(Noop()), shown="ac"))
    decided = TruthReport.of(sample, episode(FIRST, kept, again)).decided
    assert [one.right for one in decided] == ["ADD", "ADD", "UPDATE", "UPDATE"]


def test_a_fact_that_an_earlier_window_of_its_chunk_stored_is_rightly_left_alone() -> None:
    rome = added("c", "Ann lives in Rome.")
    first = step(1, outcome("Ann lives in Rome.", Decision.ADD, rome))
    second = step(1, outcome("Ann lives in Rome.", Decision.NOOP, did(Noop()), shown="c"))
    decided = TruthReport.of(SAMPLE, episode(FIRST, first, second)).decided
    assert decided[-1] == Decided(right="NOOP", made="NOOP")


def test_what_is_left_in_memory_is_junk_stale_or_missing() -> None:
    second = step(
        1,
        outcome("Ann lives in Rome.", Decision.ADD, added("c", "Ann lives in Rome."), shown="a"),
        outcome("Ann is nice.", Decision.ADD, added("d", "Ann is nice.")),
    )
    report = TruthReport.of(SAMPLE, episode(FIRST, second))
    assert report.junk == (False, False, False, True)
    assert report.stale == (True, True, False, False)
    assert report.missing == (False,)
    assert TruthReport.of(SAMPLE, episode(FIRST, step(1))).missing == (True,)


def test_a_system_that_extracts_nothing_and_decides_nothing_is_not_judged() -> None:
    assert TruthReport.of(SAMPLE, episode()) == TruthReport()


def test_a_step_that_the_world_broke_is_not_judged() -> None:
    broken = replace(step(1), trajectory=Trajectory(failure=Failure(kind="x", message="y")))
    assert TruthReport.of(SAMPLE, episode(FIRST, broken)).recalled == (True, True)


def test_the_confusion_matrix_counts_every_decision_once() -> None:
    counts = confusion([Decided(right="ADD", made="ADD"), Decided(right=NOTHING_TRUE, made=UNUSABLE)])
    assert counts["ADD"] == {"ADD": 1, "UPDATE": 0, "DELETE": 0, "NOOP": 0, "unusable": 0}
    assert counts["none"]["unusable"] == 1
    assert sum(sum(row.values()) for row in counts.values()) == 2


@pytest.mark.parametrize(
    ("shown", "stale"),
    [
        (["(2024-01-01) Ann lives in Oslo."], True),
        (["Ann lives in Rome."], False),
        (["Ann: I met Bo in Oslo."], True),
        (["Bo keeps a parrot."], False),
    ],
)
def test_a_question_is_stale_when_an_old_value_was_shown(shown: list[str], stale: bool) -> None:
    assert stale_shown(SAMPLE, episode(shown=shown)) == [stale]


def test_a_value_that_another_fact_rightly_has_is_not_stale() -> None:
    friend = true("c0:3", "Ann has a friend in Oslo.", "Ann", "friend", "Oslo")
    sample = replace(SAMPLE, extra={"truth": truth_as_json((*TRUTH, friend))})
    assert stale_shown(sample, episode(shown=["Ann has a friend in Oslo."])) == [False]


def test_the_measures_of_a_run_are_told_with_their_n() -> None:
    turns = [
        Turn(role=Role.EXTRACTOR, messages=(), output="", status=status)
        for status in (TurnStatus.INVALID, TurnStatus.OK, TurnStatus.REPAIRED, TurnStatus.OK)
    ]
    again = step(1, outcome("Bo keeps a parrot.", Decision.NOOP, did(Noop()), shown="b"), turns=turns)
    told = memory_quality([SAMPLE], {"s": episode(FIRST, again)}).as_json()
    assert told["invalid"] == {"extractor": {"mean": 0.25, "n": 4, "unscored": 0, "low": 0.0, "high": 0.75}}
    assert told["decisions"] == {"ADD": 2, "UPDATE": 0, "DELETE": 0, "NOOP": 1}
    assert told["noop_share"] == pytest.approx(1 / 3)
    means = {
        name: value["mean"] for name, value in told.items() if isinstance(value, dict) and "mean" in value
    }
    assert means == pytest.approx(
        {
            "repeated": 1 / 3,
            "stale_shown": 0.0,
            "entries": 2.0,
            "memory_tokens": 13.0,
            "extraction_precision": 1.0,
            "extraction_recall": 3 / 5,
            "right_decisions": 1.0,
            "junk": 0.0,
            "stale_stored": 1.0,
            "missing": 1.0,
        }
    )


def test_of_data_without_truth_only_what_can_be_known_is_told() -> None:
    sample = replace(SAMPLE, extra={})
    told = memory_quality([sample], {"s": episode(FIRST, shown=["Ann lives in Oslo."])}).as_json()
    assert "confusion" not in told
    assert "junk" not in told
    assert isinstance(stale := told["stale_shown"], dict)
    assert stale["mean"] == 1.0


@pytest.mark.parametrize("kind", list(WorldKind))
def test_the_oracle_extracts_and_decides_without_a_fault(kind: WorldKind) -> None:
    samples = list(make_worlds(kind, seed=3, count=3))
    oracle = Oracle(embedder=StaticEmbedder())

    async def lived() -> dict[str, Episode]:
        return {sample.sample_id: await live(oracle, sample) for sample in samples}

    report = memory_quality(samples, asyncio.run(lived())).truth
    assert report is not None
    assert all(report.precise)
    assert all(report.recalled)
    assert all(one.right == one.made for one in report.decided)
    assert not any(report.junk)
    assert not any(report.missing)


def test_damaged_truth_is_found_before_a_model_is_asked() -> None:
    check_truth([SAMPLE])
    with pytest.raises(InputError, match="truth"):
        check_truth([replace(SAMPLE, extra={"truth": "?"})])
    question = replace(SAMPLE.questions[0], extra={"superseded": ["Oslo"], "asks": 3})
    with pytest.raises(InputError, match="asks"):
        check_truth([replace(SAMPLE, questions=(question,))])
    assert truth_of(SAMPLE) == TRUTH
