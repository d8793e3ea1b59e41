from __future__ import annotations

from collections.abc import Iterator

from tests.systems.support import asked, run, sample, scripted, tasks

from memquartet.errors import ModelServerError
from memquartet.testing.models import Scripted
from memquartet.text.tokens import default_counter


def test_every_question_reads_the_text_piece_by_piece_and_overwrites_its_memory() -> None:
    model = scripted({"memagent": lambda task: f"note {task[-1]}", "answerer": "Oslo"})
    given = sample("piece a", "piece b", questions=("Where?",))
    episode = run("memagent", model, given, chunk_tokens=4)
    assert asked(model) == ["memagent", "memagent", "answerer"]
    first, second = tasks(model, "memagent")
    assert "Question: Where?" in first
    assert "Memory so far:\n(empty)" in first
    assert "Memory so far:\nnote a" in second
    assert "Memories:\nnote b" in tasks(model, "answerer")[0]
    assert "note a" not in tasks(model, "answerer")[0]
    assert [turn.role for turn in episode.answers[0].trajectory.turns] == [
        "summarizer",
        "summarizer",
        "answerer",
    ]


def test_two_questions_have_two_readings() -> None:
    model = scripted({"memagent": "note", "answerer": "Oslo"})
    run("memagent", model, sample("piece", questions=("Where?", "When?")))
    assert sorted(asked(model)) == ["answerer", "answerer", "memagent", "memagent"]
    assert {"Where?" in task for task in tasks(model, "memagent")} == {True, False}


def test_chunks_are_joined_to_the_agent_s_own_size() -> None:
    model = scripted({"memagent": "note", "answerer": "Oslo"})
    run("memagent", model, sample("piece a", "piece b"))
    (task,) = tasks(model, "memagent")
    assert task.endswith("New piece:\npiece a\npiece b")


def test_inject_once_reads_without_the_question_and_once() -> None:
    model = scripted({"memagent": "note", "answerer": "Oslo"})
    given = sample("piece a", "piece b", questions=("Where?", "When?"))
    episode = run("memagent", model, given, per_question="false", chunk_tokens=4)
    assert asked(model) == ["memagent", "memagent", "answerer", "answerer"]
    assert "Where?" not in tasks(model, "memagent")[0]
    assert len(episode.steps) == 2
    assert episode.steps[-1].state.text == "note"


def test_the_memory_is_held_to_its_size_and_silence_keeps_the_old_one() -> None:
    outputs = iter(["word " * 100, ""])
    model = scripted({"memagent": lambda _task: next(outputs), "answerer": "?"})
    episode = run("memagent", model, sample("piece a", "piece b"), chunk_tokens=4, memory_tokens=10)
    (shown,) = episode.answers[0].memories
    assert 0 < default_counter().count(shown) <= 10
    assert model.requests[0].sampling.max_tokens == 10


def test_a_server_that_dies_half_way_leaves_the_question_unanswered() -> None:
    outputs: Iterator[Scripted] = iter(["note", ModelServerError("gone")])
    model = scripted({"memagent": lambda _task: next(outputs)})
    answer = run("memagent", model, sample("piece a", "piece b"), chunk_tokens=4).answers[0]
    assert answer.text is None
    assert answer.trajectory.failure is not None
    assert len(answer.trajectory.turns) == 1


def test_a_server_that_dies_in_the_one_reading_leaves_all_questions_unasked() -> None:
    model = scripted({"memagent": ModelServerError("gone")})
    given = sample("piece a", questions=("Where?", "When?"))
    episode = run("memagent", model, given, per_question=False)
    assert asked(model) == ["memagent"]
    assert [answer.text for answer in episode.answers] == [None, None]
