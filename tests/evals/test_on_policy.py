from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.evals.support import system

from memquartet.benchmarks.memorybench.loading import MemoryBenchDataset, load_memory_bench
from memquartet.benchmarks.memorybench.protocols import Order, protocol_samples
from memquartet.core.messages import Speaker
from memquartet.core.samples import Sample
from memquartet.errors import InputError, ModelServerError
from memquartet.evals.on_policy import OnPolicy, read_dialogues, talks
from memquartet.evals.results import OVERALL, SystemResult
from memquartet.evals.runner import evaluate
from memquartet.llm.cache import CachedModel, CallCache
from memquartet.llm.protocols import ChatRequest
from memquartet.testing.models import Scripted, ScriptedModel
from memquartet.text.chunking import ChunkSize

SIZE = ChunkSize(tokens=10_000, count=len)
ROW: dict[str, object] = {"lang": "en", "input_prompt": "What is the secret word?"}
STEPS = 3
BATCH = 2


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")


def dataset(folder: Path, name: str) -> MemoryBenchDataset:
    """A data set with five training tasks and one test task."""
    info = "{'golden_answer': 'plum', 'category': 4}" if name.startswith("Locomo") else "{}"
    row = {**ROW, "dataset_name": name, "info": info}
    write(folder / name / "train.jsonl", *({**row, "test_idx": number} for number in range(1, 6)))
    write(folder / name / "test.jsonl", {**row, "test_idx": 0})
    talk = {
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "My secret word is a fruit."}],
    }
    write(folder / "corpus" / f"{name}.jsonl", {"text": json.dumps({"conversation": talk})})
    return load_memory_bench("single", name, data=folder)


def steps(folder: Path, name: str = "Locomo-0") -> list[Sample]:
    found = protocol_samples(Order.ON_POLICY, [dataset(folder, name)], SIZE, batch=BATCH)
    return found[:STEPS]


def learn(request: ChatRequest) -> Scripted:
    """Says plum once it was told that pear is wrong, or remembers a dialogue in which plum was said."""
    said = request.messages[-1].content
    return "plum" if "does not seem right" in said or "Assistant: plum" in said else "pear"


def run(
    out: Path,
    samples: list[Sample],
    model: ScriptedModel,
    user: ScriptedModel | None = None,
    **settings: int,
) -> SystemResult:
    (result,) = asyncio.run(
        evaluate(
            samples,
            [system(model)],
            out=out,
            config={},
            on_policy=OnPolicy(user=user or ScriptedModel([]), size=SIZE, **settings),
        )
    )
    return result


def test_a_system_talks_is_told_what_is_wrong_remembers_it_and_is_asked_after_each_step(
    tmp_path: Path,
) -> None:
    model = ScriptedModel(learn)
    result = run(tmp_path / "out", steps(tmp_path), model)
    dialogues = read_dialogues(tmp_path / "out" / "rag_bm25.dialogues.jsonl")
    assert [one.step for one in dialogues] == [0, 0, 1, 1, 2, 2]
    assert [message.content for message in dialogues[0].messages] == [
        "What is the secret word?",
        "pear",
        "That does not seem right. Please try again and answer more accurately.",
        "plum",
    ]
    assert [row["implicit_action"] for row in dialogues[0].feedback] == ["dislike", "like"]
    # From the second step on the memory holds what the user liked.
    assert [message.content for message in dialogues[2].messages][1:] == ["plum"]
    assert [row.score for row in result.questions] == [1.0, 1.0, 1.0]
    assert "Assistant: plum" in "\n".join(result.questions[0].shown)


def test_dialogues_that_are_kept_are_not_held_again(tmp_path: Path) -> None:
    first = run(tmp_path / "out", steps(tmp_path), ScriptedModel(learn))
    again = run(tmp_path / "out", steps(tmp_path), ScriptedModel([]))
    assert again.questions == first.questions


