"""The saves of a local run: folders that are complete or not there at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from baton.program.backend import Mark, Saved, SaveRequest
from baton.program.checks import saved_files
from baton.program.errors import ProgramError
from baton.program.local_tables import replace_file
from baton.system.caches import sync_directory

FORMAT = 1
_META = "save.json"
_PART = "part-"


class LocalSaves:
    """Saves in folders NUMBER-STEP, each with `files/` and save.json. The highest number is the newest.

    A save is written into a folder `part-…`, synchronized, and then renamed. `keep`: the number of saves that stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.glob(f"{_PART}*"):
            shutil.rmtree(left)
        self._number = max((_number(path) for path in self._folder.iterdir()), default=0)

    def newest(self) -> tuple[Saved, Mark] | None:
        """The newest save, and what belongs to it. An unreadable one is renamed, and the one before is used."""
        for path in sorted(self._folder.glob("[0-9]*-*"), key=_number, reverse=True):
            try:
                found = _read(path)
                self._delete_oldest()  # a kill may have come between a save and the deletion after it
                return found
            except (OSError, ValueError, KeyError, TypeError, ProgramError) as error:
                aside = path.with_name(f"damaged-{path.name}")
                path.rename(aside)
                print(f"baton: {path} cannot be used ({error}); it is now {aside.name}", file=sys.stderr)
        return None

    def new_folder(self) -> Path:
        """An empty folder for the files of the next save."""
        self._number += 1
        files = self._folder / f"{_PART}{self._number:08}" / "files"
        files.mkdir(parents=True)
        return files

    def commit(self, files: Path, save: SaveRequest, mark: Mark) -> None:
        """Makes the save durable, and deletes the oldest ones."""
        part = files.parent
        found = saved_files(files)
        for name in found:
            _sync_file(files / name)
        for path in files.rglob("*"):
            if path.is_dir():
                sync_directory(path)
        sync_directory(files)
        meta = {**vars(save), "format": FORMAT, "files": found, "mark": vars(mark)}
        replace_file(part / _META, json.dumps(meta, indent=1).encode())
        part.rename(self._folder / f"{part.name.removeprefix(_PART)}-{save.step}")
        sync_directory(self._folder)
        self._delete_oldest()

    def _delete_oldest(self) -> None:
        for old in sorted(self._folder.glob("[0-9]*-*"), key=_number)[: -self._keep]:
            # Renamed first: a kill in the middle of the deletion must not leave half of a save.
            shutil.rmtree(old.rename(old.with_name(f"{_PART}{old.name}")))


def _number(path: Path) -> int:
    found = re.search(r"\d+", path.name)  # also in the name of a damaged save, so that no number is used twice
    return int(found[0]) if found else 0


def _read(path: Path) -> tuple[Saved, Mark]:
    meta: dict[str, Any] = json.loads((path / _META).read_bytes())
    if meta["format"] != FORMAT:
        raise ValueError(f"format {meta['format']} is newer than this version of Baton")
    files = path / "files"
    if saved_files(files) != meta["files"]:
        raise ValueError("files are missing, or have another size")
    mark = Mark(**meta["mark"])
    return Saved(meta["step"], meta["epoch"], meta["cursor"], files, mark.last_epoch), mark


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
