"""Fills the disk below a cache, in a private mount namespace: `unshare -rm python -m ... DIRECTORY`."""

import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np

from baton.domain.downloads import Download
from baton.domain.errors import JobFailure
from baton.transfer import Wants, fetch
from tests.support.file_server import serving
from tests.unit.training.archives import unpack, zip_of
from tests.unit.training.image_cache import cached, listing
from tests.unit.training.pictures import tiny_imagenet

Usage = namedtuple("Usage", "total used free")


def expect_full(act: Callable[[], object], root: Path, *kept: str) -> None:
    """The call fails with `disk_full` and a hint, and no partial file is left except `kept`."""
    try:
        act()
    except JobFailure as error:
        assert error.reason == "disk_full", error
        assert "make room" in str(error)
    else:
        raise AssertionError("no JobFailure was raised")
    left = {path.name.rpartition(".")[2] for path in root.rglob("*") if path.is_file()}
    assert left <= {"lock", *kept}, left
    for path in root.rglob("*"):
        if path.is_file():
            path.unlink()


def scenario(root: Path, archive: Path) -> None:
    """Run each writer on a disk of 1 MiB, with and without its check of the free space."""
    large = listing(read=lambda i: np.full((200, 200, 3), i, np.uint8))
    with serving(bytes(3_000_000), sized=False) as server:
        for _ in range(2):
            expect_full(lambda: cached(root / "c", large, size=200), root)
            expect_full(lambda: unpack(archive, root / "u"), root)
            expect_full(
                lambda: fetch(Download("x.zip", server.url), root / "d" / "x.zip", Wants()), root, "part", "json"
            )
            shutil.disk_usage = lambda _folder: Usage(10**12, 0, 10**12)


def main(folder: Path) -> None:
    archive = zip_of(tiny_imagenet(folder / "t", each=150), folder / "t.zip")
    (folder / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder / "disk")], check=True)
    scenario(folder / "disk", archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
