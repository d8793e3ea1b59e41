from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    root = Path(os.environ.get("MEMQUARTET_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no development data in {root}: set MEMQUARTET_DATA")
    return root
