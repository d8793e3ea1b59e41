"""Memory systems by name: ours, the baselines, and those that other packages bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from memquartet.agents.team import Team
from memquartet.errors import ConfigError, MissingExtraError
from memquartet.llm.protocols import ChatModel
from memquartet.memory.protocols import Embedder, SearchMethod
from memquartet.rollout.episode import EpisodeSettings
from memquartet.systems.camelot import Camelot, CamelotSettings
from memquartet.systems.mem0 import Mem0, Mem0Settings
from memquartet.systems.mem_alpha import MemAlpha, MemAlphaSettings
from memquartet.systems.memagent import MemAgent, MemAgentSettings
from memquartet.systems.memory_r1 import MemoryR1, MemoryR1Settings
from memquartet.systems.mmoa_rag import MmoaRag, MmoaRagSettings
from memquartet.systems.oracle import Oracle
from memquartet.systems.protocols import MemorySystem
from memquartet.systems.quartet import Quartet, QuartetSettings
from memquartet.systems.raw import (
    FullContext,
    FullContextSettings,
    NoMemory,
    NoSettings,
    Rag,
    RagSettings,
)

GROUP = "memquartet.systems"
"""The entry-point group of third parties: each entry is a `Factory`."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What systems are made from; the same for all that are compared.

    `model` makes every call that is not an agent's of `team`; `team.answerer` answers for all.
    """

    model: ChatModel
    team: Team
    embedder: Embedder


Factory = Callable[[Parts, Mapping[str, object]], MemorySystem]
"""Makes a system from the parts and its settings by name; unknown settings are a `ConfigError`."""


def _rag(method: SearchMethod) -> Factory:
    def make(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
        settings = read_settings(RagSettings, given)
        return Rag(answerer=parts.team.answerer, method=method, embedder=parts.embedder, settings=settings)

    return make


def _quartet(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return Quartet(team=parts.team, embedder=parts.embedder, settings=read_settings(QuartetSettings, given))


def _no_memory(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return NoMemory(answerer=parts.team.answerer, settings=read_settings(NoSettings, given))


def _full_context(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return FullContext(answerer=parts.team.answerer, settings=read_settings(FullContextSettings, given))


def _mem_alpha(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    settings = read_settings(MemAlphaSettings, given)
    return MemAlpha(model=parts.model, answerer=parts.team.answerer, settings=settings)


def _memagent(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    settings = read_settings(MemAgentSettings, given)
    return MemAgent(model=parts.model, answerer=parts.team.answerer, settings=settings)


def _mem0(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return Mem0(
        model=parts.model,
        answerer=parts.team.answerer,
        embedder=parts.embedder,
        settings=read_settings(Mem0Settings, given),
    )


def _memory_r1(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return MemoryR1(
        model=parts.model,
        answer_model=parts.team.answerer.model,
        embedder=parts.embedder,
        settings=read_settings(MemoryR1Settings, given),
    )


def _mmoa_rag(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return MmoaRag(
        model=parts.model,
        answerer=parts.team.answerer,
        embedder=parts.embedder,
        settings=read_settings(MmoaRagSettings, given),
    )


def _camelot(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return Camelot(
        answerer=parts.team.answerer,
        embedder=parts.embedder,
        settings=read_settings(CamelotSettings, given),
    )


def _oracle(parts: Parts, given: Mapping[str, object]) -> MemorySystem:
    return Oracle(embedder=parts.embedder, settings=read_settings(EpisodeSettings, given))


OURS: Mapping[str, Factory] = MappingProxyType(
    {
        "quartet": _quartet,
        "no_memory": _no_memory,
        "rag_bm25": _rag(SearchMethod.BM25),
        "rag_embedding": _rag(SearchMethod.EMBEDDING),
        "rag_hybrid": _rag(SearchMethod.HYBRID),
        "full_context": _full_context,
        "mem_alpha": _mem_alpha,
        "memagent": _memagent,
        "mem0": _mem0,
        "memory_r1": _memory_r1,
        "mmoa_rag": _mmoa_rag,
        "camelot": _camelot,
        "oracle": _oracle,
    }
)
"""Every system that ships with the package."""


def system_names() -> list[str]:
    """Ours, then those of other packages, each in order of their names."""
    return [*OURS, *sorted(_foreign())]


def make_system(
    name: str,
    model: ChatModel,
    *,
    embedder: Embedder,
    team: Team | None = None,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> MemorySystem:
    """The system of a name.

    Args:
        name: one of `system_names()`.
        model: makes the system's calls.
        embedder: for the systems that compare embeddings.
        team: the quartet's four agents, of which the answerer answers for every system; by default all on `model`.
        settings: by name, as text or values; what is left out has the default.

    Raises:
        ConfigError: an unknown name or setting, or a package's entry point that cannot be loaded.
        MissingExtraError: the system needs a package that is not installed.
    """
    factory = OURS.get(name) or _loaded(name)
    return factory(Parts(model=model, team=team or Team.of(model), embedder=embedder), settings)


def read_settings(kind: type[S], given: Mapping[str, object]) -> S:
    """A settings dataclass from values by name; texts are read as the field's type.

    Raises:
        ConfigError: an unknown name, or a value of the wrong type.
    """
    # Every settings class is a dataclass; the type variable cannot say so.
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"no setting {unknown[0]!r}: use {', '.join(known) or 'none'}")
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or kind.__name__
        raise ConfigError(f"setting {place!r}: {first['msg']}, given {first['input']!r}") from error


def _foreign() -> dict[str, str]:
    """Names of the installed entry points, with what they load."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


def _loaded(name: str) -> Factory:
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise ConfigError(f"no system {name!r}: use {', '.join(system_names())}")
    if len(found) > 1:
        packages = ", ".join(str(entry.dist.name if entry.dist else entry.value) for entry in found)
        raise ConfigError(f"several packages bring a system {name!r}: {packages}; uninstall all but one")
    (entry,) = found
    try:
        factory = entry.load()
    except MissingExtraError:
        raise
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the system {name!r} ({entry.value}) cannot be loaded: {error}") from error
    if not callable(factory):
        raise ConfigError(
            f"the system {name!r} ({entry.value}) is no factory, but a {type(factory).__name__}"
        )
    made: Factory = factory
    return made
