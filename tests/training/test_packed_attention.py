"""Attention over packed sequences."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_rows_begin_where_positions_begin_anew() -> None:
    from memquartet.training.packed_attention import row_bounds

    bounds, longest = row_bounds(torch.tensor([[0, 1, 2, 0, 0, 1]]))

    assert bounds.tolist() == [0, 3, 4, 6]
    assert longest == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's flash kernel runs on a GPU only")
def test_packed_rows_attend_as_they_would_alone() -> None:
    from torch.nn.functional import scaled_dot_product_attention

    from memquartet.training.packed_attention import packed_attention

    torch.manual_seed(0)
    query = torch.randn(1, 6, 9, 64, device="cuda", dtype=torch.bfloat16)
    key, value = torch.randn(2, 1, 2, 9, 64, device="cuda", dtype=torch.bfloat16).unbind()
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]], device="cuda")

    out, _ = packed_attention(torch.nn.Module(), query, key, value, None, position_ids=positions)

    for begin, end in ((0, 4), (4, 9)):
        alone = scaled_dot_product_attention(
            query[:, :, begin:end],
            key[:, :, begin:end],
            value[:, :, begin:end],
            is_causal=True,
            enable_gqa=True,
        )
        torch.testing.assert_close(out[:, begin:end], alone.transpose(1, 2), atol=2e-2, rtol=2e-2)
