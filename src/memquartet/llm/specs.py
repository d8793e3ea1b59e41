"""Models by a short text, as the command line and settings name them."""

from __future__ import annotations

import re

from memquartet.errors import ConfigError
from memquartet.llm.local import LocalChatModel
from memquartet.llm.openai_api import OpenAIChatModel

_ADDRESS = re.compile(r"@[\w.-]+:\d+(/|$)")
_PROMPTS = re.compile(r"\?prompts=([^?&]+)$")
_FORMS = (
    "local:NAME, local:/path/to/file.gguf, local:BASE+/path/to/adapter.gguf, openai:MODEL or"
    " openai:MODEL@BASE_URL, and ?prompts=SET behind it for a model that was taught with one"
)


def make_model(
    spec: str, *, parallel: int | None = None, threads: int | None = None, context: int | None = None
) -> LocalChatModel | OpenAIChatModel:
    """Build the chat model that `spec` names; nothing is loaded or fetched yet.

    Args:
        spec: "local:smollm2-135m", "local:/path/file.gguf", "local:smollm2-135m+/path/adapter.gguf",
            "openai:MODEL", "openai:MODEL@BASE_URL" (the API key comes from OPENAI_API_KEY). Behind it may stand
            "?prompts=SET" (short, shipped or a folder), the prompts that a taught model was taught with.
        parallel: requests at once; None is 4 for a local model, 16 for a server.
        threads: CPU threads, of a local model only.
        context: tokens for each request, of a local model only; None is 4096.

    Raises:
        ConfigError: the text has none of these forms, or the local model is not on this machine.
    """
    said = _PROMPTS.search(spec)
    prompts = said[1] if said else None
    kind, _, rest = spec[: said.start() if said else None].partition(":")
    if kind == "local" and rest:
        return LocalChatModel(
            rest, parallel=parallel or 4, threads=threads, context=context or 4096, prompts=prompts
        )
    if kind == "openai" and rest:
        if threads is not None or context is not None:
            raise ConfigError(f"threads and context are of a local model only, given with {spec!r}")
        model, base_url = _split_url(rest, spec)
        return OpenAIChatModel(model, base_url, concurrency=parallel or 16, prompts=prompts)
    raise ConfigError(f"no model {spec!r}: expected {_FORMS}")


def _split_url(rest: str, spec: str) -> tuple[str, str | None]:
    # Model names may hold an @ too (a revision), so the address is what starts with http.
    for mark in ("@http://", "@https://"):
        model, found, address = rest.rpartition(mark)
        if found and model:
            return model, mark[1:] + address
    if rest.startswith(("@", "http")) or "://" in rest or _ADDRESS.search(rest):
        raise ConfigError(f"no model {spec!r}: expected {_FORMS}, the address with http:// or https://")
    return rest, None
