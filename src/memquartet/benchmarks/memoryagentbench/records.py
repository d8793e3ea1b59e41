"""Reading and loading MemoryAgentBench: one record is one long context with its questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from pydantic import Field

from memquartet.benchmarks.hub import HubFile, fetch
from memquartet.benchmarks.memoryagentbench.chunking import official_chunks
from memquartet.benchmarks.memoryagentbench.sources import (
    CONTEXT_TOKENS,
    PROTOCOLS,
    Family,
    Scorer,
    Split,
    family_of,
)
from memquartet.benchmarks.reading import Record, Row, checked, read_records
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import ConfigError, InputError
from memquartet.text.chunking import ChunkSize, split_text

REPO = "ai-hyz/MemoryAgentBench"
REVISION = "7ea066982b140a19337e17e60d45d4076e042faf"
FILES = {
    Split.ACCURATE_RETRIEVAL: "56c3cd80fb6731a3e53cd1a6be3148f54df60ff2d290ee50e28f8acebf9655c1",
    Split.TEST_TIME_LEARNING: "5338753be48f925d03318eed66117286e3489025fabe050a547bd086cd7d79c0",
    Split.LONG_RANGE_UNDERSTANDING: "5ab175461954db67770d4a4cb69e569b513ebb96aceb9ee79b57f67488bcd539",
    Split.CONFLICT_RESOLUTION: "24d5c3f09ce0ce15625cb9f8a98f44f0d864ca6c94d7b4ad04eb697ca3a5ff45",
}
"""The splits with the SHA-256 of their parquet file at `REVISION`."""
ENTITIES = HubFile(
    repo=REPO,
    revision=REVISION,
    path="entity2id.json",
    sha256="63353aca481bc9558b502f91cb98f6fa26438796fdd7e0bc06b5a1532126e8b5",
)
"""The catalogue of movies that recommendations are matched against."""

# What LongMemEval's judge needs of each question, and what a question's `extra` calls it.
_TOLD = {
    "question_types": "question_type",
    "question_ids": "question_id",
    "question_dates": "question_date",
}


class _Metadata(Row):
    source: str
    qa_pair_ids: list[str] | None = None
    question_ids: list[str] | None = None
    question_types: list[str] | None = None
    question_dates: list[str] | None = None
    keypoints: list[str] | None = None


class _Row(Row):
    context: str
    questions: list[str] = Field(min_length=1)
    answers: list[list[str]]
    metadata: _Metadata


def matches(record: Mapping[str, object]) -> bool:
    """Whether a JSON object looks like one of MemoryAgentBench's contexts."""
    return {"context", "questions", "answers", "metadata"} <= record.keys()


def read(
    records: Iterable[Record],
    size: ChunkSize | None = None,
    *,
    scorer: Scorer = Scorer.FIXED,
    sources: Sequence[str] = (),
    entities: Path | None = None,
    memorize: bool = False,
) -> Iterator[Sample]:
    """One sample a context.

    What the benchmark prescribes is in the sample's `extra`: "split", "family", "scorer", "answer_tokens",
    "chunking", "memorize", "context_tokens" for published sources, and "judge" where the paper scores by a judge model.

    Args:
        records: as read from the files.
        size: None cuts as the official code does, with the paper's chunk size for the source; a size cuts
            losslessly, after sentences.
        scorer: whose rules name the sample's metric.
        sources: only these; () is all.
        entities: the file entity2id.json; the scorer of recommendation sources needs it.
        memorize: whether systems are handed each chunk in the words of `templates.memorize_prompt`, as officially.

    Raises:
        InputError: a record is not in the benchmark's form, its context is empty, a question has no answer, two
            questions have one id, or its source is unknown.
        MissingExtraError: official chunks without the `eval` extra.
    """
    for number, record in enumerate(records):
        row = checked(_Row, record)
        source = row.metadata.source
        if sources and source not in sources:
            continue
        family = family_of(source, f"{record.place}, field 'metadata.source'")
        if not row.context.strip():
            raise InputError(f"{record.place}, field 'context': expected a text, given white space alone")
        protocol = PROTOCOLS[family]
        chunks, chunking = _chunks(row.context, size, protocol.chunk_tokens)
        extra: dict[str, object] = {
            "split": protocol.split.value,
            "family": family.value,
            "scorer": scorer.value,
            "answer_tokens": protocol.answer_tokens,
            "chunking": chunking,
            "memorize": memorize,
        }
        if source in CONTEXT_TOKENS:
            extra["context_tokens"] = CONTEXT_TOKENS[source]
        if protocol.judge:
            extra["judge"] = protocol.judge
        yield Sample(
            sample_id=f"{source}#{number}",
            chunks=chunks,
            questions=_questions(row, family, record.place, entities),
            source=f"memoryagentbench/{source}",
            metric=protocol.official if scorer is Scorer.OFFICIAL else protocol.fixed,
            extra=extra,
        )


