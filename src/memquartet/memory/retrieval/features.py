"""What an entry is found by: its terms, and the filter keys of its scope, type and meta.

Both are features of one inverted index, so a filter reads a posting list instead of scanning entries.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memquartet.core.memory import MemoryEntry, MemoryType, MetaValue, Scope
from memquartet.errors import ConfigError
from memquartet.memory.protocols import Filters
from memquartet.text.terms import index_terms

FilterKey = tuple[str, str, MetaValue]
"""(kind, name, value), e.g. ("scope", "user_id", "alice"), ("type", "", "semantic"), ("meta", "topic", "work")."""
Feature = str | FilterKey
"""A term, or a filter key."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`Filters` made ready. Times are microseconds since 1970, half-open."""

    required: frozenset[FilterKey]
    """Keys that an entry must all have."""
    groups: tuple[tuple[FilterKey, ...], ...]
    """Of each group an entry must have one key."""
    created_from: int | None
    created_until: int | None

    @property
    def admits_all(self) -> bool:
        """Whether nothing is asked."""
        return (
            not self.required and not self.groups and self.created_from is None and self.created_until is None
        )

    def admits(self, features: dict[Feature, int], created: int) -> bool:
        """Whether an entry with these features and this time of creation passes."""
        return (
            features.keys() >= self.required
            and not any(features.keys().isdisjoint(group) for group in self.groups)
            and (self.created_from is None or created >= self.created_from)
            and (self.created_until is None or created < self.created_until)
        )


def entry_features(entry: MemoryEntry, language: str) -> tuple[dict[Feature, int], int]:
    """Features with their counts, and the length in terms.

    Raises:
        ConfigError: a meta value is none of str, int, float, bool, None, or is not finite.
    """
    terms = index_terms(entry.content, language)
    features: dict[Feature, int] = dict(Counter(terms))
    for key in (*_scope_keys(entry.scope), _type_key(entry.memory_type), *_meta_keys(entry.meta)):
        features[key] = 1
    return features, len(terms)


def compile_filters(filters: Filters) -> Condition:
    """The filter keys that `filters` asks for.

    A `where` list admits any of its values, an empty one nothing. True is not 1, and None asks for an entry
    whose meta holds None under that key.

    Raises:
        ConfigError: a value in `where` cannot be a meta value, or a time has no zone.
    """
    groups: list[tuple[FilterKey, ...]] = [(key,) for key in _scope_keys(filters.scope)]
    if len(filters.memory_types) < len(MemoryType):
        groups.append(tuple(_type_key(kind) for kind in sorted(filters.memory_types)))
    for name, admitted in filters.where.items():
        values = admitted if isinstance(admitted, list | tuple | set | frozenset) else (admitted,)
        groups.append(tuple(dict.fromkeys(_meta_key(name, value) for value in values)))
    return Condition(
        required=frozenset(group[0] for group in groups if len(group) == 1),
        groups=tuple(group for group in groups if len(group) != 1),
        created_from=_optional_micros(filters.created_from, "created_from"),
        created_until=_optional_micros(filters.created_until, "created_until"),
    )


def micros(time: datetime, name: str) -> int:
    """Microseconds since 1970, exact.

    Raises:
        ConfigError: the time has no zone; `name` says which one.
    """
    if time.tzinfo is None:
        raise ConfigError(
            f"{name} {time.isoformat()!r} has no time zone; give an aware datetime, e.g. in UTC"
        )
    return (time - _EPOCH) // _MICROSECOND


def _optional_micros(time: datetime | None, name: str) -> int | None:
    return None if time is None else micros(time, name)


def _scope_keys(scope: Scope) -> Iterable[FilterKey]:
    for name, value in (("user_id", scope.user_id), ("agent_id", scope.agent_id), ("run_id", scope.run_id)):
        if value is not None:
            yield "scope", name, value


def _type_key(memory_type: MemoryType) -> FilterKey:
    return "type", "", memory_type.value


def _meta_keys(meta: Mapping[str, MetaValue]) -> Iterable[FilterKey]:
    return (_meta_key(name, value) for name, value in meta.items())


def _meta_key(name: str, value: object) -> FilterKey:
    if isinstance(value, bool):
        return "flag", name, value  # a kind of its own, because True == 1 in Python
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return "meta", name, value
    raise ConfigError(
        f"meta key {name!r} has the value {value!r}; expected text, a finite number, true, false or None"
    )
