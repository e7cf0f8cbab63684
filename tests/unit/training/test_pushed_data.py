"""Pushed data on a worker: fetched once for each machine, verified, continued after a kill, evicted when unused."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from baton.domain.data_manifest import DataManifest, manifest_object, pack_object
from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from baton.storage import StoreUnavailable
from baton.storage.directory import DirectoryStore
from baton.system import data_cache, file_locks
from baton.system.data_cache import bytes_on_disk, cached_data, data_folder
from tests.support.pushed_data import CountedStore, push, reference
from tests.unit.training.archives import zip_of
from tests.unit.training.loaders import Control, loader, spec
from tests.unit.training.pictures import image_folder
from worker.fetched.store_reads import THREADS
from worker.ipc.progress import CELL
from worker.training.data import load_images
from worker.training.data.remote import RemoteData

Usage = namedtuple("Usage", "total used free")
MB = 1 << 20


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def folder_of(root: Path, files: int = 20, size: int = 4096) -> Path:
    """Files of random bytes in two folders."""
    for k in range(files):
        path = root / f"class-{k % 2}" / f"{k:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(f"{root.name}{k}").randbytes(size))
    return root


def fetch(
    store: DirectoryStore,
    manifest: DataManifest,
    cache: Path,
    report: Callable[[str], None] = lambda _text: None,
    limit: int = 0,
) -> Path:
    """One attempt that fetches the data and ends."""
    remote = RemoteData(cache, store=lambda: store, limit=limit)
    try:
        return remote.path(DatasetSpec(name="image-folder", data=reference(manifest)), report)
    finally:
        remote.close()


def failure(store: DirectoryStore, manifest: DataManifest, cache: Path, limit: int = 0) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        fetch(store, manifest, cache, limit=limit)
    assert not (data_folder(cache) / manifest.digest).exists()
    return caught.value


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    return CountedStore(tmp_path / "store")


@pytest.mark.parametrize("zipped", [False, True])
def test_it_is_the_same_data_as_the_folder_and_the_next_attempt_reads_nothing(
    tmp_path: Path, store: CountedStore, zipped: bool
) -> None:
    root = image_folder(tmp_path / "flowers")
    manifest = push(store, zip_of(root, tmp_path / "flowers.zip") if zipped else root)
    before = load_images(DatasetSpec(name="image-folder", path=str(root)), size=16, cache=tmp_path / "0", seed=1)
    for _ in range(2):
        remote, said = RemoteData(tmp_path / "cache", store=lambda: store), list[str]()
        data = load_images(
            DatasetSpec(name="image-folder", data=reference(manifest)),
            size=16,
            cache=tmp_path / "cache",
            seed=1,
            report=said.append,
            remote=remote,
        )
        remote.close()
        assert data.identity is not None and before.identity is not None
        assert data.identity.digest == before.identity.digest
        kinds = list(dict.fromkeys(text.split()[0] for text in said))
        if store.reads:
            assert kinds == ["fetching", "checking", *(["unpacking"] if zipped else []), "decoding"]
            assert any(text.startswith("fetching data photos: ") and " of " in text for text in said)
            store.reads.clear()
    assert (said, store.reads) == ([], [])


def test_large_equal_and_empty_files(tmp_path: Path, store: CountedStore) -> None:
    root = folder_of(tmp_path / "d", files=3)
    (root / "large.bin").write_bytes(random.Random(1).randbytes(3 * MB))
    (root / "zeros.bin").write_bytes(bytes(3 * MB))
    (root / "empty").touch()
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "ünïcode 1.bin").write_bytes(b"x")
    manifest = push(store, root, pack_bytes=MB)
    assert content(fetch(store, manifest, tmp_path / "cache")) == content(root)
    assert len(store.packs) == len({pack.sha256 for pack in manifest.packs}) < len(manifest.packs)


def test_one_attempt_with_images_of_two_sizes_fetches_once_and_counts_progress(
    tmp_path: Path, store: CountedStore
) -> None:
    manifest = push(store, image_folder(tmp_path / "d"))
    job = spec(tmp_path / "d", path=None, data=reference(manifest))
    control = Control()
    control.store = store
    loading, before = loader(job, tmp_path / "cache", control=control), CELL.seen().advances
    sizes = [loading.at(size, lambda: None).train.images.shape[1] for size in (8, 16)]
    loading.close()
    assert (sizes, len(store.packs)) == ([8, 16], len(manifest.packs))
    assert CELL.seen().advances - before >= len(manifest.packs)


CHILD = """
import os, signal, sys
from pathlib import Path
from baton.domain.spec import DatasetSpec
from tests.support.pushed_data import CountedStore
from worker.training.data.remote import RemoteData
from worker.fetched.store_reads import THREADS
root, cache, data, last, log = sys.argv[1:]
def before(name):
    if "/packs/" in name and len(store.packs) >= int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    with open(log, "a") as lines:
        lines.write(name + chr(10))
