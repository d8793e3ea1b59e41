"""Filters outside of the index: built from keywords, and applied to entries one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from memquartet.core.memory import MemoryEntry, MemoryType, Meta, Scope
from memquartet.errors import ConfigError
from memquartet.memory.limits import clean_meta_value, clean_scope, clean_text, memory_type_named
from memquartet.memory.protocols import NO_FILTERS, Filters, Where, WhereValue
from memquartet.memory.retrieval.features import compile_filters


def narrowed(
    filters: Filters,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    memory_type: MemoryType | str | None = None,
    where: Where | None = None,
) -> Filters:
    """The filters with the given parts in place of their own.

    Raises:
        ConfigError: an unknown memory type, or a scope that cannot be.
    """
    given = clean_scope(filters.scope)
    # An empty name is passed on and refused: it must never stand for everybody.
    scope = Scope(
        user_id=given.user_id if user_id is None else user_id,
        agent_id=given.agent_id if agent_id is None else agent_id,
        run_id=given.run_id if run_id is None else run_id,
    )
    types = filters.memory_types if memory_type is None else frozenset({memory_type_named(memory_type)})
    return replace(filters, scope=scope, memory_types=types, where=filters.where if where is None else where)


def cleaned(filters: Filters) -> Filters:
    """The filters with names and values in the form in which they are stored.

    Raises:
        ConfigError: an empty name, an unknown memory type, or a value that cannot be a meta value.
    """
    if filters == NO_FILTERS:
        return filters
    if not isinstance(filters.where, Mapping):
        raise ConfigError(f"where must map meta keys to values, got {type(filters.where).__name__}")
    return replace(
        filters,
        scope=clean_scope(filters.scope),
        memory_types=frozenset(map(memory_type_named, filters.memory_types)),
        where={
            clean_text(key, "a key of where"): _cleaned(key, value) for key, value in filters.where.items()
        },
    )


def _cleaned(key: object, value: WhereValue) -> WhereValue:
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_meta_value(key, one) for one in value]
    return clean_meta_value(key, value)


def admission(filters: Filters) -> Callable[[MemoryEntry], bool]:
    """Whether the filters admit an entry; the index decides the same.

    Raises:
        ConfigError: a value in `where` cannot be a meta value, or a time has no zone.
    """
    compile_filters(filters)  # refuses what cannot be, in one place

    def admits(entry: MemoryEntry) -> bool:
        return (
            filters.scope.admits(entry.scope)
            and entry.memory_type in filters.memory_types
            and (filters.created_from is None or filters.created_from <= entry.created_at)
            and (filters.created_until is None or entry.created_at < filters.created_until)
            and all(_holds(entry.meta, key, wanted) for key, wanted in filters.where.items())
        )

    return admits


def _holds(meta: Meta, key: str, wanted: WhereValue) -> bool:
    if key not in meta:
        return False
    value = meta[key]
    values = wanted if isinstance(wanted, list | tuple | set | frozenset) else (wanted,)
    # True equals 1 in Python; in a filter it does not.
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)
