"""A full disk, a missing root, and file system errors of a directory store."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from baton.storage import BlobStore, StoreConfigError, StoreUnavailable, open_store
from tests.contract.directory.temporary_files import size_of
from tests.contract.full_disk import scenario
from tests.contract.objects import names
from tests.support.mounts import can_unshare


@pytest.mark.process
def test_a_full_disk_is_store_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    command = ["unshare", "-rm", sys.executable, "-m", "tests.contract.full_disk", str(root)]
    if can_unshare():
        assert subprocess.run(command, check=False).returncode == 0
    else:  # this machine does not allow private mounts: simulate a full disk
        monkeypatch.setattr(os, "write", full_after(root, 1_000_000))
        scenario(open_store(root.as_uri()), root, 600_000)


def full_after(root: Path, room: int) -> Callable[[int, bytes], int]:
    """A replacement of os.write for a disk with space for this many bytes below the root."""
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        used = sum(size_of(path) for path in root.rglob("*") if path.is_file())
        if used + len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    return limited


def test_a_root_that_vanished_is_unavailable(store: BlobStore, root: Path) -> None:
    shutil.rmtree(root)
    for call in (
        store.check,
        lambda: store.put("a", b"1"),
        lambda: store.get("a"),
        lambda: store.stat("a"),
        lambda: names(store),
    ):
        with pytest.raises(StoreUnavailable, match="is missing"):
            call()
    assert not root.exists()


def test_a_file_system_without_links_is_named_by_check(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(StoreConfigError, match="hard links"):
        store.check()


def test_a_lost_permission_is_a_config_error(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StoreConfigError, match="read and write access"):
        store.check()


def test_an_io_error_is_unavailable(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        store.put("a", b"1")
    assert names(store) == []


def test_a_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreConfigError, match="Cannot create"):
        open_store((tmp_path / "file" / "store").as_uri())
