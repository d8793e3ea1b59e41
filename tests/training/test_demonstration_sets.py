from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from memquartet.benchmarks.worlds.catalog import read_world_name
from memquartet.cli.main import cli
from memquartet.core.trajectory import Role
from memquartet.errors import InputError
from memquartet.systems.oracle import UNKNOWN
from memquartet.training.demonstration_sets import (
    digest,
    drawn_settings,
    make_demonstrations,
    read_demonstrations,
    with_few_abstentions,
    write_demonstrations,
)
from memquartet.training.demonstrations import Demonstration
from memquartet.training.settings import TrainingSettings

WORLDS = [read_world_name("world:conflict?n=60"), read_world_name("world:dialogue?n=3")]
SHORT = TrainingSettings(prompts="short")


def test_equal_worlds_make_equal_demonstrations_on_any_number_of_processes() -> None:
    done: list[tuple[int, int]] = []
    one = make_demonstrations(WORLDS, SHORT, processes=1)
    two = make_demonstrations(WORLDS, SHORT, processes=2, progress=lambda n, total: done.append((n, total)))
    assert digest(one) == digest(two)
    assert len(set(two)) == len(two)
    assert {shown.role for shown in two} == set(Role)
    assert done[-1] == (63, 63)


def test_varied_samples_differ_in_the_length_of_their_chunks() -> None:
    def longest(*, varied: bool) -> int:
        made = make_demonstrations(WORLDS[:1], SHORT, varied=varied, processes=1)
        return max(len(d.messages[-1].content.splitlines()) for d in made if d.role is Role.EXTRACTOR)

    assert longest(varied=True) > longest(varied=False)


def test_varied_samples_search_as_often_as_they_may_and_less() -> None:
    settings = SHORT.model_copy(update={"max_searches": 2})
    drawn = {drawn_settings(settings, Random(number)).max_searches for number in range(30)}
    assert drawn == {0, 1, 2}
    assert drawn_settings(SHORT, Random(0)).max_searches == 0


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made = make_demonstrations(WORLDS[1:], SHORT, processes=1)
    write_demonstrations(made, tmp_path / "new" / "sft.parquet")
    assert read_demonstrations(tmp_path / "new" / "sft.parquet") == made
    (tmp_path / "other.parquet").write_bytes(b"PAR1?")
    with pytest.raises(InputError, match="data demonstrations"):
        read_demonstrations(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no demonstrations"):
        write_demonstrations([], tmp_path / "none.parquet")


def test_the_command_counts_what_it_wrote_and_refuses_what_has_no_known_truth(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "sft.parquet"
    asked = [
        "data",
        "demonstrations",
        "world:dialogue?n=2",
        "--prompts",
        "short",
        "--out",
        str(out),
        "--json",
    ]
    told = json.loads(CliRunner().invoke(cli, asked, catch_exceptions=False).stdout)
    assert told["demonstrations"] == sum(told["roles"].values()) == len(read_demonstrations(out))
    lined = [*asked, "--role", "answerer", "--line-top-k", "4"]
    told = json.loads(CliRunner().invoke(cli, lined, catch_exceptions=False).stdout)
    assert set(told["roles"]) == {"answerer"}
    prompts = [one.messages[-1].content for one in read_demonstrations(out)]
    assert any(re.search(r"^- (\(.{10}\) )?\w+: ", prompt, re.MULTILINE) for prompt in prompts)
    refused = CliRunner().invoke(cli, ["data", "demonstrations", "locomo10.json", "--out", str(out)])
    assert refused.exit_code == 1
    assert "world:conflict" in refused.output


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1.0])
def test_of_the_answers_few_say_that_they_do_not_know(share: float) -> None:
    made = make_demonstrations([read_world_name("world:friends?n=8")], SHORT, processes=1)

    def unknown(demonstrations: list[Demonstration]) -> float:
        answers = [one.output for one in demonstrations if one.role is Role.ANSWERER]
        return answers.count(UNKNOWN) / len(answers)

    before = unknown(made)
    kept = with_few_abstentions(made, share)
    assert before > 0.1
    assert unknown(kept) <= max(share, 0) + 1e-9
    assert unknown(kept) == pytest.approx(min(share, before), abs=0.05)
    left_out = set(made) - set(kept)
    assert all(one.output == UNKNOWN for one in left_out)
    assert [one for one in made if one not in left_out] == kept
