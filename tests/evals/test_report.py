from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from tests.evals.support import samples, system
from typing_extensions import override

from memquartet import __version__
from memquartet.benchmarks.memorybench.catalogue import names_of
from memquartet.errors import ConfigError, ModelServerError
from memquartet.evals.charts import Point, cost_against_score
from memquartet.evals.paper_tables import paper_tables
from memquartet.evals.report import report
from memquartet.evals.results import QuestionResult
from memquartet.evals.runner import evaluate
from memquartet.llm.protocols import ChatRequest
from memquartet.scoring.summary import summarize
from memquartet.testing.models import Scripted, ScriptedModel

HOSTILE = "</div><script>alert(1)</script> & thing 1"


def run(out: Path, name: str, reply: Scripted) -> None:
    def answer(request: ChatRequest) -> Scripted:
        return reply if "Person1" in request.messages[-1].content.splitlines()[-1] else "thing 0"

    asyncio.run(
        evaluate(samples(), [system(ScriptedModel(answer), name)], out=out, config={"dataset": "things"})
    )


class Page(HTMLParser):
    """Tags with their attributes, and the text; every tag that is opened must be closed in order."""

    VOID = frozenset({"meta", "rect", "line", "circle", "br", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    run(tmp_path / "run", "rag_bm25", HOSTILE)
    run(tmp_path / "run", "no_memory", "wrong")
    return Page(report([tmp_path / "run"]))


def test_the_page_is_well_formed_and_self_contained(page: Page) -> None:
    assert page.open == []
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not any(key in attrs for _, attrs in page.tags for key in ("src", "onclick", "onload"))
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == []


def test_what_a_model_said_is_text_and_nothing_else(page: Page) -> None:
    assert "alert(1)" in page.text


def test_scores_costs_charts_and_the_paired_test_are_there(page: Page) -> None:
    assert "overall (6)" in page.text
    assert "tokens a question in all" in page.text
    assert "sign-flip permutation test" in page.text
    assert "rag_bm25 and no_memory: 2 questions scored differently" in page.text
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 4


def test_a_disagreement_shows_evidence_what_was_shown_and_both_answers(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "What does Person1 own in sample 0?" in text
    assert "Right: thing 1" in text
    assert "Evidence (1)" in text
    assert "Person1 owns thing 1." in text
    assert "no_memory: 0.0wrong" in text


def test_charts_speak_to_screen_readers_and_tables_scroll_by_keyboard(page: Page) -> None:
    charts = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs["role"] == "img" for attrs in charts)
    assert sum(tag == "desc" for tag, _ in page.tags) == len(charts)
    regions = [attrs for _, attrs in page.tags if attrs.get("role") == "region"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in regions)
    assert sum(tag == "caption" for tag, _ in page.tags) == len(regions) >= 3


def test_runs_of_one_data_set_share_a_section_and_equal_systems_are_told_apart(tmp_path: Path) -> None:
    run(tmp_path / "one", "no_memory", "wrong")
    run(tmp_path / "two", "no_memory", "thing 1")
    page = Page(report([tmp_path / "one", tmp_path / "two"]))
    assert sum(tag == "h2" for tag, _ in page.tags) == 1
    assert "no_memory (one)" in page.text
    assert "no_memory (two)" in page.text


def test_a_system_without_any_answer_has_dashes_and_no_zero(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = ScriptedModel(lambda _: ModelServerError("gone"))
    asyncio.run(evaluate(samples(), [system(model)], out=out, config={}))
    page = report([out])
    assert "no score" in page
    assert re.search(r"<th scope=row>rag_bm25</th><td>—</td>.*<td>6</td>", page)


def test_the_page_tells_how_a_run_was_made_and_of_how_much(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = ScriptedModel(lambda _: "thing 0")
    asyncio.run(evaluate(samples(), [system(model)], out=out, config={}, command="memquartet eval run <x>"))
    text = Page(report([out])).text
    assert "samples2" in text
    assert "questions6" in text
    assert "memquartet eval run <x>" in text
    assert f"memquartet {__version__}, Python" in text


def test_a_best_score_stands_out_and_equal_ones_do_not(tmp_path: Path) -> None:
    run(tmp_path / "run", "rag_bm25", "thing 1")
    run(tmp_path / "run", "no_memory", "wrong")
    assert "class=best" in report([tmp_path / "run"])
    run(tmp_path / "same", "rag_bm25", "wrong")
    run(tmp_path / "same", "no_memory", "wrong")
    assert "class=best" not in report([tmp_path / "same"])


def test_bars_use_the_page_also_where_scores_are_low(tmp_path: Path) -> None:
    run(tmp_path / "high", "no_memory", "thing 1")
    assert "from 0 to 100 %" in report([tmp_path / "high"])
    model = ScriptedModel(lambda _: "no idea at all")
    asyncio.run(evaluate(samples(), [system(model)], out=tmp_path / "low", config={}))
    assert "from 0 to 10 %" in report([tmp_path / "low"])


def test_labels_of_systems_with_one_cost_and_score_lie_apart_inside_the_plot() -> None:
    equal = [Point(name=f"s{n}", cost=5, summary=summarize([0.0])) for n in range(8)]
    heights = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*>s\d<', cost_against_score("t", equal))
    places = sorted(map(float, heights))
    assert len(places) == 8
    assert all(later - one >= 12 for one, later in pairwise(places))
    assert max(places) < 272


def row(sample_id: str, category: str, score: float | None) -> QuestionResult:
    return QuestionResult(
        sample_id=sample_id,
        question_id=f"{category}:{sample_id}:{score}",
        category=category,
        metric="m",
        question="?",
        gold=(),
        answer="",
        score=score,
    )


def test_a_run_in_steps_has_a_column_for_each_step_and_is_summed_up_by_its_last() -> None:
    rows = [
        row(f"stepwise:Legal:{step:02}", dataset, 0.1 * step)
        for step in range(3)
        for dataset in names_of("domain", "Legal")
    ]
    steps, summary = paper_tables("memorybench:Legal", {"quartet": rows})
    assert (steps.head, steps.rows) == (
        ["system", "step 0", "step 1", "step 2"],
        [["quartet", "0.0", "10.0", "20.0"]],
    )
    last = [one for one in rows if one.sample_id.endswith("02")]
    (alone,) = paper_tables("memorybench:Legal", {"quartet": list(map(off_policy, last))})
    assert summary.rows == alone.rows
    assert "Legal" in summary.title


def off_policy(one: QuestionResult) -> QuestionResult:
    return replace(one, sample_id="off-policy:Legal")


def test_a_summary_that_lacks_a_data_set_says_so_and_sums_up_nothing() -> None:
    (table,) = paper_tables("memorybench:Legal", {"quartet": [row("off-policy:x", "LexEval-QA", 0.5)]})
    assert table.rows == [["quartet", "—", "—", "—", "0"]]
    assert "JuDGE" in table.caption


def test_memoryagentbench_s_table_has_the_columns_whose_sources_were_run() -> None:
    rows = [row("a", "ruler_qa1_197K", 0.5), row("b", "ruler_qa1_197K", None)]
    (table,) = paper_tables("memoryagentbench", {"x": rows})
    assert (table.head, table.rows) == (["system", "SH-QA"], [["x", "50.0"]])
    assert paper_tables("locomo", {"x": [row("a", "temporal", 1.0)]}) == []


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memquartet eval run --out"):
        report([tmp_path])
