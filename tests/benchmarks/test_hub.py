from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from memquartet.benchmarks import hub
from memquartet.benchmarks.hub import HubFile, WebFile, fetch, fetch_web, list_files
from memquartet.errors import DownloadError

CONTENT = b"[]"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that cannot be reached, and empty caches."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("no_hub")
def test_a_hub_out_of_reach_is_said_with_the_way_around() -> None:
    with pytest.raises(
        DownloadError, match=r"'data/x\.parquet' of the data set a/b cannot be fetched.*give its path"
    ):
        fetch(HubFile(repo="a/b", revision="0" * 40, path="data/x.parquet"))
    with pytest.raises(DownloadError, match="the files of the data set a/b cannot be listed"):
        list_files("a/b", "main")


@pytest.mark.usefixtures("cache")
def test_a_web_file_is_checked_and_kept(tmp_path: Path) -> None:
    source = tmp_path / "locomo10.json"
    source.write_bytes(CONTENT)
    file = WebFile(url=source.as_uri(), name="locomo10.json", sha256=SHA)
    path = fetch_web(file)
    source.unlink()
    assert fetch_web(file) == path
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("cache")
def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"{}")
    with pytest.raises(DownloadError, match="another file than the pinned one"):
        fetch_web(WebFile(url=source.as_uri(), name="file", sha256=SHA))
    with pytest.raises(DownloadError, match="cannot be fetched"):
        fetch_web(WebFile(url=(tmp_path / "none").as_uri(), name="file", sha256=SHA))


def test_a_checksum_is_the_file_s(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert hub.sha256_of(tmp_path / "file") == SHA
