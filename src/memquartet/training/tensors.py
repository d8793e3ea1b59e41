"""Rows of token ids as padded tensors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Padded:
    """Token ids of shape (rows, width) and their mask, 1 where a token is real."""

    ids: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHelper:
    """Padding with one token id. Prompts are padded on the left, responses on the right, as verl does."""

    pad_id: int

    def left(self, rows: Sequence[Sequence[int]], width: int | None = None) -> Padded:
        """Rows that end together. `width` is the longest row's where none is given.

        Raises:
            ValueError: a row is longer than `width`.
        """
        return self._padded(rows, width, left=True)

    def right(self, rows: Sequence[Sequence[int]], width: int | None = None) -> Padded:
        """Rows that start together; as `left`."""
        return self._padded(rows, width, left=False)

    def mask_of(self, ids: torch.Tensor) -> torch.Tensor:
        """1 where an id is not the padding's; for tensors whose mask was lost."""
        return (ids != self.pad_id).long()

    def position_ids(self, mask: torch.Tensor) -> torch.Tensor:
        """Positions from 0 at each row's first real token; 0 before it."""
        return (mask.cumsum(-1) - 1).clamp(min=0) * mask

    def concatenate(self, prompts: Padded, responses: Padded) -> Padded:
        """Prompt and response side by side, row by row."""
        return Padded(
            ids=torch.cat([prompts.ids, responses.ids], dim=1),
            mask=torch.cat([prompts.mask, responses.mask], dim=1),
        )

    def cut(self, padded: Padded) -> Padded:
        """Without the outer columns in which no row has a token."""
        used = padded.mask.any(0).nonzero().flatten()
        if not len(used):
            return Padded(ids=padded.ids[:, :0], mask=padded.mask[:, :0])
        columns = slice(int(used[0]), int(used[-1]) + 1)
        return Padded(ids=padded.ids[:, columns], mask=padded.mask[:, columns])

    def rows(self, padded: Padded) -> list[list[int]]:
        """The real tokens of each row."""
        return [ids[mask.bool()].tolist() for ids, mask in zip(padded.ids, padded.mask, strict=True)]

    def _padded(self, rows: Sequence[Sequence[int]], width: int | None, *, left: bool) -> Padded:
        longest = max(map(len, rows), default=0)
        width = longest if width is None else width
        if longest > width:
            raise ValueError(f"a row of {longest} tokens does not fit into {width}")
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            place = slice(width - len(row), width) if left else slice(0, len(row))
            ids[number, place] = torch.tensor(row, dtype=torch.long)
            mask[number, place] = 1
        return Padded(ids=ids, mask=mask)
