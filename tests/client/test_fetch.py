"""`baton fetch` downloads a data set for a user or for the workers of a machine, without a service."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from baton.cli import app
from tests.support.file_server import FileServer, serving

Baton = Callable[..., Result]
CONTENT = bytes(range(256)) * 4000
SUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def baton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    monkeypatch.setenv("BATON_CACHE", str(tmp_path / "cache"))
    for name in ("BATON_URL", "BATON_TOKEN", "BATON_TINY_IMAGENET_URL", "BATON_TINY_IMAGENET_CHECKSUM"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["fetch", *arguments])


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> FileServer:
    with serving(CONTENT) as server:
        monkeypatch.setenv("BATON_TINY_IMAGENET_URL", server.url)
        monkeypatch.setenv("BATON_TINY_IMAGENET_CHECKSUM", SUM)
        yield server


def test_into_a_directory(baton: Baton, mirror: FileServer, tmp_path: Path) -> None:
    result = baton("tiny-imagenet-200", "--to", str(tmp_path / "data"))
    file = tmp_path / "data" / "tiny-imagenet-200.zip"
    assert (result.exit_code, result.stdout) == (0, f"{file}\n"), result.output
    assert file.read_bytes() == CONTENT
    assert f"path: {file}" in result.stderr
    assert "100 % of 1,024,000 bytes" in result.stderr


def test_into_the_cache_of_this_machines_workers(
    baton: Baton, mirror: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from baton.transfer import download_path
    from worker.settings import WorkerSettings

    result = baton("tiny-imagenet-200")
    assert result.exit_code == 0, result.output
    settings = WorkerSettings(token="t", store="file:///x")
    found = download_path(settings.downloads["tiny-imagenet-200"], settings.cache)
    assert result.stdout == f"{found}\n"
    assert found.read_bytes() == CONTENT
    assert baton("tiny-imagenet-200").exit_code == 0
    assert len(mirror.asked) == 1


def test_options_come_before_the_environment(baton: Baton, mirror: FileServer, tmp_path: Path) -> None:
    with serving(b"another file") as other:
        result = baton("tiny-imagenet-200", "--to", str(tmp_path), "--url", other.url, "--checksum", "none")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tiny-imagenet-200.zip").read_bytes() == b"another file"
    assert not mirror.asked


def test_another_file_in_its_place_stays(baton: Baton, mirror: FileServer, tmp_path: Path) -> None:
    mine = tmp_path / "tiny-imagenet-200.zip"
    mine.write_text("mine")
    result = baton("tiny-imagenet-200", "--to", str(tmp_path))
    assert (result.exit_code, "exists, but it is another file: sha256:" in result.stderr) == (4, True), result.output
    assert mine.read_text() == "mine"


def test_wrong_bytes_end_in_words(baton: Baton, mirror: FileServer, tmp_path: Path) -> None:
    mirror.content = b"wrong" * 100
    result = baton("tiny-imagenet-200", "--to", str(tmp_path))
    assert (result.exit_code, "came twice with sha256:" in result.stderr) == (1, True), result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits"], "'digits' is no data set to download; choose one of: tiny-imagenet-200"),
        (["tiny-imagenet-200", "--url", "file:///etc/passwd"], "must begin with http"),
        (["tiny-imagenet-200", "--checksum", "abc"], "must be md5:"),
    ],
)
def test_bad_usage(baton: Baton, arguments: list[str], words: str) -> None:
    result = baton(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.output
