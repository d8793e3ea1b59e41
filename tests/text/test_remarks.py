from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memquartet.text.remarks import remarks, speaker_of


@pytest.mark.parametrize(
    ("remark", "speaker"),
    [
        ("Ann: Hello!", "Ann: "),
        ("user: Note: it rains.", "user: "),
        ("Dr. Ana O'Neil-Paz: Hello!", "Dr. Ana O'Neil-Paz: "),
        ("小明: 你好。", "小明: "),
        ("+49 170 1234: Hello!", "+49 170 1234: "),
        ("12. Note: it rains.", ""),
        ("It is like this, Ann: we moved.", ""),
        ("We meet at 10:30 in May.", ""),
        ("I only want to say this: it rains.", ""),
        ("", ""),
    ],
)
def test_a_remark_begins_with_the_name_of_its_speaker(remark: str, speaker: str) -> None:
    assert speaker_of(remark) == speaker


def test_the_further_lines_of_a_remark_belong_to_it() -> None:
    text = "[Monday 8 May 2023]\nAnn: Two things.\n1. I moved.\n\n2. I am well.\nBob: Oh.\n"
    assert list(remarks(text)) == [
        "[Monday 8 May 2023]\n",
        "Ann: Two things.\n1. I moved.\n\n2. I am well.\n",
        "Bob: Oh.\n",
    ]


def test_a_text_that_does_not_begin_with_a_remark_is_lines() -> None:
    text = "A novel.\nHe spoke.\nNote: it rains.\nIt rains.\n"
    assert list(remarks(text)) == text.splitlines(keepends=True)


@given(st.text(alphabet="Ab:[]. \n", max_size=60))
def test_remarks_joined_are_the_text(text: str) -> None:
    assert "".join(remarks(text)) == text
