"""The cache of decoded images is written once and completely, even if several processes write or one of them dies."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from baton.system.file_locks import held
from tests.support.mounts import can_unshare
from tests.unit.training.image_cache import cached, listing, pixels
from tests.unit.training.pictures import image_folder
from worker.training.data import cache as cache_module
from worker.training.data import load_images, parallel

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.training.image_cache import listing
from worker.training.data import cache, parallel
parallel.CHUNK_BYTES = 1
at = sys.argv[2]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if at == "temporary":
    cache.os.fchmod = die
if at == "fsync":
    cache.os.fsync = die
if at == "rename":
    cache.Path.replace = die
if at == "renamed":
    cache.sync_directory = die
cache.cached_images(listing(), name="x", size=8, cache=Path(sys.argv[1]),
                    progress=lambda done, total: die() if str(done) == at else None)
"""

AT_ONCE = """
import sys
from pathlib import Path
from tests.unit.training.image_cache import listing, pixels
from worker.training.data import cache, parallel
parallel.CHUNK_BYTES = 1
def read(i):
    with (Path(sys.argv[1]).parent / "reads").open("a") as out:
        out.write(f"{i}\\n")
    return pixels(i)
print("ready", flush=True)
sys.stdin.readline()
images = cache.cached_images(listing(read=read), name="x", size=8, cache=Path(sys.argv[1]), progress=lambda *_: None)
print(images[:, 0, 0, 0].tolist() == list(range(20)))
"""


def _files(folder: Path) -> list[str]:
    return sorted(f.suffix for f in folder.iterdir())


def test_second_load_decodes_nothing(tmp_path: Path) -> None:
    first = cached(tmp_path, listing())

    def never(i: int) -> np.ndarray:
        raise AssertionError(i)

    second = cached(tmp_path, listing(read=never))
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second[:, 0, 0, 0], np.arange(20))


def test_order_is_kept_over_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK_BYTES", 8 * 8 * 3 * 3)
    np.testing.assert_array_equal(cached(tmp_path, listing(100))[:, 3, 2, 1], np.arange(100))


def test_builders_at_the_same_time_decode_once(tmp_path: Path) -> None:
    reads: list[int] = []
    both_started = threading.Barrier(4)

    def read(i: int) -> np.ndarray:
        reads.append(i)
        return pixels(i)

    def build() -> None:
        both_started.wait()
        cached(tmp_path, listing(read=read))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reads) == list(range(20))
    assert _files(tmp_path) == [".lock", ".npy"]


@pytest.mark.process
def test_processes_at_the_same_time_decode_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_ONCE, str(tmp_path / "cache")]
    builders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(3)
    ]
    for builder in builders:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "ready\n"
    printed = [builder.communicate("go\n", timeout=60)[0] for builder in builders]
    assert printed == ["True\n"] * 3
    assert sorted(map(int, (tmp_path / "reads").read_text().split())) == list(range(20))
    assert _files(tmp_path / "cache") == [".lock", ".npy"]


@pytest.mark.process
@pytest.mark.parametrize("at", ["temporary", "1", "10", "20", "fsync", "rename", "renamed"])
def test_a_killed_builder_leaves_nothing_that_is_taken_for_a_cache(tmp_path: Path, at: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), at], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert _files(tmp_path) == [".lock", ".npy" if at == "renamed" else ".part"]
    np.testing.assert_array_equal(cached(tmp_path, listing())[:, 0, 0, 0], np.arange(20))
    assert _files(tmp_path) == [".lock", ".npy"]


def test_a_truncated_cache_is_built_again(tmp_path: Path) -> None:
    cached(tmp_path, listing())
    (file,) = tmp_path.glob("*.npy")
    os.truncate(file, file.stat().st_size - 1)
    np.testing.assert_array_equal(cached(tmp_path, listing())[:, 0, 0, 0], np.arange(20))


def test_what_the_killed_builder_of_another_cache_left_goes_too_but_not_what_is_being_built(tmp_path: Path) -> None:
    for key in ("dead", "alive"):
        (tmp_path / f"{key}.abc.part").write_bytes(b"half")
    with held(tmp_path / "alive.lock"):
        cached(tmp_path, listing())
    assert sorted(f.name for f in tmp_path.glob("*.part")) == ["alive.abc.part"]


def test_who_waits_sees_how_far_the_builder_is(tmp_path: Path) -> None:
    first, second, go_on = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def read(i: int) -> np.ndarray:
        if i == 10:
            first.set()
            assert go_on.wait(30)
        return pixels(i)

    def waits(done: int, total: int) -> None:
        seen.append(done)
        second.set()
        go_on.set()

    builder = threading.Thread(target=lambda: cached(tmp_path, listing(read=read)))
    builder.start()
    assert first.wait(30)
    cached(tmp_path, listing(), progress=waits)
    builder.join()
    assert second.is_set()
    assert 0 <= seen[0] <= 10


@pytest.mark.process
@pytest.mark.skipif(not can_unshare(), reason="needs a mount of its own")
def test_a_disk_that_is_really_full_leaves_no_cache(tmp_path: Path) -> None:
    command = ["unshare", "-rm", sys.executable, "-m", "tests.unit.training.full_cache", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0


def test_a_disk_that_has_no_room_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(10, 5, 5))
    reads: list[int] = []
    with pytest.raises(JobFailure, match=r"kB are needed, 0\.0 kB are free; make room") as caught:
        cached(tmp_path, listing(read=lambda i: reads.append(i) or pixels(i)))
    assert (caught.value.reason, reads) == ("disk_full", [])


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in its place")
    with pytest.raises(JobFailure, match="cannot be written while caching decoded images") as caught:
        cached(tmp_path / "file", listing())
    assert caught.value.reason == "cache_unusable"

    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache_module.tempfile, "mkstemp", refuse)
    with pytest.raises(JobFailure, match="Permission denied; make it writable, or set BATON_CACHE") as caught:
        cached(tmp_path, listing())
    assert caught.value.reason == "cache_unusable"


def test_a_data_set_that_changes_while_it_is_read_leaves_no_cache(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "d")
    spec = DatasetSpec(name="image-folder", path=str(root))

    def change(_text: str) -> None:
        os.utime(root / "bee" / "03.jpg", ns=(1, 1))

    with pytest.raises(JobFailure, match=r"03\.jpg: changed while the data set was read") as caught:
        load_images(spec, size=16, cache=tmp_path / "cache", seed=1, report=change)
    assert (caught.value.reason, _files(tmp_path / "cache")) == ("bad_data", [".lock"])


def test_disk_full_is_told_with_the_size_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.os, "fsync", full)
    with pytest.raises(JobFailure, match="disk full while caching decoded images") as caught:
        cached(tmp_path, listing())
    assert caught.value.reason == "disk_full"
    assert _files(tmp_path) == [".lock"]


def test_progress_may_stop_the_work(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, listing(), progress=stop)
    assert _files(tmp_path) == [".lock"]


def test_another_size_or_changed_file_is_another_cache(tmp_path: Path) -> None:
    root, cache = image_folder(tmp_path / "d"), tmp_path / "cache"
    spec = DatasetSpec(name="image-folder", path=str(root))
    for size in (8, 16, 8):
        load_images(spec, size=size, cache=cache, seed=size)
    assert len(list(cache.glob("*.npy"))) == 2
    os.utime(root / "ant" / "00.jpg", ns=(1, 1))
    load_images(spec, size=8, cache=cache, seed=1)
    assert len(list(cache.glob("*.npy"))) == 3
