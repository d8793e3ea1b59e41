from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memquartet.testing.store_conformance import CHECKS, RamMaker, SqliteMaker, StoreMaker

Check = Callable[[StoreMaker], None]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_ram_conforms(check: Check) -> None:
    check(RamMaker())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_file_conforms(check: Check, tmp_path: Path) -> None:
    check(SqliteMaker(tmp_path))
