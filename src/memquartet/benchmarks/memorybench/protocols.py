"""In which order MemoryBench feeds dialogues and asks questions, as plans of steps and as samples.

A plan is data: a runner takes its steps one by one with one memory. `protocol_samples` says the same in samples: what is
asked after a step is a sample of its own, whose chunks are all that was read until then. Reading them again makes the
calls that the sample of the step before made, in the same words, so that a cache of calls answers them. Rules: THUIR/MemoryBench at 9a33aae9,
`src/off-policy.py`, `stepwise_off-policy.py`, `on-policy.py`, `train_performance.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

from memquartet.benchmarks.memorybench.loading import MemoryBenchDataset
from memquartet.benchmarks.memorybench.records import Task, dialog_chunks
from memquartet.core.messages import Message
from memquartet.core.samples import Chunk, Sample
from memquartet.errors import ConfigError
from memquartet.text.chunking import ChunkSize

SEED = 42
RETRIEVED = 5
"""Memories or dialogues retrieved for a question."""
BATCH = 100
"""Dialogues of a step."""
STEPS = 10
"""Steps on policy."""
ROUNDS = 3
"""Replies of the model in a dialogue on policy, at most."""


class Order(StrEnum):
    """What is fed and asked when."""

    OFF_POLICY = "off-policy"
    """All recorded dialogues, then the test tasks; each corpus only for the tasks of its own data set."""
    STEPWISE = "stepwise"
    """Corpora, test tasks, then after every batch of recorded dialogues the test tasks again."""
    ON_POLICY = "on-policy"
    """Corpora, then ten times: own dialogues about drawn training tasks, and the test tasks."""
    TRAIN_PERFORMANCE = "train-performance"
    """As off policy, but the training tasks are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done with the memory, in this order: read corpora, store dialogues, talk and store the dialogue, ask.

    `apart` tasks are asked with a copy of the memory that has also read their data set's corpus.
    """

    corpora: tuple[str, ...] = ()
    store: tuple[Task, ...] = ()
    talk: tuple[Task, ...] = ()
    ask: tuple[Task, ...] = ()
    apart: tuple[Task, ...] = ()


def plan(
    order: Order,
    datasets: Sequence[MemoryBenchDataset],
    *,
    system: str = "",
    seed: int = SEED,
    batch: int = BATCH,
    steps: int = STEPS,
) -> list[Step]:
    """The steps for the data sets of a domain or task, or for one.

    Recorded dialogues are shuffled; on policy, each step draws its tasks anew from all of them. Tasks without a
    dialogue for `system` (see `Task.dialog`) are not stored.

    Raises:
        ConfigError: no data sets, or a batch or number of steps below 1.
    """
    if not datasets or batch < 1 or steps < 1:
        raise ConfigError(
            f"a plan needs data sets and a batch and steps of 1 or more, got {len(datasets)}, {batch} and {steps}"
        )
    train = [task for dataset in datasets for task in dataset.train]
    test = tuple(chain.from_iterable(dataset.test for dataset in datasets))
    corpora = tuple(dataset.name for dataset in datasets if dataset.corpus)
    rng = random.Random(seed)
    if order is Order.ON_POLICY:
        talks = [tuple(rng.sample(train, min(batch, len(train)))) for _ in range(steps)]
        return [
            Step(corpora=corpora if number == 0 else (), talk=talk, ask=test)
            for number, talk in enumerate(talks)
        ]
    stored = [task for task in train if task.dialog(system)]
    rng.shuffle(stored)
    if order is Order.STEPWISE:
        batches = [tuple(stored[start : start + batch]) for start in range(0, len(stored), batch)]
        return [Step(corpora=corpora, ask=test), *(Step(store=one, ask=test) for one in batches)]
    asked = test if order is Order.OFF_POLICY else tuple(train)
    return [
        Step(
            store=tuple(stored),
            ask=tuple(task for task in asked if task.dataset not in corpora),
            apart=tuple(task for task in asked if task.dataset in corpora),
        )
    ]


def off_policy_samples(
    datasets: Sequence[MemoryBenchDataset],
    size: ChunkSize,
    *,
    metric: str = "memorybench_official",
    order: Order = Order.OFF_POLICY,
    system: str = "",
) -> list[Sample]:
    """The off-policy protocols as samples: one for all data sets without a corpus, and one for each with one.

    Args:
        datasets: of a domain or task, or a single one.
        size: of the chunks of dialogues.
        metric: "memorybench_official" or "memorybench_fixed"; judged sets have no score by it (`extra["judge"]`).
        order: off-policy or train-performance.
        system: whose dialogues are fed, where a data set has one for each memory system.

    Raises:
        ConfigError: no data sets, or an order that is no single pass.
    """
    if order not in (Order.OFF_POLICY, Order.TRAIN_PERFORMANCE):
        raise ConfigError(
            f"only off-policy and train-performance are one pass over a memory, got {order.value!r}"
        )
    (step,) = plan(order, datasets, system=system)
    dialogues = tuple(_chunks(step.store, system, size))
    asked = {"": step.ask} | {
        dataset.name: tuple(task for task in step.apart if task.dataset == dataset.name)
        for dataset in datasets
        if dataset.corpus
    }
    corpora = {dataset.name: dataset.corpus for dataset in datasets}
    named = "+".join(dataset.name for dataset in datasets if not dataset.corpus)
    return [
        Sample(
            sample_id=f"{order.value}:{name or named}",
            chunks=_numbered((*dialogues, *corpora.get(name, ()))),
            questions=tuple(task.question() for task in tasks),
            source="memorybench",
            metric=metric,
            extra={"judge": "memorybench", "order": order.value, "retrieved": RETRIEVED},
        )
        for name, tasks in asked.items()
        if tasks
    ]


def protocol_samples(
    order: Order,
    datasets: Sequence[MemoryBenchDataset],
    size: ChunkSize,
    *,
    metric: str = "memorybench_official",
    system: str = "",
    batch: int = BATCH,
) -> list[Sample]:
    """Any protocol as samples; stepwise and on policy one for each step, numbered in `sample_id` (see `step_of`).

    On policy nobody has spoken yet: the chunks are the corpora alone, and what the system is to talk about before it is
    asked is in `extra` ("talk", tasks); whoever runs it adds the dialogues of this step and of those before.

    Args:
        order: the protocol.
        datasets: of a domain or task, or a single one.
        size: of the chunks of dialogues.
        metric: see `off_policy_samples`.
        system: whose recorded dialogues are fed, where a data set has one for each memory system.
        batch: dialogues of a step.

    Raises:
        ConfigError: no data sets, or a batch below 1.
    """
    if order in (Order.OFF_POLICY, Order.TRAIN_PERFORMANCE):
        return off_policy_samples(datasets, size, metric=metric, order=order, system=system)
    named = "+".join(dataset.name for dataset in datasets)
    read = [chunk for dataset in datasets for chunk in dataset.corpus]
    samples = []
    for number, step in enumerate(plan(order, datasets, system=system, batch=batch)):
        read += _chunks(step.store, system, size)
        samples.append(
            Sample(
                sample_id=f"{order.value}:{named}:{number:02}",
                chunks=_numbered(read),
                questions=tuple(task.question() for task in step.ask),
                source="memorybench",
                metric=metric,
                extra={
                    "judge": "memorybench",
                    "order": order.value,
                    "retrieved": RETRIEVED,
                    **({"talk": step.talk} if step.talk else {}),
                },
            )
        )
    return samples


def step_of(sample_id: str) -> int | None:
    """The number of the step after which a sample is asked, from 0; None where the protocol has no steps."""
    order, _, rest = sample_id.partition(":")
    number = rest.rpartition(":")[2]
    stepped = order in (Order.STEPWISE, Order.ON_POLICY) and number.isdecimal()
    return int(number) if stepped else None


def after_dialogues(
    sample: Sample, held: Sequence[tuple[Task, Sequence[Message]]], size: ChunkSize
) -> Sample:
    """The sample, having also read these dialogues."""
    spoken = [chunk for task, messages in held for chunk in dialog_chunks(task, messages, size)]
    return replace(sample, chunks=_numbered((*sample.chunks, *spoken)))


def _chunks(tasks: Sequence[Task], system: str, size: ChunkSize) -> Iterator[Chunk]:
    for task in tasks:
        yield from dialog_chunks(task, task.dialog(system), size)


def _numbered(chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
    return tuple(replace(chunk, index=index) for index, chunk in enumerate(chunks))
