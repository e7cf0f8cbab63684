"""Data files that cannot be read to the end, or whose read never returns: the error names them, and the loop is not
blocked.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from tests.support.gcs import until
from tests.unit.training.loaders import loader, spec
from tests.unit.training.pictures import image_folder, tiny_imagenet
from worker.ipc.progress import CELL
from worker.training.data import Split, load_images
from worker.training.data.decode import read_rgb
from worker.training.data.listing import Listing
from worker.training.data.parallel import decode_all
from worker.training.input.host_source import BatchSource

KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "a directory": lambda file: file.mkdir(),
}


class Cancelled(Exception):
    """Raised by a loop that checks for orders."""


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_no_regular_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    root = image_folder(tmp_path / "data")
    odd = root / "bee" / "zzz.png"
    KINDS[kind](odd)
    if kind != "a directory":  # that is a subfolder of the class
        with pytest.raises(JobFailure, match=f"bee/zzz.png: is {kind} and not a regular file") as found:
            load_images(DatasetSpec(name="image-folder", path=str(root)), size=8, cache=tmp_path / "cache", seed=1)
        assert found.value.reason == "bad_data"
    # For callers that list files in another way.
    with pytest.raises(JobFailure, match=f"is {kind} and not a regular file"):
        read_rgb(odd)


@pytest.mark.parametrize("name", ["words.txt", "wnids.txt"])
def test_no_other_file_of_a_data_set_is_waited_for(tmp_path: Path, name: str) -> None:
    root = tiny_imagenet(tmp_path / "data")
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    found = DatasetSpec(name="tiny-imagenet-200", path=str(root))
    try:
        load_images(found, size=8, cache=tmp_path / "cache", seed=1)
    except JobFailure as error:
        assert f"{name}: is a FIFO and not a regular file" in str(error)


def test_an_archive_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.zip")
    found = DatasetSpec(name="image-folder", path=str(tmp_path / "data.zip"))
    with pytest.raises(JobFailure, match=r"data\.zip: is a FIFO and not a regular file"):
        load_images(found, size=8, cache=tmp_path / "cache", seed=1)


def test_a_mount_that_hangs_does_not_hold_up_an_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, never = spec(image_folder(tmp_path / "data")), threading.Event()
    monkeypatch.setattr("worker.training.data.listing.read_content", lambda _file: never.wait())
    looked = []

    def boundary() -> None:
        looked.append(True)
        if len(looked) == 3:
            raise Cancelled

    try:
        with pytest.raises(Cancelled):
            loader(of, tmp_path / "cache").at(8, boundary)
    finally:
        never.set()


def test_who_waits_for_images_hears_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.fetched.prefetch.LOOK_SECONDS", 0.01)
    gate, heard = threading.Event(), []

    def read(i: int) -> np.ndarray:
        if i == 5:
            gate.wait()
        return np.full((8, 8, 3), i, np.uint8)

    def waiting(images: int) -> None:
        heard.append(images)
        if images == 5:
            gate.set()

    what = Listing(("a", "b"), np.zeros(8, np.int32), 8, ("x",), read)
    (chunk,) = decode_all(what, 8, 1, waiting)
    assert len(chunk.images) == 8
    assert max(heard) >= 5
    assert heard == sorted(heard)


@pytest.mark.process
def test_an_augmentation_process_that_does_not_answer_holds_up_nobody() -> None:
    split = Split.of(np.zeros((8, 8, 8, 3), np.uint8), np.zeros(8, np.int32))
    looked, stopped = [], []

    def waiting() -> None:
        if stopped:  # the helper process may need time to start
            looked.append(CELL.seen())
        if len(looked) == 2:
            raise Cancelled

    source = BatchSource(
        split,
        policy="paper-1",
        seed=1,
        stage=0,
        batch_size=4,
        steps_per_epoch=1000,
        processes=1,
        waiting=waiting,
    )
    try:
        batches = source.batches(0)
        next(batches)
        (pid,) = source.pids
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
        with pytest.raises(Cancelled):
            for _ in batches:
                pass
    finally:
        source.close()
    first, second = looked
    assert first.advances == second.advances  # waiting is not progress
    assert second.doing == f"waiting for a batch of augmentation process {pid}"
    until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the process to be gone")
