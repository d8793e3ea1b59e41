from __future__ import annotations

import pytest

from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import InputError
from memquartet.evals.superseded import numbered_facts, superseded_in

FACTS = (
    "The capital of Alba is Perth.",
    "Ann Reed was born in the city of Oslo.",
    "The capital of Rhodia is Oban.",
    "Bo Lind was born in the city of Oslo.",
    "Ann Reed was born in the city of St. 7. Lima.",
    "The capital of Alba is Oban.",
    "Alba is located in the continent of Asia.",
    "The spouse of Bo Lind is Ann Reed.",
    *(f"Person{n} was born in the city of Rome." for n in range(80)),
    *(f"The capital of Land{n} is Rome." for n in range(80)),
)


def question(text: str, answer: str, **extra: object) -> Question:
    return Question(question_id="q", text=text, answers=(answer,), extra=extra)


def record(asked: Question) -> Sample:
    facts = [f"{number}. {fact}" for number, fact in enumerate(FACTS)]
    chunks = (
        "Here is a list of facts:\n" + " ".join(facts[:3]) + " 3.",
        facts[3][3:] + " " + " ".join(facts[4:]),
    )
    return Sample(
        sample_id="s",
        chunks=tuple(Chunk(text=text, index=number) for number, text in enumerate(chunks)),
        questions=(asked,),
        source="memoryagentbench/factconsolidation_sh_6k",
    )


def test_numbered_facts_are_told_apart_also_where_a_chunk_ends_between_number_and_fact() -> None:
    text = "\n".join(chunk.text for chunk in record(question("?", "x")).chunks)
    assert numbered_facts(text) == [fact.removesuffix(".") for fact in FACTS]
    assert numbered_facts("no numbers at all") == []


def test_the_older_values_of_the_statement_that_the_question_names_are_superseded() -> None:
    found = superseded_in(record(question("What is the capital of Alba?", "Oban")))["q"]
    assert found.values == ("Perth",)
    assert found.about == ("alba",)


def test_a_question_whose_answer_never_changed_has_nothing_superseded() -> None:
    assert superseded_in(record(question("What is the capital of Rhodia?", "Oban"))) == {}


def test_what_does_not_say_which_of_two_statements_it_means_is_left_out() -> None:
    assert superseded_in(record(question("Which capital does the place have?", "Oban"))) == {}


def test_the_end_of_a_chain_is_found_where_only_one_statement_ends_in_the_answer() -> None:
    found = superseded_in(record(question("Where was the spouse of the friend born?", "St. 7. Lima")))["q"]
    assert found.values == ("Oslo",)
    assert found.about == ("ann", "reed")


@pytest.mark.parametrize(
    ("text", "stale"),
    [
        ("The capital of Alba is Perth.", True),
        ("(2024-01-02) Perth became the capital of ALBA!", True),
        ("The capital of Alba moved from Perth to Oban.", False),
        ("The capital of Rhodia is Perth.", False),
        ("The capital of Alba is Oban.", False),
        ("0. The capital of Alba is Perth. 1. The capital of Alba is Oban.", True),
        ("Bo: The capital of Alba is Oban.\nAnn: The capital of Alba is Perth.", True),
        ("The capital of Alba is Perth until page 12. Now it is Oban.", False),
        ("7. The capital of Alba is Perth.\n9. The capital of Alba is Oban.", True),
        ("of Ann. 7. The capital of Alba is Perth. 8. The capital of Alba is Oban. 9.", True),
        ("4. Bo lives in St. 6. Lima. 5. The capital of Alba is Perth. 6. Alba has Oban.", True),
        ("1. The capital of Alba is St. 3. Perth and 3. Oban. 2. Bo is here.", False),
    ],
)
def test_a_line_is_stale_that_says_an_old_value_of_the_subject_and_not_the_new_one(
    text: str, stale: bool
) -> None:
    found = superseded_in(record(question("What is the capital of Alba?", "Oban")))["q"]
    assert bool(found.said_by([text])) == stale


def test_a_list_of_facts_on_one_line_is_told_apart_and_a_number_out_of_turn_is_not() -> None:
    found = superseded_in(record(question("What is the capital of Alba?", "Oban")))["q"]
    text = " ".join(f"{number}. {fact}" for number, fact in enumerate(FACTS))
    shown = f"Here is a list of facts: {text} {len(FACTS)}. The capital of Alba is St. 5. Perth."
    assert [line.strip() for line in found.said_by([shown])] == [
        FACTS[0],
        "The capital of Alba is St. 5. Perth.",
    ]


def test_other_data_says_itself_what_is_superseded() -> None:
    asked = question("Where does Ann live?", "Rome", superseded=["Oslo"], subject="Ann")
    sample = Sample(sample_id="s", chunks=(), questions=(asked,))
    found = superseded_in(sample)["q"]
    assert found.said_by(["Ann lives in Oslo.", "Bo lives in Oslo."]) == ["Ann lives in Oslo."]
    broken = question("?", "x", superseded="Oslo")
    with pytest.raises(InputError, match="superseded"):
        superseded_in(Sample(sample_id="s", chunks=(), questions=(broken,)))
