"""Removes what killed writers left in a cache."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from baton.system.file_locks import free


def sweep(folder: Path, mine: str) -> None:
    """Removes every unfinished file or folder `KEY.RANDOM.part` whose writer has ended (its lock `KEY.lock` is free).

    `mine`: the key whose lock the caller holds. The caller must not have begun to write.
    """
    for part in folder.glob("*.part"):
        key = part.name.rsplit(".", 2)[0]
        if key == mine:
            remove(part)
            continue
        with free(folder / f"{key}.lock") as is_free:
            if is_free:
                remove(part)


def remove(path: Path) -> None:
    """Removes a file, or a folder with its content, also a read-only one. Does nothing if it does not exist."""
    if path.is_dir() and not path.is_symlink():
        for parent, _, _ in os.walk(path):
            with suppress(OSError):
                Path(parent).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
