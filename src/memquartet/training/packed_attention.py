"""Attention over packed sequences with torch's own flash kernel, where flash-attn is not installed.

With `actor_rollout_ref.model.use_remove_padding=true` verl lays the rows of a micro-batch one behind the other, and so does
`train sft` on a GPU; each row's positions begin at 0. transformers' `sdpa` then builds a mask of (tokens, tokens); this skips what the mask would
hide, so that a micro-batch costs what its rows cost and not what its square does. Chosen by
`actor_rollout_ref.model.override_config.attn_implementation=memquartet_packed`; on a GPU, in 16-bit floats.
"""

from __future__ import annotations

import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

NAME = "memquartet_packed"


class _Rows:
    """Where the rows of the last micro-batch begin: every layer asks, one computes."""

    def __init__(self) -> None:
        self._positions: torch.Tensor | None = None
        self._bounds: tuple[torch.Tensor, int] | None = None

    def bounds(self, positions: torch.Tensor) -> tuple[torch.Tensor, int]:
        if self._bounds is None or self._positions is not positions:
            self._positions, self._bounds = positions, row_bounds(positions)
        return self._bounds


_ROWS = _Rows()


def row_bounds(positions: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Where packed rows begin and end.

    Args:
        positions: of shape (1, tokens); each row's begin at 0.

    Returns:
        The bounds, int32 of shape (rows + 1,), and the longest row's length in tokens.
    """
    flat = positions.flatten()
    starts = torch.nonzero(flat == 0).flatten()
    bounds = torch.cat([starts, starts.new_tensor([flat.numel()])]).to(torch.int32)
    return bounds, int(bounds.diff().max())


@torch.compiler.disable  # where rows begin is read off the positions, which no compiled graph can do
def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    position_ids: torch.Tensor,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row of a packed micro-batch, by transformers' attention interface.

    Args:
        module: the attention layer.
        query: of shape (1, heads, tokens, size).
        key: of shape (1, key heads, tokens, size); the number of heads is a multiple of that of key heads.
        value: shaped as `key`.
        attention_mask: none, since the rows are told by `position_ids`.
        scaling: of the scores; None is 1/√size.
        position_ids: of shape (1, tokens).

    Returns:
        The output of shape (1, tokens, heads, size); and None, as weights are not kept.
    """
    bounds, longest = _ROWS.bounds(position_ids)
    repeats = query.shape[1] // key.shape[1]
    # Under autocast the rotation leaves query and key in 32 bits, and autocast does not know this kernel.
    query, key = query.to(value.dtype), key.to(value.dtype)
    out = varlen_attn(
        query[0].transpose(0, 1),
        key[0].repeat_interleave(repeats, dim=0).transpose(0, 1),
        value[0].repeat_interleave(repeats, dim=0).transpose(0, 1),
        bounds,
        bounds,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
    )
    assert isinstance(out, torch.Tensor)
    return out.unsqueeze(0), None


AttentionInterface.register(NAME, packed_attention)
