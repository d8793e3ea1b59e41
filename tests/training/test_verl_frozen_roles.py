"""Two roles are trained, the two others sit behind an OpenAI-compatible server: a step of verl's own trainer, on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.verl_run import real_run

from memquartet.core.trajectory import Role
from memquartet.testing.server import FakeServer, Received
from memquartet.training.dataset import Split, build_dataset
from memquartet.training.tiny import TINY_ANSWER, tiny_samples

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(700)]


def test_the_team_learns_around_roles_that_rest(taught: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.parquet"
    build_dataset(tiny_samples(2, seed=1), data, split=Split.TRAIN, seed=1)
    with FakeServer([TINY_ANSWER]) as server:
        metrics = real_run(
            tmp_path,
            taught,
            data,
            data,
            "memquartet.trainable=[extractor,manager]",
            "memquartet.frozen.model=large",
            f"memquartet.frozen.base_url={server.base_url}",
            "trainer.total_training_steps=1",
            "trainer.test_freq=-1",
            "trainer.save_freq=-1",
        )
        asked = [first_words(request) for request in server.requests]
    step = metrics[1]
    trained = {role for role in Role if step.get(f"role/{role}/rows")}
    assert trained == {Role.EXTRACTOR, Role.MANAGER}
    assert step["role/extractor/masked_rows"] == step["role/manager/masked_rows"] == 0
    assert step["episode/outcome_mean"] == 1.0
    assert step["actor/grad_norm"] > 0
    assert set(asked) == {"Answer.", "Summary."}


def first_words(request: Received) -> str:
    """The instructions of a request, which the short prompts give in a word or two."""
    messages = request.body["messages"]
    assert isinstance(messages, list)
    return str(messages[0]["content"]).strip()
