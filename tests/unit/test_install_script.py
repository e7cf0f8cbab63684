"""service/install/worker.py: what it refuses, and what it sends to whom."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.install import worker
from tests.support.file_server import FileServer, serving

CONTENT = b"a wheel"
RELEASE: dict[str, Any] = {
    "version": "9.8.7",
    "python": [[3, 11], [3, 14]],
    "wheel": {"name": "w.whl", "sha256": hashlib.sha256(b"another wheel").hexdigest()},
    "cpu": {"name": "cpu.txt", "sha256": hashlib.sha256(b"").hexdigest()},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(worker, "RELEASE", RELEASE)
    with serving(CONTENT) as running:
        yield running


def run(folder: Path, url: str) -> int:
    return worker.main(["--service", url, "--token", "t", "--folder", str(folder), "--device", "cpu"])


def test_a_redirect_is_not_followed_with_the_token(server: FileServer) -> None:
    with serving(CONTENT, redirect=server.url) as first, pytest.raises(worker.Problem, match="answered 30"):
        worker.fetch(first.url, "t")
    assert [one["authorization"] for one in first.asked] == ["Bearer t"]
    assert server.asked == []


def test_a_broken_download_is_tried_again(server: FileServer) -> None:
    server.breaks = [3]
    assert worker.fetch(server.url, "t") == CONTENT
    assert len(server.asked) == 2


def test_a_file_with_another_checksum_is_not_kept(
    tmp_path: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, server.url) == worker.BAD_START
    assert "w.whl has another SHA-256 than this script expects" in capsys.readouterr().err
    assert not (tmp_path / "w.whl").exists()


@pytest.mark.parametrize(
    ("python", "words"),
    [((3, 10), "This is Python 3.10, and Baton 9.8.7 needs 3.11 to 3.13"), ((3, 14), "This is Python 3.14")],
)
def test_a_python_that_is_too_old_or_too_new_is_named(
    tmp_path: Path,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    python: tuple[int, int],
    words: str,
) -> None:
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))
    assert run(tmp_path, server.url) == worker.BAD_START
    assert words in capsys.readouterr().err
    assert server.asked == []


def test_a_disk_that_is_too_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(worker.ROOM, "cpu", 10**18)
    with pytest.raises(worker.Problem, match=r"has .* GB free and the installation needs 1000000000 GB"):
        worker.check_room(tmp_path, "cpu")


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(tmp_path / "file" / "x", server.url) == worker.BAD_START
    assert "Cannot install in" in capsys.readouterr().err
