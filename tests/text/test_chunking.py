from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.errors import ConfigError
from memquartet.text.chunking import CountTokens, Pack, Piece, pack, split_text
from memquartet.text.tokens import default_counter


def count_words(text: str) -> int:
    return len(text.split())


def count_quarters(text: str) -> int:
    return -(-len(text) // 4)


COUNTERS: list[CountTokens] = [len, count_words, count_quarters]
texts = st.text(alphabet="ab .!?\n。'é", max_size=200)
utterances = st.lists(texts, max_size=12)
budgets = st.integers(min_value=1, max_value=60)


def reassembled(packs: list[Pack], number: int) -> list[str]:
    parts: list[list[str]] = [[] for _ in range(number)]
    for piece in (piece for one in packs for piece in one.pieces):
        parts[piece.index].append(piece.text)
    return ["".join(part) for part in parts]


@given(utterances, budgets, st.sampled_from(COUNTERS))
def test_every_utterance_comes_back_whole_and_in_order(
    given_texts: list[str], budget: int, count: CountTokens
) -> None:
    packs = list(pack(given_texts, budget=budget, count=count))
    indices = [piece.index for one in packs for piece in one.pieces]
    assert reassembled(packs, len(given_texts)) == given_texts
    assert indices == sorted(indices)
    assert set(indices) == set(range(len(given_texts)))


@given(utterances, budgets, st.sampled_from(COUNTERS), st.sampled_from(["", "\n", "\n\n"]))
def test_every_pack_keeps_the_budget(
    given_texts: list[str], budget: int, count: CountTokens, separator: str
) -> None:
    for one in pack(given_texts, budget=budget, count=count, separator=separator):
        assert count(one.text(separator)) <= budget


@given(utterances, budgets)
def test_the_next_piece_would_not_have_fitted_into_a_closed_pack(given_texts: list[str], budget: int) -> None:
    packs = list(pack(given_texts, budget=budget, count=len))
    for before, after in pairwise(packs):
        assert len(before.text()) + 1 + len(after.pieces[0].text) > budget


@given(texts, budgets, st.sampled_from(COUNTERS))
def test_the_parts_of_a_text_joined_are_the_text(text: str, budget: int, count: CountTokens) -> None:
    assert "".join(split_text(text, budget=budget, count=count)) == text


def test_an_over_long_utterance_is_cut_after_a_sentence_first() -> None:
    text = "We met in May. It rained all day! Nobody minded that."
    assert split_text(text, budget=25, count=len) == [
        "We met in May. ",
        "It rained all day! ",
        "Nobody minded that.",
    ]


def test_chinese_sentences_end_without_a_space() -> None:
    assert split_text("我搬家了。新家很大。", budget=5, count=len) == ["我搬家了。", "新家很大。"]


def test_a_number_is_not_a_sentence_end() -> None:
    assert split_text("It is 3.14 or so. Yes.", budget=18, count=len) == ["It is 3.14 or so. ", "Yes."]


def test_the_number_of_a_list_item_stays_with_it() -> None:
    assert split_text("0. One.\n1. Two.\n", budget=10, count=len) == ["0. One.\n", "1. Two.\n"]


def test_a_sentence_that_is_too_long_is_cut_after_a_word() -> None:
    assert split_text("one two three four five", budget=12, count=len) == ["one two ", "three four ", "five"]


def test_a_word_that_is_too_long_is_cut_between_characters() -> None:
    assert split_text("abcdefghij", budget=4, count=len) == ["abcd", "efgh", "ij"]


def test_a_character_heavier_than_the_budget_stands_alone() -> None:
    assert split_text("abc", budget=2, count=lambda text: 3 * len(text)) == ["a", "b", "c"]


@given(utterances, st.integers(min_value=1, max_value=60), st.sampled_from(COUNTERS))
def test_packs_with_leads_keep_the_budget_and_lose_nothing(
    given_texts: list[str], budget: int, count: CountTokens
) -> None:
    given_texts = [f"Ann: {text}" for text in given_texts]
    packs = list(pack(given_texts, budget=budget, count=count, lead=lambda _: "Ann: "))
    assert reassembled(packs, len(given_texts)) == given_texts
    assert all(count(one.text()) <= budget for one in packs)


@given(texts.map(lambda text: text * 20), st.integers(min_value=16, max_value=80))
def test_a_lead_of_real_tokens_keeps_the_budget(text: str, budget: int) -> None:
    count = default_counter().count
    packs = pack([f"Ann: {text}"], budget=budget, count=count, lead=lambda _: "Ann: ")
    assert all(one.text().startswith("Ann: ") and count(one.text()) <= budget for one in packs)


def test_a_further_part_begins_with_the_lead_only_where_it_begins_a_pack() -> None:
    (one, two) = pack(["Ann: Hi. I am in Oslo."], budget=20, count=len, lead=lambda _: "Ann: ")
    assert (one.text(), two.text()) == ("Ann: Hi. ", "Ann: I am in Oslo.")
    pieces = (Piece(index=3, text="Ann: one "), Piece(index=3, text="two", lead="Ann: "))
    assert Pack(pieces=pieces).text() == "Ann: one two"


def test_a_lead_that_would_fill_half_of_the_budget_is_left_out() -> None:
    packs = pack(["Annabel: Hi. I moved."], budget=13, count=len, lead=lambda _: "Annabel: ")
    assert [one.text() for one in packs] == ["Annabel: Hi. ", "I moved."]


def test_parts_of_one_utterance_in_one_pack_are_not_separated() -> None:
    pieces = (Piece(index=3, text="one "), Piece(index=3, text="two"), Piece(index=4, text="three"))
    assert Pack(pieces=pieces).text() == "one two\nthree"


def test_no_utterances_give_no_packs() -> None:
    assert list(pack([], budget=5, count=len)) == []


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused_before_anything_is_read(budget: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 token"):
        pack([], budget=budget, count=len)


@pytest.mark.parametrize("unit", ["x", "word ", "A sentence of five words. ", "...", '."', "\n", "。"])
def test_counting_work_grows_linearly(unit: str) -> None:
    def counted_per_character(size: int) -> float:
        seen = 0

        def count(text: str) -> int:
            nonlocal seen
            seen += len(text)
            return count_quarters(text)

        text = unit * (size // len(unit))
        parts = split_text(text, budget=512, count=count)
        assert "".join(parts) == text
        return seen / len(text)

    assert counted_per_character(400_000) <= 1.5 * counted_per_character(100_000)
    assert counted_per_character(400_000) <= 5
