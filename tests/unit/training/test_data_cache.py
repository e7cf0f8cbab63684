"""The cache of decoded images: written once, whole or not at all, whoever writes at the same time or dies meanwhile."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.domain.errors import JobFailure
from tests.unit.training.pictures import image_folder
from worker.training.data import cache as cache_module
from worker.training.data import parallel
from worker.training.data.cache import cached_images
from worker.training.data.listing import Listing

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.training.test_data_cache import listing
from worker.training.data import cache, parallel
parallel.CHUNK_BYTES = 1
cache.cached_images(listing(), name="x", size=8, cache=Path(sys.argv[1]),
                    progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done > 2 else None)
"""


def _pixels(i: int) -> np.ndarray:
    return np.full((8, 8, 3), i, np.uint8)


def listing(n: int = 20, read: Callable[[int], np.ndarray] = _pixels) -> Listing:
    return Listing(("a", "b"), np.arange(n, dtype=np.int32) % 2, n, ("test",), read)


def _cached(folder: Path, what: Listing, **arguments: object) -> np.ndarray:
    settings = {"name": "x", "size": 8, "cache": folder, "progress": lambda done, total: None, **arguments}
    return cached_images(what, **settings)  # type: ignore[arg-type]  # a test's shorthand


def _files(folder: Path) -> list[str]:
    return sorted(f.suffix for f in folder.iterdir())


def test_second_load_decodes_nothing(tmp_path: Path) -> None:
    first = _cached(tmp_path, listing())

    def never(i: int) -> np.ndarray:
        raise AssertionError(i)

    second = _cached(tmp_path, listing(read=never))
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second[:, 0, 0, 0], np.arange(20))


def test_order_is_kept_over_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK_BYTES", 8 * 8 * 3 * 3)
    np.testing.assert_array_equal(_cached(tmp_path, listing(100))[:, 3, 2, 1], np.arange(100))


def test_builders_at_the_same_time_decode_once(tmp_path: Path) -> None:
    reads: list[int] = []
    both_started = threading.Barrier(4)

    def read(i: int) -> np.ndarray:
        reads.append(i)
        return _pixels(i)

    def build() -> None:
        both_started.wait()
        _cached(tmp_path, listing(read=read))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reads) == list(range(20))
    assert _files(tmp_path) == [".lock", ".npy"]


def test_a_killed_builder_leaves_nothing_that_is_taken_for_a_cache(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert _files(tmp_path) == [".lock", ".part"]
    np.testing.assert_array_equal(_cached(tmp_path, listing())[:, 0, 0, 0], np.arange(20))
    assert _files(tmp_path) == [".lock", ".npy"]


def test_a_truncated_cache_is_built_again(tmp_path: Path) -> None:
    _cached(tmp_path, listing())
    (file,) = tmp_path.glob("*.npy")
    os.truncate(file, file.stat().st_size - 1)
    np.testing.assert_array_equal(_cached(tmp_path, listing())[:, 0, 0, 0], np.arange(20))


def test_disk_full_is_told_with_the_size_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.os, "fsync", full)
    with pytest.raises(JobFailure, match="disk full while caching decoded images") as caught:
        _cached(tmp_path, listing())
    assert caught.value.reason == "disk_full"
    assert _files(tmp_path) == [".lock"]


def test_progress_may_stop_the_work(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _cached(tmp_path, listing(), progress=stop)
    assert _files(tmp_path) == [".lock"]


def test_another_size_or_changed_file_is_another_cache(tmp_path: Path) -> None:
    from core.domain.spec import DatasetSpec
    from worker.training.data import load_images

    root, cache = image_folder(tmp_path / "d"), tmp_path / "cache"
    spec = DatasetSpec(name="image-folder", path=str(root))
    for size in (8, 16, 8):
        load_images(spec, size=size, cache=cache, seed=size)
    assert len(list(cache.glob("*.npy"))) == 2
    os.utime(root / "ant" / "00.jpg", ns=(1, 1))
    load_images(spec, size=8, cache=cache, seed=1)
    assert len(list(cache.glob("*.npy"))) == 3
