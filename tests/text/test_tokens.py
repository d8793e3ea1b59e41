from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memquartet.text.tokens import Keep, bundled_tokenizer, default_counter

COUNTER = default_counter()
DATA = files("memquartet.text").joinpath("data")
texts = st.text(st.sampled_from("ab c\n.日🎉é'"), max_size=60)


def test_counts_are_the_tokenizers() -> None:
    assert COUNTER.count("") == 0
    assert COUNTER.count("hello world") == 2
    assert COUNTER.count("</s>") > 1


def test_the_tokenizer_is_loaded_once() -> None:
    assert bundled_tokenizer() is bundled_tokenizer()
    assert default_counter() is COUNTER


def test_a_text_within_the_budget_is_returned_as_it_is() -> None:
    text = "  two  spaces\n"
    assert COUNTER.truncate(text, 50) == text
    assert COUNTER.truncate(text, COUNTER.count(text), Keep.LAST) == text


def test_half_a_surrogate_pair_is_counted_too() -> None:
    assert COUNTER.count("a\ud800b") == COUNTER.count("a\ufffdb")
    assert COUNTER.truncate("a\ud800b", 50) == "a\ud800b"


def test_either_end_can_be_kept() -> None:
    text = " ".join(str(number) for number in range(1000))
    first, last = COUNTER.truncate(text, 20), COUNTER.truncate(text, 20, Keep.LAST)
    assert first.startswith("0 1 2")
    assert last.endswith("998 999")


@pytest.mark.parametrize("budget", [0, -1])
def test_no_budget_leaves_nothing(budget: int) -> None:
    assert COUNTER.truncate("words", budget) == ""


@settings(deadline=None)
@given(texts, st.integers(1, 30), st.sampled_from(Keep))
def test_a_cut_fits_and_is_an_end_of_the_text(text: str, budget: int, keep: Keep) -> None:
    piece = COUNTER.truncate(text, budget, keep)
    assert COUNTER.count(piece) <= budget
    assert text.startswith(piece) if keep is Keep.FIRST else text.endswith(piece)
    if COUNTER.count(text) <= budget:
        assert piece == text


def test_a_huge_text_is_cut_without_reading_it_whole() -> None:
    text = "word " * 10_000_000
    assert COUNTER.count(COUNTER.truncate(text, 100)) == 100
    assert COUNTER.count(COUNTER.truncate(text, 100, Keep.LAST)) <= 100


def test_no_token_is_longer_than_the_reach_of_a_cut_assumes() -> None:
    assert max(len(token) for token in bundled_tokenizer().get_vocab()) == 16


def test_threads_agree() -> None:
    lines = [f"line {number} of a text" * 5 for number in range(200)]
    expected = [COUNTER.count(line) for line in lines]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(COUNTER.count, lines)) == expected


def test_the_bundled_files_are_the_published_ones() -> None:
    sums = DATA.joinpath("SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(sums) == 3
    for line in sums:
        expected, name = line.split()
        assert hashlib.sha256(DATA.joinpath(name).read_bytes()).hexdigest() == expected


def test_the_licence_lies_beside_the_files() -> None:
    assert DATA.joinpath("LICENSE.wordllama").read_text(encoding="utf-8").startswith("MIT License")
