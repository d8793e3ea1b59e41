from __future__ import annotations

from pathlib import Path

import pytest

from memquartet.agents.prompt_sets import SHIPPED, SHORT, prompt_set
from memquartet.agents.team import Team
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.llm.budget import Budget, BudgetedModel
from memquartet.testing.models import ScriptedModel


def test_a_set_of_prompts_has_one_for_each_role(tmp_path: Path) -> None:
    assert prompt_set(SHIPPED) == {}
    assert set(prompt_set(SHORT)) == set(Role)
    for role in Role:
        (tmp_path / f"{role}.md").write_text(f"{role}", encoding="utf-8")
    assert prompt_set(str(tmp_path))[Role.ANSWERER] == "answerer"
    (tmp_path / "manager.md").unlink()
    with pytest.raises(ConfigError, match="manager"):
        prompt_set(str(tmp_path))


def test_a_taught_model_is_prompted_as_it_was_taught_also_behind_a_budget() -> None:
    taught = Team.of(BudgetedModel(ScriptedModel([], prompts=SHORT), Budget()))
    untaught = Team.of(ScriptedModel([]))
    assert taught.answerer.settings.prompt == prompt_set(SHORT)[Role.ANSWERER]
    assert taught.manager.settings.sampling == untaught.manager.settings.sampling
    assert untaught.answerer.settings.prompt is None
    with pytest.raises(ConfigError, match="gone"):
        Team.of(ScriptedModel([], prompts="gone"))
