"""`Memory`: what the rest of the program, and its users, call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Self, TypedDict, Unpack

from memquartet.core.memory import (
    DIRECT,
    EVERYWHERE,
    FACT_TYPES,
    Delete,
    EntryId,
    Hit,
    Insert,
    MemoryEntry,
    MemoryOp,
    MemoryState,
    MemoryType,
    Meta,
    Provenance,
    Receipt,
    Scope,
    Update,
)
from memquartet.errors import ConfigError, UnknownEntryError
from memquartet.memory.contents import Contents
from memquartet.memory.embedders import NoEmbedder, StaticEmbedder
from memquartet.memory.filtering import admission, cleaned, narrowed
from memquartet.memory.journal import Journal, JournalRecord, RamJournal, Vector
from memquartet.memory.limits import (
    SAID_AT,
    check_top_k,
    clean_optional_text,
    clean_scope,
    clean_text,
    entry_number,
    memory_type_named,
    said_at_text,
    search_method_named,
)
from memquartet.memory.portable import canonical_bytes, export_lines, read_export, read_lines, write_lines
from memquartet.memory.prompts import PromptMode, prompt_mode_named, render
from memquartet.memory.protocols import NO_FILTERS, Embedder, Filters, SearchMethod, Where
from memquartet.memory.sqlite.journal import SqliteJournal
from memquartet.memory.sqlite.reembedding import Progress
from memquartet.memory.state import StateEdit, StateReceipt, with_note, without_note
from memquartet.memory.store import Clock, Store, utc_now
from memquartet.memory.timeline import MemoryDiff, Moment, difference, seq_at
from memquartet.memory.writing import carry_out, change_state, undo
from memquartet.text.tokens import TokenCounter, default_counter

STATE_BUDGET = 512


class Settings(TypedDict, total=False):
    """What every way of making a memory takes, as keywords.

    embedder: for search by meaning; the bundled static one by default.
    state_budget: tokens that the short-term memory of a scope holds.
    counter: counts those tokens; the bundled tokenizer by default.
    language: whose word endings keyword search ignores.
    clock: gives the time of a write; times without a zone are refused. One behind the last record gives that record's.
    """

    embedder: Embedder | None
    state_budget: int
    counter: TokenCounter | None
    language: str
    clock: Clock


class Memory:
    """Long-term entries and short-term states, found by search, written through a journal.

    `Memory()` lives in RAM, `Memory.open(path)` in one durable file; both do the same. A memory may be used
    from several threads, a file from several processes. Bad arguments raise a `CallerError` and change nothing.
    """

    def __init__(
        self,
        *,
        embedder: Embedder | None = None,
        state_budget: int = STATE_BUDGET,
        counter: TokenCounter | None = None,
        language: str = "english",
        clock: Clock = utc_now,
        journal: Journal | None = None,
    ) -> None:
        """Make a memory with `Settings`; `journal` is where the records are kept, in RAM by default.

        Raises:
            ConfigError: a budget below 1 or an unknown language.
            EmbedderMismatchError: the journal's vectors are of another embedder.
        """
        if state_budget < 1:
            raise ConfigError(f"state_budget must be at least 1 token, got {state_budget}")
        self._budget = state_budget
        self._counter = counter or default_counter()
        self._store = Store(
            journal=RamJournal() if journal is None else journal,
            embedder=embedder or StaticEmbedder(),
            language=language,
            clock=clock,
        )
        self._store.load()

    @classmethod
    def open(cls, path: str | Path, *, busy_timeout: float = 30.0, **settings: Unpack[Settings]) -> Memory:
        """Open the memory in an SQLite file, or start one there; its folder must exist.

        A write that has returned survives SIGKILL and power loss. Other processes may have the file open too:
        writers wait for each other up to `busy_timeout` seconds, and everyone sees every write.

        Raises:
            StoreVersionError: the file is no memory, or one of a newer memquartet.
            EmbedderMismatchError: the file's vectors are of another embedder; see `reembed_file`.
            StoreError: the file is locked, damaged, or cannot be read or written.
        """
        journal = SqliteJournal(path, busy_timeout=busy_timeout)
        try:
            return cls(journal=journal, **settings)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def replay(cls, source: Memory | Iterable[JournalRecord], **settings: Unpack[Settings]) -> Memory:
        """A memory in RAM that the records add up to; its `canonical_bytes` equal the original's.

        Raises:
            InputError: the journal contradicts itself; the message names the record.
        """
        memory = cls(**settings)
        memory._store.take_over(source.journal() if isinstance(source, Memory) else source)
        return memory

    def insert(
        self,
        memory_type: MemoryType | str,
        content: str,
        meta: Meta | None = None,
        *,
        said_at: datetime | None = None,
        scope: Scope = EVERYWHERE,
        provenance: Provenance = DIRECT,
    ) -> MemoryEntry:
        """Store a new entry.

        Args:
            memory_type: "semantic", "episodic" or "verbatim".
            content: the text; trimmed and NFC-normalised, 1 to 100,000 characters.
            meta: plain values by key, at most 64.
            said_at: when it was said or happened, if that is not now; kept as `meta["said_at"]`.
            scope: whose memory it is.
            provenance: who writes, and from what.

        Raises:
            ConfigError: a value cannot be stored.
            StoreError: the disk refused; nothing was written.
        """
        op = Insert(
            content=content, memory_type=memory_type_named(memory_type), meta=_dated(meta, said_at) or {}
        )
        return _entry(carry_out(self._store, [op], scope, provenance, strict=True)[0].after)

    def update(
        self,
        id: str,
        new_content: str,
        meta: Meta | None = None,
        *,
        said_at: datetime | None = None,
        scope: Scope = EVERYWHERE,
        provenance: Provenance = DIRECT,
    ) -> MemoryEntry:
        """Replace the whole content of an entry; without `meta` and `said_at` its meta stays.

        Raises:
            UnknownEntryError: there is no such entry within `scope`.
            ConfigError: a value cannot be stored.
            StoreError: the disk refused; nothing was written.
        """
        op = Update(entry_id=EntryId(id), content=new_content, meta=_dated(meta, said_at))
        return _entry(carry_out(self._store, [op], scope, provenance, strict=True)[0].after)

    def delete(self, id: str, *, scope: Scope = EVERYWHERE, provenance: Provenance = DIRECT) -> MemoryEntry:
        """Remove an entry and return it as it was; its history stays, and its id is not used again.

        Raises:
            UnknownEntryError: there is no such entry within `scope`.
            StoreError: the disk refused; nothing was written.
        """
        op = Delete(entry_id=EntryId(id))
        return _entry(carry_out(self._store, [op], scope, provenance, strict=True)[0].before)

    def apply(
        self, ops: Sequence[MemoryOp], *, scope: Scope = EVERYWHERE, provenance: Provenance = DIRECT
    ) -> list[Receipt]:
        """Carry out a model's operations in order, in one transaction; one receipt each.

        An operation that cannot be carried out (unknown id, id outside `scope`, empty content) fails alone:
        its receipt says why, the others count.

        Raises:
            ReadOnlyError: this is a view of the past.
            StoreError: the disk refused; no operation was carried out.
        """
        return carry_out(self._store, ops, scope, provenance, strict=False)

    def undo(self, seq: int, *, provenance: Provenance = DIRECT) -> Receipt | StateReceipt:
        """Take one journal record back by a new record; undoing that one brings the change back.

        Raises:
            ConfigError: no such record, nothing to undo, or a later record changed the same entry.
            StoreError: the disk refused; nothing was written.
        """
        return undo(self._store, seq, provenance)

    def transaction(self) -> AbstractContextManager[object]:
        """Make all writes inside the block one: durable together at its end, and gone if it raises.

        Reads inside see what was written so far; a block inside another is part of it. Other threads and processes
        wait, other tasks of this thread do not and would be part of it: keep it short and never await inside.

        Raises:
            ReadOnlyError: this is a view of the past.
            StoreError: the disk refused; nothing was written.
        """
        return self._store.transaction()

    def get(self, id: str, *, scope: Scope = EVERYWHERE) -> MemoryEntry:
        """The entry with this id.

        Raises:
            UnknownEntryError: there is no such entry within `scope`.
        """
        return self._store.contents().find(id, clean_scope(scope))

    def __contains__(self, id: object) -> bool:
        return id in self._store.contents().entries

    def __len__(self) -> int:
        return len(self._store.contents().entries)

    def entries(self, filters: Filters = NO_FILTERS) -> list[MemoryEntry]:
        """The entries that the filters admit, in the order in which they were inserted.

        Raises:
            ConfigError: a filter that cannot be.
        """
        entries = self._store.contents().ordered()
        return list(entries if filters == NO_FILTERS else filter(admission(cleaned(filters)), entries))

    def search(
        self,
        query: str,
        top_k: int = 10,
        *,
        filters: Filters = NO_FILTERS,
        method: SearchMethod | str = SearchMethod.HYBRID,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = None,
        where: Where | None = None,
    ) -> list[Hit]:
        """The best entries for a query, best first; fewer than `top_k` when fewer match.

        The keywords from `user_id` on take the place of the same part of `filters`.

        Raises:
            ConfigError: an empty query, top_k below 1, an unknown method or type, or a filter that cannot be.
        """
        narrow = narrowed(
            filters, user_id=user_id, agent_id=agent_id, run_id=run_id, memory_type=memory_type, where=where
        )
        return self.search_many([query], top_k, filters=narrow, method=method)[0]

    def search_many(
        self,
        queries: Sequence[str],
        top_k: int = 10,
        *,
        filters: Filters = NO_FILTERS,
        method: SearchMethod | str = SearchMethod.HYBRID,
        without_common: bool = False,
    ) -> list[list[Hit]]:
        """The hits of each query, on the same contents and with one call of the embedder.

        `without_common` keeps words that many entries have, such as speakers' names, out of the queries' vectors.

        Raises:
            ConfigError: as for `search`.
        """
        check_top_k(top_k)
        method, filters = search_method_named(method), cleaned(filters)
        texts = [clean_text(query, "the query") for query in queries]
        contents, index = self._store.searchable()
        meant = [index.without_common(text, filters) for text in texts] if without_common else texts
        by_words = method is SearchMethod.BM25
        vectors: Sequence[Vector | None] = [None] * len(texts) if by_words else self._store.embed(meant)
        return [
            [
                scored.hit(contents.entries[scored.entry_id])
                for scored in index.search(text, vector, top_k=top_k, method=method, filters=filters)
            ]
            for text, vector in zip(texts, vectors, strict=True)
        ]

    def render_system_prompt(
        self,
        mode: PromptMode | str,
        query: str | None = None,
        *,
        scope: Scope = EVERYWHERE,
        top_k: int = 10,
    ) -> str:
        """A system prompt that shows the memory to a model: its facts, no lines of texts.

        Args:
            mode: "memorize", "chat" or "rethink".
            query: what the shown entries have to do with; without one, the latest are shown.
            scope: whose memory.
            top_k: the most entries shown.

        Raises:
            ConfigError: an unknown mode, or an argument that `search` refuses.
        """
        filters = Filters(scope=clean_scope(scope), memory_types=FACT_TYPES)
        check_top_k(top_k)
        hits = () if query is None else self.search(query, top_k, filters=filters)
        shown = self.entries(filters)[-top_k:] if query is None else [hit.entry for hit in hits]
        return render(prompt_mode_named(mode), self.state(scope), shown)

    @property
    def seq(self) -> int:
        """The last journal record, 0 in a new memory."""
        return self._store.contents().seq

    @property
    def blocking(self) -> bool:
        """Whether a call may wait for a disk or a server, so that an event loop should run it in a thread."""
        return self._store.durable or not isinstance(self._store.embedder, StaticEmbedder | NoEmbedder)

    def state(self, scope: Scope = EVERYWHERE) -> MemoryState:
        """The short-term memory of exactly this scope; empty when nothing was written."""
        empty = MemoryState(budget=self._budget)
        return self._store.contents().states.get(clean_scope(scope), empty)

    def set_state(
        self, text: str, scope: Scope = EVERYWHERE, provenance: Provenance = DIRECT
    ) -> StateReceipt:
        """Replace the text, keeping the notes. What does not fit beside them is cut off at the end.

        Raises:
            ConfigError: no text, or one that cannot be stored.
            StoreError: the disk refused; nothing was written.
        """
        text = clean_optional_text(text, "the state")
        return self._change_state(lambda state: (text, state.notes), scope, provenance)

    def add_note(self, note: str, scope: Scope = EVERYWHERE, provenance: Provenance = DIRECT) -> StateReceipt:
        """Pin a note; the end of the text makes room for it.

        Raises:
            ConfigError: the note is there already, cannot be stored, or does not fit beside the other notes.
            StoreError: the disk refused; nothing was written.
        """
        return self._change_state(with_note(note), scope, provenance)

    def remove_note(
        self, note: str, scope: Scope = EVERYWHERE, provenance: Provenance = DIRECT
    ) -> StateReceipt:
        """Take a note away.

        Raises:
            ConfigError: there is no such note.
            StoreError: the disk refused; nothing was written.
        """
        return self._change_state(without_note(note), scope, provenance)

    def journal(self, since: int = 0) -> Iterator[JournalRecord]:
        """The records after `since`, in order, as they are now; later ones are not among them."""
        contents, journal = self._store.journal()
        return journal.read(since, contents.seq)

    def history(self, id: str) -> list[JournalRecord]:
        """Every record that changed the entry, also one that is deleted by now.

        Raises:
            UnknownEntryError: there never was an entry with this id.
        """
        contents, journal = self._store.journal()
        if (entry_number(id) or contents.last_number + 1) > contents.last_number:
            raise UnknownEntryError(f"no memory ever had the id {id!r}: `entries()` lists those there are")
        return list(journal.read(0, contents.seq, EntryId(id)))

    def as_of(self, moment: Moment) -> Memory:
        """The memory as it was at a time, or after a journal record; it can be read, searched and forked.

        Its index is made when it is first searched.

        Raises:
            ConfigError: a record that does not exist, or a time without a zone.
        """
        now, journal = self._store.journal()
        seq = seq_at(journal, moment, now.seq)
        contents = Contents() if seq < now.seq else now
        for record in journal.read(contents.seq, seq):
            contents = contents.after(record)
        return self._with(self._store.view(contents))

    def diff(self, since: Moment, until: Moment) -> MemoryDiff:
        """What differs between two moments.

        Raises:
            ConfigError: a moment that does not exist, or `since` after `until`.
        """
        contents, journal = self._store.journal()
        first, last = (seq_at(journal, moment, contents.seq) for moment in (since, until))
        if first > last:
            raise ConfigError(
                f"the first moment (record {first}) is after the second (record {last}): swap them"
            )
        return difference(journal.read(first, last))

    def fork(self) -> Memory:
        """A memory in RAM with the same past; from here on each goes its own way. Takes microseconds."""
        return self._with(self._store.branch())

    def canonical_bytes(self) -> bytes:
        """Contents and journal in one form: memories with the same past are equal byte for byte."""
        contents, journal = self._store.journal()
        return canonical_bytes(contents, journal.read(0, contents.seq))

    def export_lines(self) -> Iterator[str]:
        """The whole journal as JSON lines: a header with the format version, then a record a line."""
        return export_lines(self.journal())

    def export(self, path: str | Path) -> None:
        """Write the whole journal to a JSONL file, which appears only when it is complete.

        Raises:
            StoreError: the file cannot be written; an earlier one stays.
        """
        write_lines(Path(path), self.export_lines())

    def import_(self, source: str | Path | Iterable[str]) -> int:
        """Take over an export, with its history, into this empty memory; returns the number of records.

        Raises:
            ConfigError: this memory is not empty.
            InputError: the export cannot be read or contradicts itself; nothing was taken over.
            StoreVersionError: the export is of a newer memquartet.
            StoreError: the disk refused; nothing was written.
        """
        if isinstance(source, str | Path):
            return self._store.take_over(read_export(read_lines(Path(source)), repr(str(source))))
        return self._store.take_over(read_export(source))

    def reembed(self, embedder: Embedder, *, on_progress: Progress | None = None) -> None:
        """Change to another embedder. A file is switched over at the end; interrupted, a next call goes on.

        Raises:
            ReadOnlyError, ConfigError: this is a view of the past, or in the middle of a transaction.
            WorldError: the embedder or the disk failed; the old vectors still hold.
        """
        self._store.reembed(embedder, on_progress)

    def close(self) -> None:
        """Give up the file; a memory in RAM has nothing to close."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _with(self, store: Store) -> Memory:
        memory = object.__new__(Memory)
        memory._budget, memory._counter, memory._store = self._budget, self._counter, store
        return memory

    def _change_state(self, edit: StateEdit, scope: Scope, provenance: Provenance) -> StateReceipt:
        return change_state(self._store, edit, scope, provenance, budget=self._budget, counter=self._counter)


def _dated(meta: Meta | None, said_at: datetime | None) -> Meta | None:
    return meta if said_at is None else {**(meta or {}), SAID_AT: said_at_text(said_at)}


def _entry(entry: MemoryEntry | None) -> MemoryEntry:
    assert entry is not None  # a strict operation has both of its sides, or it raised
    return entry
