"""Fills the disk below a directory store, in a private mount namespace: `unshare -rm python -m ... DIRECTORY`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from baton.storage import BlobStore, StoreFull, open_store


def expect_full(act: Callable[[], object]) -> None:
    try:
        act()
    except StoreFull as error:
        assert "make room" in str(error)
    else:
        raise AssertionError("no StoreFull was raised")


def scenario(store: BlobStore, root: Path, too_much: int) -> None:
    """A disk with space for `too_much` bytes only once: existing objects stay, and no partial object is left."""
    store.put("a", b"before")
    expect_full(lambda: store.put("a", bytes(2 * too_much)))
    expect_full(lambda: store.put("b", bytes(2 * too_much), if_absent=True))
    store.put("big", bytes(too_much))
    expect_full(lambda: store.copy("big", "c"))
    expect_full(lambda: store.download("big", root / "target"))
    assert [info.name for info in store.list()] == ["a", "big"]
    assert not (root / "target").exists()
    assert not list((root / ".baton-tmp").iterdir())
    store.delete("big")
    store.put("a", bytes(too_much))


def main(root: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(root)], check=True)
    store = open_store(root.as_uri())
    scenario(store, root, 600_000)
    expect_full(store.check)  # the disk has no space for a checkpoint


if __name__ == "__main__":
    main(Path(sys.argv[1]))
