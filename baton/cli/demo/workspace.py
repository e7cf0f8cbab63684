"""The demo's directory, which each demo empties."""

from __future__ import annotations

import shutil
from pathlib import Path

from baton.local.data_directory import DataDirectory
from baton.local.errors import StackError

MARKER = ".baton-demo"


def fresh_directory(path: Path) -> Path:
    """An empty directory at `path`. Deletes the files of an earlier demo there.

    Raises:
        StackError: the directory has files that are not from a demo.
        Occupied: another demo runs there.
    """
    root = path.absolute()
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise StackError(f"{root} has files that are not from a demo: choose another directory with --data")
        _require_idle(root)
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).touch()
    return root


def _require_idle(root: Path) -> None:
    data = DataDirectory(root / "stack")
    if data.root.exists():
        with data.locked():
            pass
