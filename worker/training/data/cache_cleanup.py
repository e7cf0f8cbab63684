"""What killed writers of caches left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from baton.system.file_locks import free


def sweep(folder: Path, mine: str) -> None:
    """Removes every unfinished file or folder `KEY.RANDOM.part` whose writer is gone, as its lock `KEY.lock` tells.

    `mine`: the key whose lock the caller holds, before it begins to write.
    """
    for part in folder.glob("*.part"):
        key = part.name.rsplit(".", 2)[0]
        if key == mine:
            remove(part)
            continue
        with free(folder / f"{key}.lock") as nobody:
            if nobody:
                remove(part)


def remove(path: Path) -> None:
    """A file or a folder with all that is in it; nothing, if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
