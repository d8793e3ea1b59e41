from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from memquartet.core.samples import Question
from memquartet.errors import ConfigError, InputError
from memquartet.scoring.recommendation import load_catalogue, recommendation_recall
from memquartet.scoring.registry import gold_replies, score

ENTITIES = {
    "<http://dbpedia.org/resource/The_Matrix_(film)>": 7008,
    "<http://dbpedia.org/resource/Heat>": 3,
    "<http://dbpedia.org/resource/Spider-Man>": 12,
    "<http://dbpedia.org/resource/Meat>": 20,
}


@pytest.fixture
def entities(tmp_path: Path) -> Path:
    path = tmp_path / "entity2id.json.gz"
    path.write_bytes(gzip.compress(json.dumps(ENTITIES).encode()))
    return path


def test_titles_are_the_last_part_of_an_address_without_parentheses(entities: Path) -> None:
    assert load_catalogue(entities) == {3: "Heat", 12: "Spider Man", 20: "Meat", 7008: "The Matrix"}


@pytest.mark.parametrize(
    ("reply", "k", "recall"),
    [
        ("Try these:\n1. The Matrix (1999)\n2. Heat", 5, 1.0),
        ("Try these:\n1. The Matrix (1999)\n2. Heat", 1, 0.5),
        ("the matrx, heat", 5, 1.0),
        ("Spiderman", 5, 0.0),
        ("", 5, 0.5),
    ],
)
def test_listed_titles_are_matched_to_the_nearest_of_the_catalogue(
    entities: Path, reply: str, k: int, recall: float
) -> None:
    assert recommendation_recall(reply, ["7008", "3"], load_catalogue(entities), k) == recall


def test_the_lowest_id_wins_a_tie(entities: Path) -> None:
    assert recommendation_recall("1. _eat", ["3"], load_catalogue(entities), 1) == 1
    assert recommendation_recall("1. _eat", ["20"], load_catalogue(entities), 1) == 0


def test_a_question_names_its_catalogue_and_its_gold_reply_is_right(entities: Path) -> None:
    question = Question(question_id="q", text="?", answers=("7008", "12"), extra={"entities": str(entities)})
    (reply,) = gold_replies("recommendation_recall@5", question)
    assert reply == "1. The Matrix\n2. Spider Man"
    assert score("recommendation_recall@5", reply, question) == 1
    with pytest.raises(ConfigError, match=r"names no catalogue of movies.*entity2id\.json"):
        score("recommendation_recall@5", reply, Question(question_id="q", text="?", answers=("3",)))


@pytest.mark.parametrize("movies", [["99"], ["Heat"], []])
def test_answers_that_are_no_ids_are_refused(entities: Path, movies: list[str]) -> None:
    with pytest.raises(ConfigError):
        recommendation_recall("1. Heat", movies, load_catalogue(entities), 5)


@pytest.mark.parametrize("content", [b"[]", b'{"a": "b"}', b"{", b"\x1f\x8bnot gzip"])
def test_a_file_that_maps_no_movies_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match="maps movies to"):
        load_catalogue(path)
