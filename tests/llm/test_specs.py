from __future__ import annotations

from pathlib import Path

import pytest

from memquartet.errors import ConfigError
from memquartet.llm.local import LocalChatModel
from memquartet.llm.openai_api import OpenAIChatModel
from memquartet.llm.specs import make_model


@pytest.mark.parametrize(
    ("spec", "name", "base_url"),
    [
        ("openai:gpt-x", "gpt-x", "https://api.openai.com/v1"),
        ("openai:Qwen/Qwen3-4B@http://localhost:8000/v1", "Qwen/Qwen3-4B", "http://localhost:8000/v1"),
        ("openai:m@rev@https://host/v1", "m@rev", "https://host/v1"),
    ],
)
def test_a_server_model_is_named_by_model_and_address(spec: str, name: str, base_url: str) -> None:
    model = make_model(spec)
    assert isinstance(model, OpenAIChatModel)
    assert (model.name, model._base_url) == (name, base_url)


def test_a_local_model_is_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "my.gguf"
    file.write_bytes(b"GGUF")
    assert isinstance(make_model(f"local:{file}", parallel=2, threads=1, context=512), LocalChatModel)


def test_a_taught_model_brings_its_prompts(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.touch()
    assert make_model(f"local:{file}").prompts is None
    model = make_model(f"local:{file}?prompts=short")
    assert (model.name, model.prompts) == (str(file), "short")
    served = make_model("openai:taught@http://localhost:8000/v1?prompts=/my/prompts")
    assert isinstance(served, OpenAIChatModel)
    assert (served.name, served._base_url) == ("taught", "http://localhost:8000/v1")
    assert served.prompts == "/my/prompts"


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "gpt-x",
        "local:",
        "openai:",
        "openai:@http://host/v1",
        "openai:http://host",
        "openai:m@localhost:1",
        "local:/none.gguf",
    ],
)
def test_anything_else_is_a_config_error_that_shows_the_forms(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make_model(spec)


def test_options_of_local_models_are_refused_for_servers() -> None:
    with pytest.raises(ConfigError, match="local model only"):
        make_model("openai:m", threads=2)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"timeout": 0.0}, {"max_retries": -1}])
def test_limits_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        OpenAIChatModel("m", **wrong)  # type: ignore[arg-type]  # wrong on purpose
