from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.systems.support import asked, run, sample, scripted, tasks

from memquartet.errors import ConfigError
from memquartet.memory.embedders import NoEmbedder
from memquartet.systems.associative import AssociativeMemory, AssociativeSettings, joined

EAST, NORTH, WEST, SOUTH = (np.array(v, np.float32) for v in ((1, 0), (0, 1), (-1, 0), (0, -1)))
NEAR_EAST = np.array([0.96, 0.28], np.float32)


def memory(slots: int = 2, threshold: float = 0.9, texts: int = 2) -> AssociativeMemory:
    return AssociativeMemory(2, AssociativeSettings(slots=slots, threshold=threshold, texts=texts))


def test_what_is_like_a_slot_is_averaged_into_it() -> None:
    slots = memory()
    assert slots.write("a", EAST) == 0
    assert slots.write("b", NEAR_EAST) == 0
    assert len(slots) == 1
    assert slots.slot(0).count == 2
    assert slots.slot(0).texts == ("b", "a")
    mean = (EAST + NEAR_EAST) / 2
    assert slots._keys[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_what_is_new_takes_a_slot_of_its_own() -> None:
    slots = memory()
    slots.write("a", EAST)
    assert slots.write("b", NORTH) == 1
    assert [slots.slot(n).count for n in (0, 1)] == [1, 1]


def test_age_counts_the_writes_since_the_last_one_to_the_slot() -> None:
    slots = memory()
    slots.write("a", EAST)
    slots.write("b", NORTH)
    assert [slots.slot(n).age for n in (0, 1)] == [1, 0]
    slots.write("c", NEAR_EAST)
    assert [slots.slot(n).age for n in (0, 1)] == [0, 1]


def test_a_full_memory_gives_up_the_slot_that_was_written_longest_ago() -> None:
    slots = memory()
    slots.write("a", EAST)
    slots.write("b", NORTH)
    slots.write("c", NEAR_EAST)
    slots.write("d", WEST)
    assert joined(slots.newest()) == ("d", "a", "c")
    assert slots.slot(1).count == 1


def test_reading_gives_the_most_similar_slots_and_changes_nothing() -> None:
    slots = memory(slots=3)
    for text, vector in (("a", EAST), ("b", NORTH), ("c", WEST)):
        slots.write(text, vector)
    before = slots.newest()
    assert [slot.texts[0] for slot in slots.read(NEAR_EAST, 2)] == ["a", "b"]
    assert slots.newest() == before


def test_a_slot_keeps_its_newest_texts_only() -> None:
    slots = memory(texts=2)
    for text in "abc":
        slots.write(text, EAST)
    assert slots.slot(0).texts == ("c", "b")
    assert slots.slot(0).count == 3


@given(st.lists(st.tuples(st.integers(0, 7), st.text("xyz", min_size=1, max_size=2)), max_size=40))
def test_slots_are_never_more_than_there_are_and_counts_add_up_to_what_is_left(
    writes: list[tuple[int, str]],
) -> None:
    slots = memory(slots=3, threshold=0.99)
    angles = [np.array([np.cos(k), np.sin(k)], np.float32) for k in range(8)]
    for angle, text in writes:
        slots.write(text, angles[angle])
    assert len(slots) <= min(3, len({angle for angle, _ in writes}))
    assert sum(slot.count for slot in slots.newest()) <= len(writes)
    if writes:
        assert slots.newest()[0].texts[0] == writes[-1][1]
        assert slots.newest()[0].age == 0


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="slots ≥ 1"):
        AssociativeSettings(slots=0)


def test_as_a_system_it_asks_a_model_for_the_answer_only() -> None:
    model = scripted({"answerer": "Oslo"})
    episode = run("camelot", model, sample("Ann: I live in Oslo.\nBo: I like tea."), top_k=1, threshold=0.95)
    assert asked(model) == ["answerer"]
    assert episode.answers[0].memories == ("Ann: I live in Oslo.",)


def test_it_needs_embeddings() -> None:
    with pytest.raises(ConfigError, match="give an embedder"):
        run("camelot", scripted({}), sample("Ann lives in Oslo."), embedder=NoEmbedder())


def test_as_the_quartet_s_short_term_memory_it_takes_the_summarizer_s_place() -> None:
    model = scripted(
        {
            "extractor": '{"semantic": [], "episodic": [], "unimportant": ["It rains in Oslo.", "Tea is hot."]}',
            "answerer": "Oslo",
        }
    )
    episode = run("quartet", model, sample("Rain and tea."), short_term="camelot")
    assert asked(model) == ["extractor", "answerer"]
    assert "Context: Tea is hot.\nIt rains in Oslo." in tasks(model, "answerer")[0]
    assert [turn.role for turn in episode.turns] == ["extractor", "answerer"]


def test_each_sample_has_its_own_short_term_memory() -> None:
    facts = iter(["It rains.", "It snows."])
    model = scripted(
        {
            "extractor": lambda _task: (
                f'{{"semantic": [], "episodic": [], "unimportant": ["{next(facts)}"]}}'
            ),
            "answerer": "Oslo",
        }
    )
    for _ in range(2):
        run("quartet", model, sample("Weather."), short_term="camelot")
    assert "It rains." not in tasks(model, "answerer")[1]
