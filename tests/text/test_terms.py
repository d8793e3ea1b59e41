from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.text.terms import MAX_WORD_CHARS, content_words, index_terms, words


def test_words_are_stemmed_and_function_words_dropped() -> None:
    assert index_terms("She has been running with the dogs") == ["run", "dog"]
    assert index_terms("Who am I?") == []
    assert index_terms("") == []


def test_numbers_are_kept() -> None:
    assert index_terms("room 42 in 2023") == ["room", "42", "2023"]


@pytest.mark.parametrize("apostrophe", ["'", "\u2019"])
def test_an_apostrophe_does_not_hide_the_word(apostrophe: str) -> None:
    assert index_terms(f"Melanie{apostrophe}s painting") == index_terms("Melanie painting")
    assert index_terms(f"l{apostrophe}eau", "french") == ["eau"]
    assert index_terms(f"don{apostrophe}t") == []


def test_width_case_and_composition_do_not_matter() -> None:
    assert index_terms("\uff34\uff2f\uff2b\uff39\uff2f") == index_terms("tokyo")
    assert index_terms("Jose\u0301") == index_terms("JOS\u00c9")
    assert index_terms("Straße") == index_terms("STRASSE")


def test_the_language_chooses_the_stemmer() -> None:
    assert index_terms("Häuser", "german") == index_terms("Haus", "german")
    assert index_terms("the", "german") == ["the"]


def test_an_unknown_language_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'klingon'.*english"):
        index_terms("word", "klingon")


@pytest.mark.parametrize(
    ("document", "query"),
    [
        ("小明毕业于北京清华大学", "清华大学"),
        ("我在2023年去了北京", "北京"),
        ("昨日、東京に行きました", "東京"),
        ("昨日、東京に行きました", "行きました"),
        ("나는 학교에 갔다", "학교"),
        ("ฉันรักภาษาไทย", "ภาษา"),
        ("मुझे हिन्दी भाषा पसंद है", "हिन्दी"),
        ("أحب اللغة العربية", "العربية"),
        ("Я люблю русский язык", "русский"),
        ("她喜欢 Python 编程", "python"),
    ],
)
def test_a_query_in_any_script_shares_a_term_with_its_document(document: str, query: str) -> None:
    assert set(index_terms(query)) & set(index_terms(document))


def test_combining_marks_do_not_cut_words_apart() -> None:
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


def test_the_chinese_dictionary_is_loaded_for_chinese_only() -> None:
    sys.modules.pop("rjieba", None)
    index_terms("naïve café, 42 Straßen")
    assert "rjieba" not in sys.modules
    index_terms("北京")
    assert "rjieba" in sys.modules


def test_very_long_words_are_cut() -> None:
    assert len(index_terms("x" * 10_000)[0]) <= MAX_WORD_CHARS


def test_content_words_fall_back_to_all_words() -> None:
    assert content_words("The cat sat") == ["cat", "sat"]
    assert content_words("Who am I?") == ["who", "am", "i"]


def test_threads_agree() -> None:
    texts = [f"running dogs number {n} were painting mountains{n}" for n in range(500)]
    expected = [index_terms(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index_terms, texts)) == expected


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_clean_terms(text: str) -> None:
    for term in index_terms(text):
        assert term
        assert not any(char.isspace() for char in term)


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii"), max_size=100))
def test_the_ascii_path_agrees_with_the_general_one(text: str) -> None:
    # One letter outside ASCII sends the same text down the general path.
    assert [*words(text), "é"] == words(text + " é")
