"""The schemas that outputs are held to."""

from __future__ import annotations

import json

import pytest

from memquartet.agents.extractor import extraction_schema
from memquartet.agents.manager import decision_schema
from memquartet.llm.protocols import JsonSchema
from memquartet.systems import mem0, memory_r1
from memquartet.systems.fact_lists import FACTS_SCHEMA, SPOKEN_FACTS_SCHEMA


@pytest.mark.parametrize(
    "schema",
    [
        extraction_schema(300),
        decision_schema(2, ["m1"]),
        decision_schema(None, ["m1"]),
        FACTS_SCHEMA,
        SPOKEN_FACTS_SCHEMA,
        mem0._choice_schema(["m1"]),
        memory_r1._manager_schema(),
    ],
)
def test_text_has_no_bound_since_xgrammar_forbids_quotation_marks_in_bounded_text(schema: JsonSchema) -> None:
    assert "maxLength" not in json.dumps(schema)
