from __future__ import annotations

import pytest

from memquartet.training import doctor
from memquartet.training.doctor import diagnose

pytestmark = pytest.mark.train


def test_everything_that_a_run_needs_is_registered() -> None:
    found = {finding.name: finding for finding in diagnose()}
    assert all(finding.ok for finding in found.values() if finding.needed)
    assert {"agent loop", "trainer", "advantage estimator"} <= found.keys()


def test_what_verl_would_swallow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PLUGIN", "memquartet.training.no_such_plugin")
    (wrong,) = [finding for finding in diagnose() if finding.name == "plug-in"]
    assert not wrong.ok
    assert "no_such_plugin" in wrong.detail
