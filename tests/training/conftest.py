from __future__ import annotations

import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # verl and its parts warn when they are imported
    try:
        import verl.trainer.ppo.v1  # noqa: F401
    except ImportError:
        collect_ignore_glob = ["test_verl_*.py"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    from memquartet.training.tiny import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("tiny"), sft=None)


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that speaks in the forms of the roles, more often than not."""
    from memquartet.training.tiny import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("taught"))