store = CountedStore(Path(root), before)
print(RemoteData(Path(cache), store=lambda: store).path(DatasetSpec(name="image-folder", data=data), lambda _: None))
"""


def child(store: CountedStore, manifest: DataManifest, tmp_path: Path, last: int) -> subprocess.Popen[str]:
    """A process that fetches, and is killed when it begins to read the pack with the number `last`."""
    root = str(tmp_path / "store")
    arguments = [root, str(tmp_path / "cache"), reference(manifest), str(last), str(tmp_path / "log")]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_processes_at_once_fetch_once(tmp_path: Path, store: CountedStore) -> None:
    root = folder_of(tmp_path / "d", files=60)
    manifest = push(store, root)
    processes = [child(store, manifest, tmp_path, 10**9) for _ in range(3)]
    found = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(found) == 1
    assert content(Path(found.pop())) == content(root)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(manifest.packs) + 1


@pytest.mark.process
def test_a_killed_fetch_is_continued_and_what_it_left_damaged_is_fetched_again(
    tmp_path: Path, store: CountedStore
) -> None:
    root = folder_of(tmp_path / "d", files=60)
    (root / "large.bin").write_bytes(random.Random(1).randbytes(40 * 4096))
    manifest = push(store, root)
    killed = child(store, manifest, tmp_path, 50)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    part = data_folder(tmp_path / "cache") / f"{manifest.digest}.part"
    there = [path for path in part.rglob("*.bin") if path.stat().st_size == 4096]
    assert 30 <= len(there) < 60
    there[0].write_bytes(bytes(4096))  # a crash of the machine lost it
    there[1].write_bytes(b"short")
    (part / "folder" / ".class.tmp").write_bytes(b"of an unknown writer")
    assert content(fetch(store, manifest, tmp_path / "cache")) == content(root)
    # At most THREADS packs were on their way, and two were damaged.
    assert len(manifest.packs) - 50 <= len(store.packs) <= len(manifest.packs) - 50 + THREADS + 2


def test_a_missing_and_a_damaged_pack_are_named_and_a_repaired_store_is_enough(
    tmp_path: Path, store: CountedStore
) -> None:
    root = folder_of(tmp_path / "d")
    manifest = push(store, root)
    name = pack_object(manifest.packs[7].sha256)
    whole = store.get(name)
    for damaged in (None, whole[:-1], b"x" + whole[1:], whole + b"x"):
        store.delete(name) if damaged is None else store.put(name, damaged)
        found = failure(store, manifest, tmp_path / "cache")
        assert found.reason == "store_refused"
        assert str(found).startswith(f"dataset.data: data photos: its pack {name} ")
        assert str(found).endswith("push it again with `baton data push`: data that the store has is not sent again")
    store.put(name, whole)
    store.reads.clear()
    assert content(fetch(store, manifest, tmp_path / "cache")) == content(root)
    assert len(store.packs) < len(manifest.packs)  # the others were kept


def test_a_missing_wrong_and_contradicting_list_of_files(tmp_path: Path, store: CountedStore) -> None:
    manifest, other = push(store, folder_of(tmp_path / "d")), push(store, folder_of(tmp_path / "e"))
    name = manifest_object(manifest.digest)
    swapped = DataManifest(kind="folder", files=manifest.files, packs=other.packs)
    for content, why in (
        (None, "is not in the store"),
        (b"junk", "is damaged"),
        (other.encode(), "belongs to other data"),
        (swapped.encode(), "does not fit its packs"),
    ):
        store.delete(name) if content is None else store.put(name, content)
        found = failure(store, manifest, tmp_path / "cache")
        assert (found.reason, why in str(found)) == ("store_refused", True), found


def test_an_unavailable_store_is_waited_for_and_the_status_says_so(
    tmp_path: Path, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = push(store, folder_of(tmp_path / "d"))
    told: list[str] = []

    def before(name: str) -> None:
        if "/packs/" in name and not any("trying again: no answer" in text for text in told):
            raise StoreUnavailable("no answer")

    store.before = before
    fetch(store, manifest, tmp_path / "cache", told.append)
    assert len(store.packs) == len(manifest.packs)
    shutil.rmtree(tmp_path / "cache")
    told.clear()
    monkeypatch.setattr("worker.fetched.store_reads.STORE_SECONDS", 0.0)
    with pytest.raises(StoreUnavailable):
        fetch(store, manifest, tmp_path / "cache")


def test_a_stop_ends_it_at_once_and_keeps_what_is_there(tmp_path: Path, store: CountedStore) -> None:
    manifest = push(store, folder_of(tmp_path / "d", files=100))

    def stop(_text: str) -> None:
        if len(store.packs) >= 30:
            raise KeyboardInterrupt

    store.before = lambda _name: time.sleep(0.01)
    with pytest.raises(KeyboardInterrupt):
        fetch(store, manifest, tmp_path / "cache", stop)
    read = len(store.packs)
    assert 30 <= read < len(manifest.packs)
    fetch(store, manifest, tmp_path / "cache")
    assert len(store.packs) < 2 * len(manifest.packs) - 20


def test_a_full_disk_says_what_is_needed_and_where(
    tmp_path: Path, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = push(store, folder_of(tmp_path / "d", files=20, size=100_000), pack_bytes=MB)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _folder: Usage(10 * MB, 9 * MB, MB))
        found = failure(store, manifest, tmp_path / "cache")
    text = f"disk full while fetching data photos in {data_folder(tmp_path / 'cache')}: 2.08 MB are needed, 1.05 MB"
    assert (found.reason, str(found)[: len(text)]) == ("disk_full", text)
    assert store.packs == []

    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        found = failure(store, manifest, tmp_path / "cache")
    assert found.reason == "disk_full"
    assert f"fetching data photos in {data_folder(tmp_path / 'cache')}" in str(found)
    assert "2.08 MB are needed" in str(found)
    fetch(store, manifest, tmp_path / "cache")


def test_the_least_recently_used_data_goes_and_what_is_in_use_stays(tmp_path: Path, store: CountedStore) -> None:
    one, two, three, four = (push(store, folder_of(tmp_path / name, size=10_000)) for name in "abcd")
    cache, folder = tmp_path / "cache", data_folder(tmp_path / "cache")
    used = RemoteData(cache, store=lambda: store)
    used.path(DatasetSpec(name="image-folder", data=reference(one)), lambda _text: None)
    fetch(store, two, cache)
    fetch(store, three, cache)
    for age, manifest in enumerate((three, two, one)):  # `one` is the oldest, and in use
        os.utime(folder / f"{manifest.digest}.use", (age and 1000 - age,) * 2 if age else (2000, 2000))
    size = bytes_on_disk(folder / one.digest)
    limit = 3 * size + size // 2
    fetch(store, four, cache, limit=limit)
    assert {found.key for found in cached_data(folder)} == {one.digest, three.digest, four.digest}
    text = str(failure(store, two, cache, limit=size + size // 2))  # only `one` cannot be deleted
    assert "BATON_CACHE_BYTES allows" in text and str(folder) in text
    assert {found.key for found in cached_data(folder) if found.complete} == {one.digest}
    used.close()
    fetch(store, two, cache, limit=size + size // 2)
    assert {found.key for found in cached_data(folder)} == {two.digest}
    assert not list(folder.glob("*.gone"))


def test_without_a_limit_unused_data_goes_when_the_disk_is_nearly_full(
    tmp_path: Path, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (push(store, folder_of(tmp_path / name, size=10_000)) for name in "ab")
    cache, folder = tmp_path / "cache", data_folder(tmp_path / "cache")
    fetch(store, one, cache)
    size, room = bytes_on_disk(folder / one.digest), 10 * MB
    # The disk has room for 1.5 such data sets.
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _folder: Usage(room, 0, size + size // 2 - data_cache.bytes_on_disk(folder))
    )
    fetch(store, two, cache)
    assert {found.key for found in cached_data(folder)} == {two.digest}


def test_a_process_that_stopped_while_it_holds_the_cache_does_not_block_for_ever(
    tmp_path: Path, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = push(store, folder_of(tmp_path / "d"))
    folder = data_folder(tmp_path / "cache")
    folder.mkdir(parents=True)
    monkeypatch.setattr(file_locks, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr("worker.fetched.entries.WORK_SECONDS", 0.3)
    for kind in ("lock", "use"):
        with file_locks.held(folder / f"{manifest.digest}.{kind}"):
            found = failure(store, manifest, tmp_path / "cache")
        assert (found.reason, "continue it if it is stopped" in str(found)) == ("cache_unusable", True)


def test_what_is_not_pinned_or_not_here_is_refused(tmp_path: Path, store: CountedStore) -> None:
    manifest = push(store, folder_of(tmp_path / "d"))
    with pytest.raises(JobFailure, match=r"dataset.data: photos names no version"):
        RemoteData(tmp_path, store=lambda: store).path(DatasetSpec(name="image-folder", data="photos"), print)
    named = DatasetSpec(name="image-folder", data=reference(manifest))
    with pytest.raises(JobFailure, match="is not in the cache of this machine; fetch it with `baton data pull`"):
        RemoteData(tmp_path / "cache").path(named, print)
    fetched = fetch(store, manifest, tmp_path / "cache")
    assert RemoteData(tmp_path / "cache").path(named, print) == fetched
