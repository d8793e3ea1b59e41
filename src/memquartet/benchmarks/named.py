"""Benchmarks by name, from where they are published or from local files.

| name | what |
| --- | --- |
| memoryagentbench, memoryagentbench:SOURCE | MemoryAgentBench, all of it or one source |
| memorybench:NAME | MemoryBench: a data set (NFCats), a domain (Legal) or a task format (Long-Short) |
| locomo | LoCoMo's ten conversations |
| longmemeval:oracle, longmemeval:s, longmemeval:m | LongMemEval, cleaned release |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memquartet.benchmarks import locomo, longmemeval
from memquartet.benchmarks.hub import fetch, fetch_web
from memquartet.benchmarks.memoryagentbench import records
from memquartet.benchmarks.memoryagentbench.records import load_memory_agent_bench
from memquartet.benchmarks.memoryagentbench.sources import Scorer
from memquartet.benchmarks.memorybench import loading
from memquartet.benchmarks.memorybench.catalogue import Domain, TaskFormat
from memquartet.benchmarks.memorybench.loading import load_memory_bench
from memquartet.benchmarks.memorybench.protocols import BATCH, Order, protocol_samples
from memquartet.benchmarks.registry import Format, load_dataset
from memquartet.core.samples import Sample
from memquartet.errors import ConfigError
from memquartet.text.chunking import ChunkSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a benchmark is loaded.

    `data` is a local file or folder in place of the published one. `size` None is what the benchmark prescribes, and 512
    tokens where it prescribes nothing. `scorer` matters where the official code defeats its own task. `memorize`
    hands MemoryAgentBench's chunks over in the words of its memorize templates, as the official code does. `protocol`,
    `dialogues` (whose recorded ones are read where a data set has some of each memory system) and `batch` (dialogues
    of a step) are MemoryBench's.
    """

    data: Path | None = None
    size: ChunkSize | None = None
    scorer: Scorer = Scorer.OFFICIAL
    memorize: bool = True
    protocol: Order = Order.OFF_POLICY
    dialogues: str = "bm25"
    batch: int = BATCH


DEFAULTS = Options()


def load_benchmark(name: str, options: Options = DEFAULTS) -> list[Sample]:
    """The samples of a benchmark, each with its metric and what else the benchmark prescribes in `extra`.

    Raises:
        ConfigError: no such name, or a wanted part is not in the local files.
        InputError: a file is not in the benchmark's form.
        DownloadError: the published files are out of reach.
        MissingExtraError: the `eval` extra is not installed.
    """
    benchmark, _, part = name.partition(":")
    if benchmark not in _LOADERS:
        raise ConfigError(
            f"no benchmark {name!r}: use one of {', '.join(_LOADERS)}, with a part after a colon"
        )
    return _LOADERS[benchmark](part, options)


def revision_of(name: str, options: Options = DEFAULTS) -> str | None:
    """The pinned revision that `load_benchmark` reads, as "ai-hyz/MemoryAgentBench@7ea0…"; None of local files.

    Raises:
        ConfigError: no such name.
    """
    benchmark = name.partition(":")[0]
    if benchmark not in _REVISIONS:
        raise ConfigError(f"no benchmark {name!r}: use one of {', '.join(_LOADERS)}")
    return None if options.data else _REVISIONS[benchmark]


def benchmark_names() -> list[str]:
    """The benchmarks' names, without parts."""
    return list(_LOADERS)


def _memoryagentbench(part: str, options: Options) -> list[Sample]:
    sources = (part,) if part else ()
    return load_memory_agent_bench(
        sources=sources,
        data=options.data,
        scorer=options.scorer,
        size=options.size,
        memorize=options.memorize,
    )


def _memorybench(part: str, options: Options) -> list[Sample]:
    if part in set(Domain):
        datasets = load_memory_bench("domain", part, data=options.data, size=options.size)
    elif part in set(TaskFormat):
        datasets = load_memory_bench("task", part, data=options.data, size=options.size)
    else:
        datasets = [load_memory_bench("single", part, data=options.data, size=options.size)]
    return protocol_samples(
        options.protocol,
        datasets,
        options.size or ChunkSize(),
        metric=f"memorybench_{options.scorer.value}",
        system=options.dialogues,
        batch=options.batch,
    )


def _locomo(part: str, options: Options) -> list[Sample]:
    if part:
        raise ConfigError(f"locomo has no parts, got {part!r}")
    return load_dataset(options.data or fetch_web(locomo.FILE), Format.LOCOMO, options.size)


def _longmemeval(part: str, options: Options) -> list[Sample]:
    if part not in set(longmemeval.Version):
        raise ConfigError(
            f"no version {part!r} of LongMemEval: use longmemeval:{', longmemeval:'.join(longmemeval.Version)}"
        )
    path = options.data or fetch(longmemeval.FILES[longmemeval.Version(part)])
    return load_dataset(path, Format.LONGMEMEVAL, options.size)


_REVISIONS: Mapping[str, str] = {
    "memoryagentbench": f"{records.REPO}@{records.REVISION}",
    "memorybench": f"{loading.REPO}@{loading.REVISION}",
    "locomo": f"{locomo.REPO}@{locomo.REVISION}",
    "longmemeval": f"{longmemeval.REPO}@{longmemeval.REVISION}",
}
_LOADERS: Mapping[str, Callable[[str, Options], list[Sample]]] = {
    "memoryagentbench": _memoryagentbench,
    "memorybench": _memorybench,
    "locomo": _locomo,
    "longmemeval": _longmemeval,
}
