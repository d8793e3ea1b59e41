from __future__ import annotations

from pathlib import Path

import pytest

from memquartet.agents.prompt_sets import SHIPPED, SHORT, prompt_set
from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError


def test_a_set_of_prompts_has_one_for_each_role(tmp_path: Path) -> None:
    assert prompt_set(SHIPPED) == {}
    assert set(prompt_set(SHORT)) == set(Role)
    for role in Role:
        (tmp_path / f"{role}.md").write_text(f"{role}", encoding="utf-8")
    assert prompt_set(str(tmp_path))[Role.ANSWERER] == "answerer"
    (tmp_path / "manager.md").unlink()
    with pytest.raises(ConfigError, match="manager"):
        prompt_set(str(tmp_path))
