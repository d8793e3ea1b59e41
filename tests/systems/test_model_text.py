"""What a model writes is data: characters that no memory takes end no run, in none of the systems."""

from __future__ import annotations

import json

import pytest
from tests.systems.support import run, sample, scripted, tasks

from memquartet.systems.registry import OURS

BAD = "Ann\0lives in \ud83dOslo."
FACTS = json.dumps({"facts": [BAD, {"speaker": "An\0n", "text": BAD + " And more."}]})
DECISIONS = json.dumps([{"fact": 0, "op": "ADD", "text": BAD}])
CALL = json.dumps(
    {"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": BAD}},
    ensure_ascii=False,
)
SAID = {
    "extractor": json.dumps({"semantic": [BAD], "episodic": [], "unimportant": ["She\0waved."]}),
    "manager": DECISIONS,
    "summarizer": BAD,
    "answerer": "Os\0lo",
    "posed": "Os\0lo",
    "memagent": BAD,
    "mem_alpha": f"<tool_call>{CALL}</tool_call>",
    "mem0_extract": FACTS,
    "mem0_update": json.dumps({"op": "ADD", "text": BAD}),
    "mem0_summary": BAD,
    "r1_extract": FACTS,
    "r1_manage": json.dumps({"memory": [{"id": "0", "text": BAD, "event": "ADD"}]}),
    "r1_answer": "Answer: Os\0lo",
    "rewrite": f"1. {BAD}",
    "select": "Document0",
}


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"oracle"}))
def test_no_character_of_a_model_ends_a_run(name: str) -> None:
    (answer,) = run(name, scripted(SAID), sample("Ann: I live in Oslo.", "Ann: Still.")).answers
    assert answer.text == "Os lo"
    assert "\0" not in "".join(answer.memories)


def test_the_transcript_keeps_the_output_as_it_came() -> None:
    model = scripted(SAID)
    episode = run("mem0", model, sample("Ann: I live in Oslo.", "Ann: Still."))
    assert episode.steps[0].trajectory.turns[-1].output == BAD
    assert "Ann lives in \ufffdOslo." in tasks(model, "mem0_summary")[1]
