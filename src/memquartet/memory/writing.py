"""From a caller's or a model's wish to journal records: clean, embed, plan, write, answer with a receipt."""

from __future__ import annotations

from collections.abc import Sequence

from memquartet.core.memory import (
    Delete,
    EntryId,
    Insert,
    MemoryOp,
    MemoryState,
    Provenance,
    Receipt,
    ReceiptStatus,
    Scope,
    Update,
)
from memquartet.errors import CallerError
from memquartet.memory.contents import Contents, clean_op
from memquartet.memory.journal import JournalRecord, StateChange
from memquartet.memory.limits import LINE, clean_provenance, clean_scope
from memquartet.memory.state import StateEdit, StateReceipt, fit_state
from memquartet.memory.store import Store
from memquartet.memory.timeline import plan_undo
from memquartet.text.tokens import TokenCounter


def carry_out(
    store: Store, ops: Sequence[MemoryOp], scope: Scope, provenance: Provenance, *, strict: bool
) -> list[Receipt]:
    """Carry out operations in order, in one transaction; one receipt each.

    A line that only a replaced or removed fact named is removed by a record of its own, without a receipt.

    Args:
        store: where.
        ops: what.
        scope: what the writer may touch, and whose new entries are.
        provenance: the writer.
        strict: whether an operation that cannot be carried out raises and undoes all; else it fails alone.

    Raises:
        CallerError: a bad scope or a view of the past; with `strict`, anything wrong with an operation.
        StoreError: the disk refused; nothing was written.
    """
    store.require_writable()
    scope, provenance = clean_scope(scope), clean_provenance(provenance)
    drafts = [_draft(op, strict=strict) for op in ops]
    vectors = iter(store.embed([op.content for op in drafts if isinstance(op, Insert | Update)]))
    time = store.now()
    receipts: list[Receipt] = []
    with store.writing() as batch:
        for op, draft in zip(ops, drafts, strict=True):
            vector = next(vectors) if isinstance(draft, Insert | Update) else None
            try:
                if isinstance(draft, CallerError):
                    raise draft
                record = batch.contents.plan(draft, scope=scope, provenance=provenance, time=time)
            except CallerError as error:
                if strict:
                    raise
                receipts.append(Receipt(op=op, status=ReceiptStatus.FAILED, error=str(error)))
            else:
                batch.add(record, vector)
                receipts.append(_receipt(record, draft))
                if (line := _orphaned_line(record, batch.contents)) is not None:
                    gone = Delete(entry_id=line)
                    batch.add(batch.contents.plan(gone, scope=scope, provenance=provenance, time=time), None)
    return receipts


def _orphaned_line(record: JournalRecord, contents: Contents) -> EntryId | None:
    """The line of what the record replaced or removed, where no entry names it any more.

    Otherwise the text's own words would bring back what was corrected or forgotten.
    """
    line = contents.line_of(record.before) if record.before else None
    if line is None or not record.scope.admits(line.scope):
        return None
    names_it = any(entry.meta.get(LINE) == line.entry_id for entry in contents.entries.values())
    return None if names_it else line.entry_id


def change_state(
    store: Store,
    edit: StateEdit,
    scope: Scope,
    provenance: Provenance,
    *,
    budget: int,
    counter: TokenCounter,
) -> StateReceipt:
    """Replace the short-term memory of a scope.

    Raises:
        CallerError: the edit refuses, the notes do not fit, or this is a view of the past.
        StoreError: the disk refused; nothing was written.
    """
    scope, provenance, time = clean_scope(scope), clean_provenance(provenance), store.now()
    with store.writing() as batch:
        before = batch.contents.states.get(scope, MemoryState(budget=budget))
        after, cut = fit_state(*edit(before), budget=budget, counter=counter)
        record = JournalRecord(
            seq=batch.contents.seq + 1,
            time=max(time, batch.contents.time),
            scope=scope,
            provenance=provenance,
            op=StateChange(before=before, after=after),
        )
        batch.add(record)
    return StateReceipt(seq=record.seq, before=before, after=after, cut_tokens=cut)


def undo(store: Store, seq: int, provenance: Provenance) -> Receipt | StateReceipt:
    """Take one record back by a new one.

    Raises:
        CallerError: no such record, nothing to undo, a later change, or a view of the past.
        StoreError: the disk refused; nothing was written.
    """
    provenance, time = clean_provenance(provenance), store.now()
    with store.writing() as batch:
        _, journal = store.journal()
        record = plan_undo(journal, batch.contents, seq, provenance=provenance, time=time)
        batch.add(record, store.embed([record.after.content])[0] if record.after else None)
    if isinstance(record.op, StateChange):
        return StateReceipt(seq=record.seq, before=record.op.before, after=record.op.after)
    return _receipt(record, record.op)


def _draft(op: MemoryOp, *, strict: bool) -> MemoryOp | CallerError:
    try:
        return clean_op(op)
    except CallerError as error:
        if strict:
            raise
        return error


def _receipt(record: JournalRecord, op: MemoryOp) -> Receipt:
    return Receipt(
        op=op,
        status=ReceiptStatus.APPLIED,
        seq=record.seq,
        entry_id=record.entry.entry_id if record.entry else None,
        before=record.before,
        after=record.after,
    )
