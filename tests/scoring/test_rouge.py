from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring import rederived

from memquartet.scoring.rouge import DeepTexts, chinese_rouge_l, rouge_l, rouge_l_sum

words = st.lists(st.sampled_from(["cat", "dogs", "dog", "runs", "running", "the", "\n"]), max_size=14).map(
    " ".join
)
chinese = st.lists(st.sampled_from(["法律", "规定", "人民", "法院", "合同", "。"]), max_size=12).map("".join)


@given(words, words)
def test_rouge_agrees_with_its_documented_rules(prediction: str, answer: str) -> None:
    wanted = rederived.rouge_of(prediction, answer)
    short, whole = rouge_l(prediction, answer), rouge_l_sum(prediction, answer)
    got = {"rougeL_f1": short.f1, "rougeL_recall": short.recall}
    got |= {"rougeLsum_f1": whole.f1, "rougeLsum_recall": whole.recall}
    assert got == pytest.approx(wanted, abs=1e-9)


@given(chinese, chinese)
def test_chinese_rouge_agrees_with_its_documented_rules(prediction: str, answer: str) -> None:
    assert chinese_rouge_l(prediction, answer) == pytest.approx(
        rederived.chinese_rouge(prediction, answer), abs=1e-9
    )


def test_words_of_three_letters_are_not_stemmed() -> None:
    assert rouge_l("ran cars", "ran car").f1 == 1
    assert rouge_l("has", "ha").f1 == 0


def test_lines_are_sentences_that_may_come_in_another_order() -> None:
    assert rouge_l_sum("b b1\na a1", "a a1\nb b1").f1 == 1
    assert rouge_l("b b1\na a1", "a a1\nb b1").f1 == 0.5


def test_chinese_texts_are_compared_by_jieba_words_without_punctuation() -> None:
    assert chinese_rouge_l("合同，有效！", "合同有效") == pytest.approx(1, abs=1e-7)  # noqa: RUF001
    assert chinese_rouge_l("", "合同") == 0


def test_texts_too_long_for_the_official_recursion_score_0_only_where_asked() -> None:
    long = "法律规定" * 600
    assert chinese_rouge_l(long, long) == pytest.approx(1, abs=1e-7)
    assert chinese_rouge_l(long, long, deep=DeepTexts.ZERO) == 0
    short = "法律规定" * 450
    assert chinese_rouge_l(short, short, deep=DeepTexts.ZERO) == pytest.approx(1, abs=1e-7)
