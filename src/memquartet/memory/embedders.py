"""Texts to unit vectors: the bundled static table, sentence-transformers, an OpenAI-compatible server, or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from memquartet.errors import ConfigError, MissingExtraError, ModelServerError
from memquartet.memory.protocols import Embedder, Vectors
from memquartet.text.terms import content_words
from memquartet.text.tokens import bundled_tokenizer

if TYPE_CHECKING:
    from openai import OpenAI
    from sentence_transformers import SentenceTransformer

TABLE_FILE = "l2-supercat-256.npy"
_STATIC_DIM = 256
_OPENAI_BASE_URL = "https://api.openai.com/v1"
_POOL_TOKENS = 4096


class NoEmbedder:
    """No vectors: search is BM25 alone."""

    identity = "none"
    dim = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """An array of shape (len(texts), 0)."""
        return np.zeros((len(texts), 0), np.float32)


class StaticEmbedder:
    """The mean of bundled static token vectors: offline, about 25 microseconds a short text, no model to run.

    The text is lower-cased and reduced to its content words first: on LoCoMo turns that lifts evidence
    recall@10 from .37 to .48. Table and tokenizer are loaded on first use and shared by all instances.
    Sums are taken over integers, so a text has the same vector alone and in any batch.
    """

    identity = "static:l2-supercat-256@1"
    dim = _STATIC_DIM

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), 256); zeros for a text without words."""
        table, tokenizer = _static_table(), bundled_tokenizer()
        sums = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            if found := content_words(text):
                sums[row] = _pool(table, tokenizer.encode(" ".join(found), add_special_tokens=False).ids)
        return unit_rows(sums)


class SentenceTransformersEmbedder:
    """A sentence-transformers model, loaded when first needed (extra `embed`).

    Args:
        model_name: a name on the Hugging Face hub or a folder.
        device: "cpu", "cuda", …; None lets the library choose.
    """

    def __init__(self, model_name: str, device: str | None = None) -> None:
        self._model_name = model_name
        self._device = device
        self._model: SentenceTransformer | None = None
        self._dim: int | None = None

    @property
    def identity(self) -> str:
        """The model's name; the device does not change what a vector means."""
        return f"sentence-transformers:{self._model_name}"

    @property
    def dim(self) -> int:
        """Length of a vector; loads the model on first use."""
        if self._dim is None:
            self._dim = int(self._encode(["dimension"]).shape[1])
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dim); zeros for a blank text."""
        rows = np.zeros((len(texts), self.dim), np.float32)
        spoken = [index for index, text in enumerate(texts) if text.strip()]
        if spoken:
            rows[spoken] = self._encode([texts[index] for index in spoken])
        return unit_rows(rows)

    def _encode(self, texts: list[str]) -> Vectors:
        if self._model is None:
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise MissingExtraError(
                    f"embedder {self.identity!r} needs sentence-transformers: pip install 'memquartet[embed]'"
                ) from error
            try:
                self._model = SentenceTransformer(self._model_name, device=self._device)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"cannot load sentence-transformers model {self._model_name!r}: {error}; give a hub name or a folder"
                ) from error
        return np.asarray(self._model.encode(texts, show_progress_bar=False), np.float32)


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
        base_url: str = _OPENAI_BASE_URL,
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


class _Item(BaseModel):
    index: int
    embedding: list[float] = Field(min_length=1)


class _Reply(BaseModel):
    data: list[_Item]


def make_embedder(spec: str) -> Embedder:
    """An embedder from its written form.

    Args:
        spec: "static", "none", "sentence-transformers:NAME" or "openai:MODEL[@BASE_URL]".

    Raises:
        ConfigError: the spec has none of these forms.
    """
    kind, _, rest = spec.partition(":")
    if spec == "static":
        return StaticEmbedder()
    if spec == "none":
        return NoEmbedder()
    if kind == "sentence-transformers" and rest:
        return SentenceTransformersEmbedder(rest)
    model, _, base_url = rest.partition("@")
    if kind == "openai" and model:
        return OpenAIEmbedder(model, base_url or _OPENAI_BASE_URL)
    raise ConfigError(
        f"unknown embedder {spec!r}; expected 'static', 'none', 'sentence-transformers:NAME' or 'openai:MODEL@BASE_URL'"
    )


def unit_rows(rows: Vectors) -> Vectors:
    """Rows scaled to length 1 as float32; rows of zeros stay."""
    lengths = np.sqrt(np.vecdot(rows, rows))[:, None]
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


@cache
def _static_table() -> NDArray[np.int8]:
    """The bundled token vectors of shape (32000, 256), up to a common scale."""
    with files("memquartet.text").joinpath("data", TABLE_FILE).open("rb") as file:
        table: NDArray[np.int8] = np.load(file, allow_pickle=False)
    return table


def _pool(table: NDArray[np.int8], ids: list[int]) -> NDArray[np.int64]:
    """The sum of the tokens' rows, in pieces so that a long text needs little memory."""
    total = np.zeros(table.shape[1], np.int64)
    for start in range(0, len(ids), _POOL_TOKENS):
        total += table[ids[start : start + _POOL_TOKENS]].sum(axis=0, dtype=np.int32)
    return total
