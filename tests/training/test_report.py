from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.training.curves import curve_chart, stacked_chart
from memquartet.training.records import RunRecord, read_run
from memquartet.training.report import training_report

RECORDED = Path(__file__).parent / "recorded"
"""What three CPU steps of a tiny model left (verl 0.9.1)."""


class Balance(HTMLParser):
    """Follows the open elements of a page, and what would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        assert not {"src", "href", "onload", "onclick"} & {name for name, _ in attrs}
        if tag not in {"meta", "line", "circle", "polyline"}:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag not in {"line", "circle", "polyline"}:
            assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(record: RunRecord) -> str:
    """The page's text; the page must be whole, and need neither network nor script."""
    page = training_report(record)
    reader = Balance()
    reader.feed(page)
    assert not reader.open
    return " ".join(" ".join(reader.texts).split())


def log(folder: Path, number: int, *rows: tuple[int, Mapping[str, float | None]]) -> None:
    lines = [json.dumps({"step": step, "data": data}) for step, data in rows]
    (folder / f"metrics-{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_run_of_verl_is_read() -> None:
    record = read_run(RECORDED)
    assert list(record.metrics) == [0, 1, 2, 3]
    assert record.metrics[3]["actor/grad_norm"] == pytest.approx(0.4304, abs=1e-4)
    assert record.transcripts.keys() == {0, 3}
    assert len(record.transcripts[0]) == 2
    assert all(len(one.calls) > 5 and one.outcome == 1.0 for one in record.transcripts[0])


def test_the_page_shows_curves_parts_episodes_and_versions() -> None:
    text = shown(read_run(RECORDED))
    for title in ("Reward by role", "Advantage spread by role", "Gradient norm", "KL", "Entropy", "Seconds"):
        assert title in text
    assert all(f"{role} " in text for role in Role)
    assert "Before training (step 0) beside step 3. The first 2 of 2 validation episodes" in text
    assert "outcome 1.00 → 1.00" in text
    assert "0.9.1" in text
    assert "preset=[grpo,cpu,smoke]" in text


def test_shares_of_time_are_of_all_steps_and_validation_is_beside_them(tmp_path: Path) -> None:
    parts = {"timing_s/step": 4.0, "timing_s/gen": 3.0}
    log(tmp_path, 1, (1, parts), (2, {**parts, "timing_s/save_checkpoint": 2.0, "timing_s/testing": 9.0}))
    text = shown(read_run(tmp_path))
    for row in ("gen 3 75.0 %", "save_checkpoint 2 25.0 %", "testing 9 beside the steps", "step, in all 4"):
        assert row in text


def test_a_run_without_transcripts_says_so(tmp_path: Path) -> None:
    shutil.copy(RECORDED / "metrics-1.jsonl", tmp_path)
    text = shown(read_run(tmp_path))
    assert "kept no validation transcripts" in text
    assert "noted neither settings nor versions" in text


def test_transcripts_of_an_earlier_run_in_the_folder_are_not_shown(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    log(tmp_path / "run", 2, (0, {"a": 1.0}), (1, {"a": 1.0}))
    assert read_run(tmp_path / "run").transcripts.keys() == {0}


def test_one_measured_step_is_no_before_and_after(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    (tmp_path / "run" / "validation" / "0.jsonl").unlink()
    text = shown(read_run(tmp_path / "run"))
    assert "Transcripts were kept at step 3 only" in text
    assert "→" not in text


def test_a_console_log_does_when_there_is_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(
        "ready\n\x1b[36m(TaskRunnerV1 pid=7)\x1b[0m step:1 - actor/grad_norm:0.25 - actor/kl_loss:-1.5e-05"
        " - role/manager/rows:15 - perf/mfu:np.float64(0.5) - bad:nan - worse:inf\nstep:2 - actor/grad_norm:0.5\n",
        encoding="utf-8",
    )
    expected = {
        1: {"actor/grad_norm": 0.25, "actor/kl_loss": -1.5e-05, "role/manager/rows": 15, "perf/mfu": 0.5},
        2: {"actor/grad_norm": 0.5},
    }
    assert read_run(path).metrics == expected
    assert read_run(tmp_path).metrics == expected


def test_a_run_that_went_on_from_a_checkpoint_gives_up_what_came_after_it(tmp_path: Path) -> None:
    log(tmp_path, 1, (1, {"a": 1.0}), (2, {"a": 2.0, "b": 2.0}), (3, {"a": 3.0}))
    log(tmp_path, 2, (2, {"a": 20.0}))
    log(tmp_path, 10, (3, {"a": 30.0}))
    assert read_run(tmp_path).metrics == {1: {"a": 1.0}, 2: {"a": 20.0, "b": 2.0}, 3: {"a": 30.0}}


def test_what_was_not_measured_is_no_number(tmp_path: Path) -> None:
    log(tmp_path, 1, (1, {"actor/grad_norm": None, "actor/entropy": 0.5}))
    record = read_run(tmp_path)
    assert record.metrics == {1: {"actor/entropy": 0.5}}
    assert "Gradient norm" not in shown(record)


def test_a_last_line_that_was_cut_is_left_out_and_any_other_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics-1.jsonl"
    path.write_text('{"step": 1, "data": {"a": 1}}\n{"step": 2, "da', encoding="utf-8")
    assert list(read_run(tmp_path).metrics) == [1]
    path.write_text('{"step": 1, "da\n{"step": 2, "data": {"a": 1}}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics-1\.jsonl:1"):
        read_run(tmp_path)


@pytest.mark.parametrize("line", ["[1]", '{"step": "1", "data": {}}', '{"step": 1}', "[" * 100_000])
def test_a_line_of_another_form_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics-1.jsonl"
    path.write_text(f'{line}\n{{"step": 1, "data": {{}}}}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics-1\.jsonl:1"):
        read_run(tmp_path)


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no metrics"):
        read_run(tmp_path)


def test_what_a_model_said_stays_text(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    said = json.dumps({"input": "<script>alert(1)</script>", "output": "</pre><b>", "uid": "u_0_0"})
    for step in (0, 3):
        (tmp_path / "run" / "validation" / f"{step}.jsonl").write_text(said + "\n", encoding="utf-8")
    text = shown(read_run(tmp_path / "run"))
    assert "<script>alert(1)</script>" in text
    assert "not measured" in text


@given(
    st.lists(
        st.floats(min_value=-1e9, max_value=1e9, allow_nan=False, allow_subnormal=False),
        min_size=1,
        max_size=80,
    )
)
def test_every_curve_stays_in_its_picture(values: list[float]) -> None:
    chart = curve_chart("c", {"a": list(enumerate(values))})
    line = chart.split('points="')[1].split('"')[0]
    for point in line.split(" "):
        x, y = map(float, point.split(","))
        assert 56 <= x <= 408
        assert 12 <= y <= 180


def test_calls_stand_by_role_with_their_place_state_and_reward(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    episode = {"input": "in", "sample_id": "world-7", "outcome": 0.5}
    made: list[dict[str, object]] = [
        {"role": "answerer", "unit": "question q1", "status": "ok", "own_reward": 0.75, "output": "Oslo"},
        {"role": "extractor", "unit": "chunk 3", "status": "invalid", "own_reward": None, "output": "{"},
    ]
    lines = [json.dumps({**episode, **call, "uid": f"u_0_{at}"}) for at, call in enumerate(made)]
    for step in (0, 3):
        (tmp_path / "run" / "validation" / f"{step}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = shown(read_run(tmp_path / "run"))
    side = "extractor chunk 3, invalid in { answerer question q1, ok, reward 0.75 in Oslo"
    assert f"world-7 (outcome 0.50 → 0.50) Step 0 outcome 0.50 {side} Step 3 outcome 0.50 {side}" in text


def test_a_steps_seconds_are_stacked_with_the_environment_among_them(tmp_path: Path) -> None:
    parts = {"timing_s/step": 4.0, "timing_s/gen": 2.5, "timing/rollout": 2.0, "timing/environment": 0.5}
    log(tmp_path, 1, (1, {**parts, "environment/share": 0.125}), (2, parts))
    text = shown(read_run(tmp_path))
    assert "Seconds of a step" in text
    assert "step 1, environment: 0.5" in text
    assert "Share of the environment wall: 0.125 at step 1" in text


@given(
    st.dictionaries(
        st.integers(0, 500), st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=60
    )
)
def test_every_bar_stays_in_its_picture(seconds: dict[int, list[float]]) -> None:
    series = {str(part): [(step, seconds[step][part]) for step in sorted(seconds)] for part in range(3)}
    chart = stacked_chart("c", series)
    for bar in chart.split("<rect")[1:]:
        x, y, width, height = (
            float(bar.split(f'{name}="')[1].split('"')[0]) for name in ("x", "y", "width", "height")
        )
        assert 55.9 <= x <= x + width <= 408.2
        assert 11.9 <= y <= y + height <= 180.2


def test_a_chart_of_nothing_is_left_out() -> None:
    assert stacked_chart("c", {"a": [(1, 0.0)], "b": []}) == ""
