"""`baton doctor` checks the disks that Baton writes to, not the disk of the current folder."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from baton.cli import disk_checks as module
from baton.cli.disk_checks import Disk, disks, places
from baton.cli.doctor import disk_space, fetched_data
from baton.system.data_cache import data_folder
from baton.system.file_locks import shared


def test_what_the_settings_name_is_looked_at(tmp_path: Path) -> None:
    environment = {
        "BATON_DATABASE_URL": f"sqlite:///{tmp_path}/data/baton.db",
        "BATON_STORE": (tmp_path / "a store").as_uri(),
        "BATON_CACHE": str(tmp_path / "cache"),
    }
    assert dict(places(environment)) == {
        "database": tmp_path / "data/baton.db",
        "store": tmp_path / "a store",
        "worker's cache": tmp_path / "cache",
        "temporary files": Path(tempfile.gettempdir()),
    }
    (found,) = [disk for disk in disks(environment) if "store" in disk.uses]
    assert (found.folder, found.full, found.wrong) == (tmp_path, False, None)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_on_other_machines_is_not(tmp_path: Path) -> None:
    environment = {"BATON_DATABASE_URL": "postgresql+psycopg://b:p@db/baton", "BATON_STORE": "gs://bucket/x"}
    assert {use for use, _ in places(environment)} == {"worker's cache", "temporary files"}


def test_without_settings_it_is_what_baton_up_would_take() -> None:
    found = dict(places({}))
    assert (found["database"], found["store"]) == (Path(".baton/baton.db"), Path(".baton/store"))


@pytest.mark.parametrize(
    ("code", "full", "words"),
    [
        (errno.ENOSPC, True, "full, for "),
        (errno.EDQUOT, True, "full, for "),
        (errno.EROFS, False, "not writable (Read-only"),
        (errno.EACCES, False, "GB free for "),
    ],
)
def test_a_disk_that_takes_no_write_is_told(
    code: int, full: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("DATABASE_URL", "STORE", "CACHE"):
        monkeypatch.delenv(f"BATON_{name}", raising=False)
    monkeypatch.setenv("BATON_STORE", tmp_path.as_uri())
    monkeypatch.setattr(os, "fsync", refuse)
    (disk,) = [disk for disk in disks() if "store" in disk.uses]
    assert disk.full == full
    told = [finding for finding in disk_space() if str(tmp_path) in finding.text]
    assert words in told[0].text
    assert (told[0].verdict == "bad") == (code != errno.EACCES)


def test_little_room_is_told_before_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(Path("/"), {"store": Path("/store")}, free=10**9)
    monkeypatch.setattr("baton.cli.doctor.disks", lambda: [disk])
    (found,) = disk_space()
    assert (found.verdict, found.text.startswith("1.0 GB free for store /store")) == ("note", True)
    assert disk.free > module.LEAST_FREE


def test_fetched_data_in_the_cache_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_CACHE", str(tmp_path))
    assert list(fetched_data()) == []
    folder = data_folder(tmp_path)
    for key in ("a" * 64, "b" * 64 + ".part"):
        (folder / key / "folder").mkdir(parents=True)
        (folder / key / "folder" / "1.bin").write_bytes(bytes(60_000_000))
    with shared(folder / f"{'b' * 64}.use"):
        (found,) = fetched_data()
    assert (found.verdict, found.text) == ("ok", f"0.1 GB of 2 fetched data sets, 1 in use, in {folder}")
