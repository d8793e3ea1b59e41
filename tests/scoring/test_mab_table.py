from __future__ import annotations

import pytest

from memquartet.scoring.mab_table import COLUMNS, mab_table

# Rows of the paper's Table 3, in percent: columns, then AR, TTL, LRU, SF and the overall mean as printed.
PUBLISHED = {
    "GPT-4o": ([72.0, 51.0, 32.0, 77.2, 87.6, 12.3, 32.2, 77.5, 60.0, 5.0], [58.1, 50.0, 54.9, 32.5, 48.8]),
    "BM25": ([66.0, 56.0, 45.3, 74.6, 75.4, 13.6, 19.0, 52.1, 48.0, 3.0], [60.5, 44.5, 35.6, 25.5, 41.5]),
    "Mem0": ([25.0, 32.0, 36.0, 37.5, 32.4, 10.0, 4.8, 36.6, 18.0, 2.0], [32.6, 21.2, 20.7, 10.0, 21.1]),
}


def scores(row: list[float]) -> dict[str, float | None]:
    return {source: value for parts, value in zip(COLUMNS.values(), row, strict=True) for source in parts}


@pytest.mark.parametrize("system", PUBLISHED)
def test_the_printed_rows_come_out(system: str) -> None:
    row, printed = PUBLISHED[system]
    table = mab_table(scores(row))
    means = [table.cells[name] for name in ("AR", "TTL", "LRU", "SF", "Overall")]
    # The paper rounds its columns before it averages, and halves upwards.
    assert means == pytest.approx(printed, abs=0.051)
    assert table.missing == ()


def test_a_missing_part_leaves_its_cells_empty_and_is_named() -> None:
    found = scores(PUBLISHED["BM25"][0])
    found["icl_nlu_8296shot_balance"] = None
    del found["detective_qa"]
    table = mab_table(found)
    assert [name for name, value in table.cells.items() if value is None] == [
        "MCC",
        "TTL",
        "DetQA",
        "LRU",
        "Overall",
    ]
    assert table.missing == ("icl_nlu_8296shot_balance", "detective_qa")


def test_classification_is_the_mean_of_its_five_sets() -> None:
    parts = COLUMNS["MCC"]
    table = mab_table({source: float(number) for number, source in enumerate(parts)})
    assert table.cells["MCC"] == 2
