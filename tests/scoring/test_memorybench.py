from __future__ import annotations

import pytest

from memquartet.core.samples import Question
from memquartet.errors import ConfigError, MissingExtraError
from memquartet.scoring.memorybench import memorybench_score
from memquartet.scoring.meteor import meteor
from memquartet.scoring.registry import gold_replies, score


class NoSynonyms:
    def synsets(self, _word: str) -> list[object]:
        return []


def question(dataset: str, **info: object) -> Question:
    answer = info.get("golden_answer")
    return Question(
        question_id=f"{dataset}:1",
        text="?",
        answers=(answer,) if isinstance(answer, str) else (),
        extra={"dataset": dataset, "info": info},
    )


OPTIONS = '{"a": "Not mentioned in the conversation", "b": "a red bowl"}'


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("a", 1), ("(A)", 1), ("b", 0), ("(b)", 0), ("x", 0), ("Not mentioned at all", 1), ("a red bowl", 0)],
)
def test_an_adversarial_reply_may_name_its_option(reply: str, expected: float) -> None:
    assert memorybench_score(reply, question("Locomo-3", category=5, golden_answer=OPTIONS)) == expected


@pytest.mark.parametrize(("category", "expected"), [(1, 1.0), (4, 2 / 3)])
def test_locomo_is_scored_by_its_category_s_number(category: int, expected: float) -> None:
    asked = question("Locomo-0", category=category, golden_answer="camping")
    assert memorybench_score("pottery, camping", asked) == pytest.approx(expected)


def test_dialsim_needs_no_judge_for_the_answer_itself() -> None:
    asked = question("DialSim-friends", golden_answer="Central Perk")
    assert memorybench_score(" central perk. ", asked) == 1
    assert memorybench_score("the coffee house", asked) is None


def test_what_only_a_judge_can_score_has_no_score() -> None:
    assert memorybench_score("text", question("NFCats")) is None
    assert score("memorybench_official", "text", question("WritingBench-Politics&Law")) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Question(question_id="q", text="?", answers=()), "names no data set"),
        (
            Question(question_id="q", text="?", answers=(), extra={"dataset": "LexEval-QA"}),
            "carries no `info`",
        ),
        (question("LexEval-QA"), "has no golden_answer"),
        (question("Locomo-0", category=6, golden_answer="x"), "has the LoCoMo category 6"),
        (question("Locomo-0", category=5, golden_answer="x"), "expected the options as JSON"),
    ],
)
def test_a_question_that_cannot_be_scored_is_refused(asked: Question, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        memorybench_score("a", asked)


def test_gold_replies_are_right() -> None:
    adversarial = question("Locomo-3", category=5, golden_answer=OPTIONS)
    for asked in (adversarial, question("LexEval-QA", golden_answer="合同有效")):
        (reply,) = gold_replies("memorybench_official", asked)
        assert score("memorybench_official", reply, asked) == pytest.approx(1, abs=1e-7)


def test_meteor_of_equal_texts_lacks_only_the_penalty_of_one_chunk() -> None:
    text = "The old house stood there. It was empty, Mr. Smith said."
    # 14 words, the full stops, the comma and "Mr." among them.
    assert meteor(text, text, wordnet=NoSynonyms()) == pytest.approx(1 - 0.5 / 14**3)
    assert meteor("running dogs", "zebra", wordnet=NoSynonyms()) == 0


def test_meteor_matches_stems() -> None:
    # Two matches in one chunk: 1 - 0.5 * (1 / 2) ** 3.
    assert meteor("he runs", "he running", wordnet=NoSynonyms()) == pytest.approx(1 - 0.5 / 8)


def test_meteor_without_wordnet_says_how_to_get_it() -> None:
    class Absent:
        def synsets(self, _word: str) -> list[object]:
            raise LookupError("no such resource")

    with pytest.raises(MissingExtraError, match=r"nltk\.downloader wordnet"):
        meteor("a", "b", wordnet=Absent())