@pytest.mark.parametrize("lives", [1, 3, 6])
def test_a_server_that_dies_in_a_dialogue_leaves_its_step_and_all_later_ones_unasked_until_the_next_run(
    tmp_path: Path, lives: int
) -> None:
    calls = 0

    def dying(request: ChatRequest) -> Scripted:
        nonlocal calls
        calls += 1
        return learn(request) if calls <= lives else ModelServerError("gone")

    with CallCache(tmp_path / "calls.db") as kept:

        def attempt(model: ScriptedModel) -> SystemResult:
            (result,) = asyncio.run(
                evaluate(
                    steps(tmp_path),
                    [system(CachedModel(model, kept))],
                    out=tmp_path / "out",
                    config={},
                    on_policy=OnPolicy(user=ScriptedModel([]), size=SIZE),
                )
            )
            return result

        broken = attempt(ScriptedModel(dying))
        assert broken.scores[OVERALL].unscored > 0
        assert {row.problem for row in broken.questions if row.score is None} == {"ModelServerError: gone"}
        whole = attempt(mended := ScriptedModel(learn))
    # Nothing that came back is asked twice.
    assert len(mended.requests) + lives == uninterrupted(tmp_path)
    assert whole.scores[OVERALL].unscored == 0
    assert whole.scores[OVERALL].mean == 1.0


def uninterrupted(folder: Path) -> int:
    """The calls that a run needs which nothing disturbs."""
    model = ScriptedModel(learn)
    with CallCache(folder / "other.db") as kept:
        asyncio.run(
            evaluate(
                steps(folder),
                [system(CachedModel(model, kept))],
                out=folder / "undisturbed",
                config={},
                on_policy=OnPolicy(user=ScriptedModel([]), size=SIZE),
            )
        )
    return len(model.requests)


def reacting(*replies: str) -> Callable[[ChatRequest], str]:
    """A simulated user that says these in turn, by how often the assistant has spoken."""

    def react(request: ChatRequest) -> str:
        spoken = request.messages[-1].content.count("\nAssistant: ")
        return replies[min(spoken, len(replies)) - 1]

    return react


def goes_on(says: str) -> str:
    return json.dumps({"implicit_action": "none", "behavior": "continue_conversation", "response": says})


def test_a_model_plays_the_user_of_other_data_sets_for_at_most_three_replies(tmp_path: Path) -> None:
    user = ScriptedModel(reacting(goes_on("Why?"), goes_on("How?"), goes_on("When?")))
    model = ScriptedModel(lambda _: "So.")
    run(tmp_path / "out", steps(tmp_path, "NFCats")[:1], model, user, answer_tokens=50)
    (one, _) = read_dialogues(tmp_path / "out" / "rag_bm25.dialogues.jsonl")
    assert [message.content for message in one.messages][1:] == ["So.", "Why?", "So.", "How?", "So.", "When?"]
    talking = [request for request in model.requests if request.messages[-1].content.endswith("User: Why?")]
    assert talking
    assert {request.sampling.max_tokens for request in talking} == {50}
    assert {request.sampling.temperature for request in user.requests} == {0.7}


@pytest.mark.parametrize(
    ("reaction", "feedback"),
    [
        ('{"implicit_action": "like", "behavior": "end_conversation", "response": null}', 1),
        ("I cannot say.", 0),
    ],
)
def test_a_user_who_is_content_or_cannot_be_understood_ends_the_dialogue(
    tmp_path: Path, reaction: str, feedback: int
) -> None:
    user = ScriptedModel(lambda _: reaction)
    run(tmp_path / "out", steps(tmp_path, "NFCats")[:1], ScriptedModel(lambda _: "So."), user)
    (one, _) = read_dialogues(tmp_path / "out" / "rag_bm25.dialogues.jsonl")
    assert [message.speaker for message in one.messages] == [Speaker.USER, Speaker.ASSISTANT]
    assert len(one.feedback) == feedback


def test_a_damaged_file_of_dialogues_is_named(tmp_path: Path) -> None:
    run(tmp_path / "out", steps(tmp_path), ScriptedModel(learn))
    path = tmp_path / "out" / "rag_bm25.dialogues.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"dialogues\.jsonl, line 1: no dialogue: Field required"):
        run(tmp_path / "out", steps(tmp_path), ScriptedModel([]))


def test_samples_without_anything_to_talk_about_are_read_as_they_are(tmp_path: Path) -> None:
    given = protocol_samples(Order.STEPWISE, [dataset(tmp_path, "Locomo-0")], SIZE)
    assert [talks(sample) for sample in given] == [()]
    assert run(tmp_path / "out", given, ScriptedModel(learn)).scores[OVERALL].n == 1
