"""What only the directory store can get wrong."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from baton.storage import (
    AlreadyExists,
    BlobStore,
    InvalidName,
    NotFound,
    StoreConfigError,
    StoreUnavailable,
    open_store,
)
from tests.contract.full_disk import scenario
from tests.support.gcs import until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> BlobStore:
    return open_store(root.as_uri())


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return tmp_path / "outside"


def names(store: BlobStore, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]


def test_people_find_an_object_under_its_own_name(store: BlobStore, root: Path) -> None:
    store.put("jobs/1/best.keras", b"weights")
    assert (root / "jobs" / "1" / "best.keras").read_bytes() == b"weights"


def test_other_users_may_read_what_the_umask_allows(store: BlobStore, root: Path) -> None:
    mask = os.umask(0o022)
    try:
        store.put("a", b"1")
    finally:
        os.umask(mask)
    assert (root / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("round_", range(4))
def test_a_writer_killed_at_any_moment_leaves_a_whole_object(store: BlobStore, root: Path, round_: int) -> None:
    size = 12_000_000
    command = [sys.executable, "-m", "tests.contract.endless_writer", store.url, "a", str(size)]
    with subprocess.Popen(command) as writer:
        try:
            until(lambda: store.stat("a") is not None, 60, "the writer's first object")
            until(lambda: store.get("a")[0] > round_, 60, "some more")
            # in the middle of a write: its temporary file is there and not yet complete
            until(lambda: any(0 < size_of(temp) < size for temp in temps(root)), 60, "a half-written temporary file")
        finally:
            writer.kill()
    content = store.get("a")
    assert content == bytes([content[0]]) * size
    assert names(store) == ["a"]
    store.put("a", b"next")
    assert store.get("a") == b"next"


def temps(root: Path) -> list[Path]:
    return list((root / ".baton-tmp").iterdir())


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_leftovers_are_not_listed_and_go_after_a_day(store: BlobStore, root: Path) -> None:
    young, old = root / ".baton-tmp" / "young", root / ".baton-tmp" / "old"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    assert names(store) == names(store, ".") == []
    open_store(root.as_uri())
    assert temps(root) == [young]


def test_no_write_leaves_a_temporary_file(store: BlobStore, root: Path) -> None:
    store.put("a", b"1")
    store.copy("a", "b")
    store.check()
    with pytest.raises(AlreadyExists):
        store.put("a", b"2", if_absent=True)
    assert temps(root) == []


def test_a_linked_folder_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "jobs").symlink_to(outside)
    store.put("own", b"1")
    for call in (
        lambda: store.get("jobs/secret"),
        lambda: store.open("jobs/secret"),
        lambda: store.stat("jobs/secret"),
        lambda: store.delete("jobs/secret"),
        lambda: store.put("jobs/new", b"1"),
        lambda: store.put("jobs/deep/new", b"1", if_absent=True),
        lambda: store.copy("own", "jobs/new"),
    ):
        with pytest.raises(InvalidName, match="symbolic link"):
            call()
    assert names(store) == ["own"]
    assert names(store, "jobs/") == []
    assert list(outside.iterdir()) == [outside / "secret"]


def test_a_linked_file_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret")
    for call in (lambda: store.get("link"), lambda: store.stat("link"), lambda: store.copy("link", "b")):
        with pytest.raises(InvalidName, match="symbolic link"):
            call()
    store.put("link", b"own")
    assert store.get("link") == b"own"
    assert (outside / "secret").read_bytes() == b"secret"


def test_deleting_a_link_keeps_what_it_points_to(store: BlobStore, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret")
    store.delete("link")
    assert names(store) == []
    assert (outside / "secret").exists()


def test_a_link_in_place_of_the_temporary_folder_leads_nowhere(store: BlobStore, root: Path, outside: Path) -> None:
    (root / ".baton-tmp").rmdir()
    (root / ".baton-tmp").symlink_to(outside)
    with pytest.raises(InvalidName, match="symbolic link"):
        store.put("a", b"1")
    assert list(outside.iterdir()) == [outside / "secret"]


def test_the_root_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    assert open_store((tmp_path / "link").as_uri()).get("secret") == b"secret"


def test_a_pipe_is_no_object_and_blocks_nobody(store: BlobStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert names(store) == []
    with pytest.raises(NotFound):
        store.get("pipe")


def test_no_name_is_a_folder_of_another(store: BlobStore) -> None:
    store.put("a/b", b"1")
    for if_absent in (False, True):
        with pytest.raises(InvalidName, match="folder"):
            store.put("a", b"2", if_absent=if_absent)
        with pytest.raises(InvalidName, match="already an object"):
            store.put("a/b/c", b"2", if_absent=if_absent)
    assert names(store) == ["a/b"]


def test_an_open_reader_keeps_its_content(store: BlobStore) -> None:
    store.put("a", b"x" * 3_000_000)
    chunks = store.open("a")
    first = next(chunks)
    store.put("a", b"y" * 10)
    assert first + b"".join(chunks) == b"x" * 3_000_000


def test_deletes_that_prune_folders_lose_no_write_beside_them(store: BlobStore, root: Path) -> None:
    start = threading.Barrier(2)

    def put_and_delete(own: str) -> None:
        start.wait(60)
        for _ in range(200):
            store.put(f"deep/er/{own}", b"1")
            assert store.get(f"deep/er/{own}") == b"1"
            store.delete(f"deep/er/{own}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put_and_delete, ["x", "y"]))
    assert list(root.iterdir()) == [root / ".baton-tmp"]


def test_a_full_disk_is_store_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    command = ["unshare", "-rm", sys.executable, "-m", "tests.contract.full_disk", str(root)]
    if can_unshare():
        assert subprocess.run(command, check=False).returncode == 0
    else:  # no mount of our own here: let the system call say it
        monkeypatch.setattr(os, "write", full_after(root, 1_000_000))
        scenario(open_store(root.as_uri()), root, 600_000)


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0


def full_after(root: Path, room: int) -> Callable[[int, bytes], int]:
    """An os.write on a disk with room for so many bytes below the root."""
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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/store",
        "file://srv/store",
        "file:srv",
        "file://[::1/x",
        "s3://bucket",
        "gs://",
        "gs:///x",
        "gs://b/x?y",
    ],
)
def test_other_urls_are_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(StoreConfigError, match="Use file:///absolute/directory or gs://bucket/prefix"):
        open_store(url)


@pytest.mark.parametrize("bucket", ["B_", "b k", "b"])
def test_what_is_no_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(StoreConfigError, match="bucket name"):
        open_store(f"gs://{bucket}/x")


@pytest.mark.parametrize("prefix", ["../x", "a//b", "x" * 121])
def test_a_prefix_that_no_name_could_follow_is_refused(prefix: str) -> None:
    with pytest.raises(StoreConfigError, match="cannot be a store"):
        open_store(f"gs://bucket/{prefix}")


def test_a_directory_user_does_not_pay_for_googles_libraries(root: Path) -> None:
    code = f"import sys; from baton.storage import open_store; open_store({root.as_uri()!r}).put('a', b'1')"
    code += "; print('google.cloud' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
