"""What may be stored: every value that enters a memory passes here first.

Content and scopes are NFC-normalised; line ends become line feeds and outer white space is dropped, so that equal
texts are equal bytes. Every refusal is a `ConfigError` in words that a model can act on, too.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from memquartet.core.memory import (
    EVERYWHERE,
    EntryId,
    FixedMeta,
    MemoryType,
    Meta,
    MetaValue,
    Provenance,
    Scope,
)
from memquartet.errors import ConfigError
from memquartet.memory.protocols import SearchMethod

Choice = TypeVar("Choice", bound=StrEnum)

MAX_CONTENT = 100_000
"""Characters of one entry, state, note or query."""
MAX_META_ITEMS = 64
MAX_META_KEY = 256
MAX_META_TEXT = 4_096
MAX_SCOPE = 256
MAX_INTEGER = 2**63 - 1
"""SQLite, JSON readers and index columns agree on integers up to here."""

LINE = "verbatim"
"""The meta key under which a fact's entry names the entry of the line that says it; see `memquartet.rollout.lines`."""
SAID_AT = "said_at"
"""The meta key of an entry's event time (when it was said or happened): an ISO 8601 text in UTC."""


def clean_text(text: object, what: str = "content", *, limit: int = MAX_CONTENT) -> str:
    """The text as it will be stored.

    Raises:
        ConfigError: no text, nothing but white space, too long, or with characters that no file can hold.
    """
    cleaned = clean_optional_text(text, what, limit=limit)
    if not cleaned:
        raise ConfigError(f"{what} is empty: give a text")
    return cleaned


def clean_optional_text(text: object, what: str, *, limit: int = MAX_CONTENT) -> str:
    """As `clean_text`, but an empty text is allowed.

    Raises:
        ConfigError: no text, too long, or with characters that no file can hold.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{what} must be text, got {type(text).__name__}")
    _check_length(text, what, limit)
    if not text.isascii():
        if (position := _lone_surrogate(text)) is not None:
            raise ConfigError(
                f"{what} holds half of a surrogate pair (U+{ord(text[position]):04X} at character {position}):"
                " it was cut or decoded wrongly; decode it as UTF-8 with errors='replace'"
            )
        text = unicodedata.normalize("NFC", text)
        _check_length(text, what, limit)  # some characters become two or three
    if "\0" in text:
        raise ConfigError(f"{what} holds a NUL character at {text.index(chr(0))}: remove it")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()


def clean_meta(meta: object) -> Meta:
    """A copy of `meta` that cannot change, with nothing in it that JSON cannot hold.

    Raises:
        ConfigError: not flat, not JSON, or beyond the limits of this module.
    """
    if meta is None:
        return FixedMeta()
    if not isinstance(meta, Mapping):
        raise ConfigError(f"meta must map keys to plain values, got {type(meta).__name__}")
    if len(meta) > MAX_META_ITEMS:
        raise ConfigError(f"meta has {len(meta)} keys, at most {MAX_META_ITEMS} are allowed")
    cleaned = {
        clean_text(key, "a meta key", limit=MAX_META_KEY): clean_meta_value(key, value)
        for key, value in meta.items()
    }
    if len(cleaned) < len(meta):
        raise ConfigError(f"meta has keys that are the same after normalisation: {sorted(meta)!r}")
    if cleaned.get(SAID_AT) is not None:
        cleaned[SAID_AT] = said_at_text(cleaned[SAID_AT])
    return FixedMeta(cleaned)


def said_at_text(value: object) -> str:
    """An event time in the one form that is stored: ISO 8601 in UTC, which a time without a zone is taken for.

    Raises:
        ConfigError: not a time.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(
            f"meta {SAID_AT!r} must be an ISO 8601 time like '2023-05-08T13:56:00+00:00', got {value!r}"
        ) from None
    # Conversations seldom tell their zone; refusing them would lose more than the hours.
    return aware(time.replace(tzinfo=time.tzinfo or UTC), f"meta {SAID_AT!r}").isoformat()


