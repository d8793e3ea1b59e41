"""Texts to unit vectors: the bundled static table, sentence-transformers, or none; and any embedder by its name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memquartet.errors import ConfigError, MissingExtraError
from memquartet.memory.protocols import Embedder, Vectors
from memquartet.memory.retrieval.vectors import unit_rows
from memquartet.text.terms import content_words
from memquartet.text.tokens import bundled_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TABLE_FILE = "l2-supercat-256.npy"
_STATIC_DIM = 256
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
        from memquartet.memory.openai_embedder import OPENAI_BASE_URL, OpenAIEmbedder

        return OpenAIEmbedder(model, base_url or OPENAI_BASE_URL)
    raise ConfigError(
        f"unknown embedder {spec!r}; expected 'static', 'none', 'sentence-transformers:NAME' or 'openai:MODEL@BASE_URL'"
    )


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
