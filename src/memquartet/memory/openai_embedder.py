"""Embeddings from an OpenAI-compatible server. Apart from the other embedders, so that those load without pydantic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from memquartet.errors import ConfigError, MissingExtraError, ModelServerError
from memquartet.memory.protocols import Vectors
from memquartet.memory.retrieval.vectors import unit_rows

if TYPE_CHECKING:
    from openai import OpenAI

OPENAI_BASE_URL = "https://api.openai.com/v1"


class _Item(BaseModel):
    index: int
    embedding: list[float] = Field(min_length=1)


class _Reply(BaseModel):
    data: list[_Item]


class OpenAIEmbedder:
    """Any server that speaks OpenAI's `/embeddings` (extra `openai`).

    Args:
        model: the model's name on the server.
        base_url: up to and including "/v1".
        api_key: None reads OPENAI_API_KEY; local servers usually take anything.
        dim: length of a vector; None asks the server once, on first use.
        batch_size: texts a request.
        timeout: seconds a try.
        max_retries: further tries, with growing pauses, after a lost connection, a 429 or a 5xx.
    """

    def __init__(
        self,
        model: str,
        base_url: str = OPENAI_BASE_URL,
        api_key: str | None = None,
        dim: int | None = None,
        *,
        batch_size: int = 128,
        timeout: float = 30.0,
        max_retries: int = 3,
    ) -> None:
        if dim is not None and dim < 1:
            raise ConfigError(f"dim must be at least 1, or None to ask the server; got {dim}")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1; got {batch_size}")
        self._model = model
        self._base_url = base_url
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._dim = dim
        self._batch_size = batch_size
        self._timeout = timeout
        self._max_retries = max_retries
        self._client: OpenAI | None = None

    @property
    def identity(self) -> str:
        """The model's name; the server's address does not change what a vector means."""
        return f"openai:{self._model}"

    @property
    def dim(self) -> int:
        """Length of a vector; asks the server when it was not given."""
        if self._dim is None:
            self._dim = len(self._request(["dimension"])[0])
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dim); zeros for a blank text, which is never sent.

        Raises:
            ModelServerError: no usable reply within the allowed tries, or a reply with the wrong number
                or length of vectors or with values that are not finite.
            ConfigError: the server refuses the key, the model's name or the request.
        """
        rows = np.zeros((len(texts), self.dim), np.float32)
        spoken = [index for index, text in enumerate(texts) if text.strip()]
        for start in range(0, len(spoken), self._batch_size):
            batch = spoken[start : start + self._batch_size]
            for index, vector in zip(batch, self._request([texts[i] for i in batch]), strict=True):
                if len(vector) != self.dim:
                    raise self._garbage(f"a vector of length {len(vector)}, expected {self.dim}")
                rows[index] = vector
        return unit_rows(rows)

    def _request(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order; finite and not empty, of any length."""
        client = self._connect()
        import openai

        try:
            raw = client.embeddings.with_raw_response.create(
                model=self._model, input=texts, encoding_format="float"
            )
            reply = _Reply.model_validate_json(raw.content)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise ConfigError(
                f"{self._base_url!r} refuses the API key: {error}; set api_key or OPENAI_API_KEY"
            ) from error
        except (openai.NotFoundError, openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise ConfigError(
                f"{self._base_url!r} refuses the request for model {self._model!r}: {error}; "
                "check the model's name and the base_url"
            ) from error
        except openai.OpenAIError as error:
            raise ModelServerError(
                f"no embeddings from {self._base_url!r} (model {self._model!r}) after "
                f"{self._max_retries + 1} tries: {error}"
            ) from error
        except ValidationError as error:
            raise self._garbage(f"no embeddings in OpenAI's form: {error.errors()[0]['msg']}") from error
        items = sorted(reply.data, key=lambda item: item.index)
        if [item.index for item in items] != list(range(len(texts))):
            raise self._garbage(f"{len(items)} vectors for {len(texts)} texts")
        if any(not np.isfinite(item.embedding).all() for item in items):
            raise self._garbage("a vector with values that are not finite")
        return [item.embedding for item in items]

    def _connect(self) -> OpenAI:
        if self._client is None:
            try:
                from openai import OpenAI
            except ImportError as error:
                raise MissingExtraError(
                    f"embedder {self.identity!r} needs the openai client: pip install 'memquartet[openai]'"
                ) from error
            self._client = OpenAI(
                base_url=self._base_url,
                api_key=self._api_key,
                timeout=self._timeout,
                max_retries=self._max_retries,
            )
        return self._client

    def _garbage(self, what: str) -> ModelServerError:
        return ModelServerError(
            f"{self._base_url!r} (model {self._model!r}) gave {what}; is it an embedding model?"
        )
