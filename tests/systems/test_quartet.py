from __future__ import annotations

import json
from dataclasses import replace

from tests.systems.support import MAY, asked, run, sample, scripted, tasks

from memquartet.errors import ModelServerError

FOUND = json.dumps({"semantic": ["Ann lives in Oslo."], "episodic": [], "unimportant": ["It rains."]})


def test_a_chunk_goes_through_extractor_manager_and_summarizer_and_a_question_to_the_answerer() -> None:
    model = scripted(
        {
            "extractor": FOUND,
            "manager": '{"decisions": [{"fact": 0, "op": "ADD"}]}',
            "summarizer": "Rain.",
            "answerer": "Oslo",
        }
    )
    episode = run("quartet", model, sample("Ann: Oslo. It rains."))
    assert asked(model) == ["extractor", "manager", "summarizer", "answerer"]
    assert "Context: Rain." in tasks(model, "answerer")[0]
    assert episode.answers[0].memories == ("(2023-05-08) Ann lives in Oslo.",)
    assert len(episode.answers[0].hits) == 1


def test_a_chunk_that_could_not_be_read_leaves_the_questions_unasked() -> None:
    model = scripted({"extractor": ModelServerError("gone"), "answerer": "Oslo"})
    episode = run("quartet", model, sample("one", "two"))
    assert asked(model) == ["extractor"]
    assert len(episode.steps) == 1
    assert episode.answers[0].text is None


def test_the_answerer_searches_again_where_the_settings_allow_it() -> None:
    found = json.dumps(
        {"semantic": ["Ann's sister is Bea.", "Bea lives in Oslo."], "episodic": [], "unimportant": []}
    )
    decided = '{"decisions": [{"fact": 0, "op": "ADD"}, {"fact": 1, "op": "ADD"}]}'
    model = scripted(
        {
            "extractor": found,
            "manager": decided,
            "answerer": lambda task: "Oslo" if "Oslo" in task else "search: Bea lives",
        }
    )
    episode = run(
        "quartet", model, sample("Ann: My sister Bea is in Oslo."), max_searches="1", answer_top_k=1
    )
    (answer,) = episode.answers
    assert answer.text == "Oslo"
    assert [search.query for search in answer.searches] == ["Bea lives"]
    assert len(answer.hits) == len(answer.memories) == 2


def test_a_dated_question_is_searched_for_and_asked_with_its_dates() -> None:
    given = sample("Ann: I moved yesterday.", questions=("Who moved the day before yesterday?",))
    question = replace(given.questions[0], time=MAY)
    found = json.dumps({"semantic": [], "episodic": ["Ann moved on 7 May 2023."], "unimportant": []})
    model = scripted({"extractor": found, "manager": '["ADD"]', "answerer": "nobody"})
    run("quartet", model, replace(given, questions=(question,)))
    assert "yesterday (7 May 2023)." in tasks(model, "extractor")[0]
    assert "Who moved the day before yesterday (6 May 2023)?" in tasks(model, "answerer")[0]
