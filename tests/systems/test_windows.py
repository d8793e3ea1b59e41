from __future__ import annotations

import json

import pytest
from tests.systems.support import asked, run, sample, scripted, tasks

from memquartet.agents.extractor import FactExtractor
from memquartet.core.samples import Chunk
from memquartet.errors import ConfigError, ModelServerError
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.systems.windows import window_for, windows
from memquartet.testing.models import ScriptedModel
from memquartet.text.tokens import default_counter

TEXT = " ".join(f"Person{number} lives in town {number}." for number in range(40))
FOUND = json.dumps({"semantic": ["Ann lives in Oslo."], "episodic": [], "unimportant": []})
TEAM = {
    "extractor": FOUND,
    "manager": '{"decisions": [{"fact": 0, "op": "ADD"}]}',
    "answerer": "Oslo",
}


def test_windows_are_within_their_size_lose_nothing_and_keep_what_the_chunk_carries() -> None:
    chunk = Chunk(text=TEXT, index=3, source_ids=("D1:1",), query="Where?")
    parts = windows(chunk, 64)
    assert len(parts) > 3
    assert "".join(part.text for part in parts) == TEXT
    assert all(default_counter().count(part.text) <= 64 for part in parts)
    assert {(part.index, part.source_ids, part.query) for part in parts} == {(3, ("D1:1",), "Where?")}


def test_a_remark_is_not_parted_from_its_speaker() -> None:
    text = "\n".join(f"Person{n}: I moved. I live in town {n}." for n in range(40))
    parts = windows(Chunk(text=text, index=0), 64)
    assert len(parts) > 3
    assert "".join(part.text for part in parts) == text
    assert all(part.text.startswith("Person") for part in parts)


@pytest.mark.parametrize("between", [" ", "\n", "\n- "])
def test_every_window_of_a_long_remark_names_its_speaker(between: str) -> None:
    said = "Ann: " + between.join(f"I lived in town {n}." for n in range(40))
    text = f"[Monday 8 May 2023]\n{said}\nBob: I see."
    parts = windows(Chunk(text=text, index=3, source_ids=("D1:1", "D1:2")), 64)
    assert len(parts) > 4
    assert all(part.text.startswith("Ann: ") for part in parts[1:-1])
    assert "".join([parts[0].text, parts[1].text, *(p.text.removeprefix("Ann: ") for p in parts[2:])]) == text
    assert all(default_counter().count(part.text) <= 64 for part in parts)
    assert {(part.index, part.source_ids) for part in parts} == {(3, ("D1:1", "D1:2"))}


def test_a_chunk_that_fits_is_read_as_it_is() -> None:
    chunk = Chunk(text=TEXT, index=0)
    assert windows(chunk, None) == windows(chunk, 4096) == [chunk]


def test_the_default_window_is_what_the_model_has_room_for() -> None:
    sizes = {
        room: window_for(FactExtractor(model=ScriptedModel([], window=room)))
        for room in (100, 1100, 5000, 40_000)
    }
    assert sizes == {100: 128, 1100: 256, 5000: 1024, 40_000: None}
    assert window_for(FactExtractor(model=OpenAIChatModel("x", "http://localhost:1/v1"))) is None


def test_the_quartet_reads_a_long_chunk_window_by_window_with_its_date() -> None:
    model = scripted(TEAM)
    episode = run("quartet", model, sample(TEXT, "Ann: hello."), window_tokens=128)
    read = tasks(model, "extractor")
    assert len(read) > 3
    assert asked(model)[:4] == ["extractor", "manager", "extractor", "manager"]
    assert all("2023-05-08" in text for text in read[:-1])
    assert "2023-06-08" in read[-1]
    assert [step.index for step in episode.steps] == [0] * (len(read) - 1) + [1]
    assert "(2023-05-08) Ann lives in Oslo." in episode.answers[0].memories


def test_a_window_that_could_not_be_read_leaves_the_questions_unasked() -> None:
    model = scripted({**TEAM, "extractor": ModelServerError("gone")})
    episode = run("quartet", model, sample(TEXT, "more"), window_tokens=128)
    assert asked(model) == ["extractor"]
    assert episode.answers[0].text is None


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="a window has at least 1 token"):
        run("quartet", scripted(TEAM), sample(TEXT), window_tokens=0)
