from __future__ import annotations

import pytest

from memquartet.core.trajectory import Role
from memquartet.errors import ConfigError
from memquartet.rewards.credit import CreditMode
from memquartet.training.settings import TrainingSettings


def test_a_section_is_read_by_name() -> None:
    section = {"credit": "branch", "max_tokens": {"manager": 64}, "rewards": {"extractor": {"noop": 0.5}}}
    settings = TrainingSettings.read(section)
    assert settings.credit is CreditMode.BRANCH
    assert settings.max_tokens[Role.MANAGER] == 64
    assert settings.mix.weights[Role.EXTRACTOR]["noop"] == 0.5  # type: ignore[index]  # a part by its name


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"credit": "global"}, "memquartet.credit"),
        ({"updates": 0}, "memquartet.updates"),
        ({"answer_topk": 3}, "memquartet.answer_topk"),
        ({"trainable": []}, "at least one role"),
        ({"trainable": ["manager"]}, "answerer, extractor, summarizer"),
    ],
)
def test_a_key_that_cannot_work_is_named(section: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainingSettings.read(section)


def test_frozen_roles_need_a_model_and_are_content_with_one() -> None:
    section = {"trainable": ["manager"], "frozen": {"model": "big", "base_url": "http://localhost:1/v1"}}
    assert TrainingSettings.read(section).trainable == {Role.MANAGER}