def load_memory_agent_bench(
    *,
    splits: Sequence[Split] = tuple(Split),
    sources: Sequence[str] = (),
    data: Path | None = None,
    entities: Path | None = None,
    scorer: Scorer = Scorer.OFFICIAL,
    size: ChunkSize | None = None,
    memorize: bool = True,
    fetch_file: Callable[[HubFile], Path] = fetch,
) -> list[Sample]:
    """The benchmark's samples from the hub at `REVISION`, or from local files.

    Args:
        splits: which of the four to load; of a local file, all its records are taken.
        sources: only these; () is all.
        data: a file, or a folder with a file a split named after it (parquet, JSONL, JSON, or one of these
            gzipped); None is the hub.
        entities: the file entity2id.json; None looks beside `data`, else on the hub.
        scorer: whose rules score the answers.
        size: as in `read`.
        memorize: as in `read`.
        fetch_file: gets a file of the hub.

    Raises:
        ConfigError: a wanted source is not there, or recommendations are without their catalogue.
        InputError: a file cannot be read, or two samples have one id.
        DownloadError: the hub is out of reach.
        MissingExtraError: the `eval` extra is not installed.
    """
    wanted = [split for split in splits if _wants(split, sources)]
    records = chain.from_iterable(map(read_records, _paths(wanted, data, fetch_file)))
    if entities is None:
        entities = _entities(wanted, sources, data, fetch_file)
    samples = list(read(records, size, scorer=scorer, sources=sources, entities=entities, memorize=memorize))
    found = {sample.source.partition("/")[2] for sample in samples}
    if missing := [source for source in sources if source not in found]:
        raise ConfigError(
            f"no source {missing[0]!r} in {data or REPO}: published are {', '.join(CONTEXT_TOKENS)}"
        )
    if entities is None and any(sample.extra["family"] == Family.RECOMMENDATION for sample in samples):
        raise ConfigError(
            f"{data}: recommendations are matched against a catalogue of movies: put entity2id.json beside the data"
        )
    return samples


def _paths(
    splits: Sequence[Split], data: Path | None, fetch_file: Callable[[HubFile], Path]
) -> Iterator[Path]:
    if data is not None and not data.is_dir():
        yield data
        return
    for split in splits:
        if data is None:
            path = f"data/{split.value}-00000-of-00001.parquet"
            yield fetch_file(HubFile(repo=REPO, revision=REVISION, path=path, sha256=FILES[split]))
        else:
            yield from (path for path in sorted(data.rglob(f"{split.value}*")) if path.is_file())


def _wants(split: Split, sources: Sequence[str]) -> bool:
    return not sources or any(PROTOCOLS[family_of(source)].split is split for source in sources)


def _entities(
    splits: Sequence[Split], sources: Sequence[str], data: Path | None, fetch_file: Callable[[HubFile], Path]
) -> Path | None:
    """The catalogue of movies where it may be needed, and None where it is not or cannot be found."""
    wanted = not sources or any(family_of(source) is Family.RECOMMENDATION for source in sources)
    if not wanted or Split.TEST_TIME_LEARNING not in splits:
        return None
    if data is None:
        return fetch_file(ENTITIES)
    folder = data if data.is_dir() else data.parent
    return next(iter(sorted(folder.glob("entity2id.json*"))), None)


def _chunks(context: str, size: ChunkSize | None, tokens: int) -> tuple[tuple[Chunk, ...], dict[str, object]]:
    if size is None:
        parts = official_chunks(context, budget=tokens)
        told: dict[str, object] = {"rule": "official", "tokens": tokens, "counted_in": "o200k_base"}
    else:
        parts = split_text(context, budget=size.tokens, count=size.count)
        told = {"rule": "lossless", "tokens": size.tokens}
    return tuple(Chunk(text=part, index=index) for index, part in enumerate(parts)), told


def _questions(row: _Row, family: Family, place: str, entities: Path | None) -> tuple[Question, ...]:
    source, number = row.metadata.source, len(row.questions)
    # One question's aliases may stand one a list, as the official loader reads them.
    answers = [list(chain.from_iterable(row.answers))] if number == 1 else row.answers
    ids = row.metadata.qa_pair_ids or [f"{source}:{index}" for index in range(number)]
    told = _told(row.metadata) if family is Family.CHATS else {}
    listed: Mapping[str, Sequence[object]] = {"answers": answers, "qa_pair_ids": ids, **told}
    for name, values in listed.items():
        if len(values) != number:
            raise InputError(f"{place}: expected {number} {name}, one a question, given {len(values)}")
    if twice := [one for one, times in Counter(ids).items() if times > 1]:
        raise InputError(f"{place}, field 'metadata.qa_pair_ids': {twice[0]!r} names more than one question")
    if empty := [index for index, aliases in enumerate(answers) if not aliases]:
        raise InputError(f"{place}, field 'answers[{empty[0]}]': expected at least one answer, given none")
    shared: dict[str, object] = {}
    if family is Family.SUMMARY and row.metadata.keypoints:
        shared["keypoints"] = row.metadata.keypoints
    if family is Family.RECOMMENDATION and entities is not None:
        shared["entities"] = str(entities)
    return tuple(
        Question(
            question_id=ids[index],
            text=row.questions[index],
            answers=tuple(answers[index]),
            category=source,
            extra={**shared, **{name: values[index] for name, values in told.items()}},
        )
        for index in range(number)
    )


def _told(metadata: _Metadata) -> dict[str, list[str]]:
    values = {name: getattr(metadata, field) for field, name in _TOLD.items()}
    return {name: found for name, found in values.items() if found}