def aware(time: datetime, what: str) -> datetime:
    """The time in UTC.

    Raises:
        ConfigError: `time` has no time zone, or lies outside of the years 1 to 9999 in UTC.
    """
    if time.tzinfo is None:
        raise ConfigError(f"{what} needs a time zone, got {time.isoformat()!r}: add one, e.g. +00:00")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"{what} is outside of the years 1 to 9999 in UTC: {time.isoformat()!r}") from None


def clean_scope(scope: Scope) -> Scope:
    """The scope with normalised names.

    Raises:
        ConfigError: a part is empty, too long or not text.
    """
    if scope == EVERYWHERE:
        return EVERYWHERE
    if not isinstance(scope, Scope):
        raise ConfigError(f"scope must be a Scope(user_id=…, agent_id=…, run_id=…), got {scope!r}")
    parts = {
        field.name: None if value is None else clean_text(value, field.name, limit=MAX_SCOPE)
        for field in fields(scope)
        for value in [getattr(scope, field.name)]
    }
    return Scope(**parts)


def clean_provenance(provenance: Provenance) -> Provenance:
    """The provenance with lone surrogates spelled out: evidence is never refused, only made storable."""
    for field in fields(provenance):
        value = getattr(provenance, field.name)
        if isinstance(value, str) and not value.isascii() and _lone_surrogate(value) is not None:
            spelled: Mapping[str, str] = {field.name: value.encode("utf-8", "backslashreplace").decode()}
            provenance = replace(provenance, **spelled)  # type: ignore[arg-type]  # only text fields get here
    return provenance


def check_top_k(top_k: int) -> None:
    """Refuse what is no number of results.

    Raises:
        ConfigError: not a whole number from 1.
    """
    if type(top_k) is not int or top_k < 1:
        raise ConfigError(f"top_k must be a whole number from 1, got {top_k!r}")


def memory_type_named(name: str) -> MemoryType:
    """The memory type of that name.

    Raises:
        ConfigError: there is none.
    """
    return chosen(MemoryType, name, "memory type")


def search_method_named(name: str) -> SearchMethod:
    """The search method of that name.

    Raises:
        ConfigError: there is none.
    """
    return chosen(SearchMethod, name, "search method")


def chosen(choices: type[Choice], name: str, what: str) -> Choice:
    """The member of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    try:
        return choices(name)
    except ValueError:
        names = ", ".join(repr(choice.value) for choice in choices)
        raise ConfigError(f"unknown {what} {name!r}: use one of {names}") from None


def entry_number(entry_id: object) -> int | None:
    """The insertion number in an id ("m12" is 12); None when it is no id of a memory."""
    if not isinstance(entry_id, str) or not entry_id.startswith("m") or len(entry_id) > 19:
        return None
    digits = entry_id[1:]
    return int(digits) if digits.isascii() and digits.isdigit() and digits[0] != "0" else None


def entry_id_of(number: int) -> EntryId:
    """The id of the entry that was inserted as the `number`-th, counted from 1."""
    return EntryId(f"m{number}")


def _check_length(text: str, what: str, limit: int) -> None:
    if len(text) > limit:
        raise ConfigError(f"{what} has {len(text):,} characters, at most {limit:,} fit: split or shorten it")


def _lone_surrogate(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def clean_meta_value(key: object, value: object) -> MetaValue:
    """The value as it will be stored.

    Raises:
        ConfigError: not plain, or JSON cannot hold it; the message names `key`.
    """
    match value:
        case None | bool():
            return value
        case str():
            return clean_optional_text(value, f"meta {key!r}", limit=MAX_META_TEXT)
        case int():
            if abs(value) > MAX_INTEGER:
                raise ConfigError(f"meta {key!r} is beyond 64 bits: store it as text")
            return value
        case float():
            if not math.isfinite(value):
                raise ConfigError(f"meta {key!r} is {value!r}, which JSON cannot hold: leave it out")
            return value
        case datetime():
            return aware(value, f"meta {key!r}").isoformat()
        case _:
            raise ConfigError(
                f"meta {key!r} must be text, a number, true, false or null, got {type(value).__name__}"
            )
