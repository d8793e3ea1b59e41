"""Every exception the package raises on purpose.

::

    MemquartetError
    ├── CallerError            the caller's mistake: raised at once, with the next step
    │   ├── ConfigError        a setting or argument has a value that cannot work
    │   ├── InputError         a file or text from outside cannot be read
    │   ├── UnknownEntryError  no memory entry has this id (within the given scope)
    │   ├── EmbedderMismatchError  the store was written with another embedder
    │   ├── StoreVersionError  the store was written by a newer memquartet, or is no store
    │   ├── ReadOnlyError      a view of the past was asked to change
    │   └── MissingExtraError  an optional dependency is not installed
    ├── ModelOutputError       the model's mistake: goes back to the model, stays in the trajectory
    └── WorldError             server, disk, network: recorded, retried with a limit, masks training
        ├── ModelServerError   no usable reply from a model server
        ├── StoreError         the disk is full, the file is locked or damaged
        ├── BudgetError        tokens, seconds or questions of a run are used up; a later run goes on
        └── DownloadError      a file could not be fetched or has the wrong checksum

A mistake of the model never raises out of an episode; it becomes a failed receipt or a parse error on
the turn. Bad input raises `InputError`, which names the file and the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MemquartetError(Exception):
    """Base of every exception raised on purpose."""


class CallerError(MemquartetError, ValueError):
    """The caller asked for something that cannot be done; nothing was changed."""


class ConfigError(CallerError):
    """A setting or an argument has a value that cannot work."""


class InputError(CallerError):
    """A file or text from outside cannot be read; the message names the place."""


class UnknownEntryError(CallerError):
    """No memory entry has this id within the given scope."""


class EmbedderMismatchError(CallerError):
    """The store was written with another embedder than the one given."""


class StoreVersionError(CallerError):
    """The store was written by a newer memquartet, or is not a memquartet store."""


class ReadOnlyError(CallerError):
    """A view of the past was asked to change; fork it first."""


class MissingExtraError(CallerError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""


class ModelOutputError(MemquartetError):
    """A model's output does not say what its role has to say."""


class WorldError(MemquartetError):
    """Server, disk or network failed; trying again later may help."""


class ModelServerError(WorldError):
    """No usable reply from a model server within the allowed tries."""


class StoreError(WorldError):
    """The disk is full, the file is locked by another process, or it is damaged."""


class DownloadError(WorldError):
    """A file could not be fetched, or what was fetched has the wrong checksum."""


class BudgetError(WorldError):
    """A run's budget is used up; what is missing can be asked in a later run."""


@contextmanager
def first_of_group() -> Iterator[None]:
    """Raise the first of our errors out of a task group as it is, and not as a group."""
    found: list[BaseException] = []
    try:
        yield
    except* MemquartetError as errors:
        found += errors.exceptions
    # Before 3.11.4 Python made a group of what is raised within `except*`.
    if found:
        raise found[0]
