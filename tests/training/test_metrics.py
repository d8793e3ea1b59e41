from __future__ import annotations

import json

from memquartet.training.metrics import CALLS, Trained, call_columns, episode_metrics, role_metrics


def test_calls_of_an_episode_become_columns_of_the_dump() -> None:
    told = json.dumps([{"role": "extractor", "unit": "chunk 0"}, {"role": "answerer", "unit": "question q"}])
    found = call_columns(["u_0_1", "u_0_0", "v_0_0"], [told, told, None])
    assert found == {
        "role": ["answerer", "extractor", None],
        "unit": ["question q", "chunk 0", None],
    }
    assert call_columns([], []) == {}


def test_what_an_episode_tells_about_its_calls_is_no_measure() -> None:
    episodes: list[dict[str, float | str]] = [
        {"outcome": 1.0, "manager/total": 0.5, CALLS: "[]"},
        {"outcome": 0.0},
    ]
    assert episode_metrics(episodes) == {"episode/outcome_mean": 0.5}


def test_masked_rows_are_only_counted() -> None:
    row = Trained(role="manager", reward=0.0, advantage=0.0, tokens=0, status="ok")
    assert role_metrics([row, row]) == {
        "role/manager/rows": 0,
        "role/manager/masked_rows": 2,
        "role/manager/tokens": 0,
    }
