"""Restricts dataset.path to some directories, for a worker that can read more than its users may read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.ipc.progress import advanced
from worker.training.data.failures import bad_data


def check_path(path: Path, roots: Sequence[Path]) -> None:
    """Checks that the path, a directory or a file, and all links below it lead into a root. No roots: no check.

    Raises JobFailure: bad_data. Its text shows nothing about paths outside of the roots, not even whether they exist.
    """
    if not roots:
        return
    real = [Path(os.path.realpath(root)) for root in roots]
    if not _inside(path, real):
        names = ", ".join(map(str, roots))
        bad_data(
            f"dataset.path: {path} is outside of the directories that this worker gives to jobs "
            f"(BATON_DATA_ROOTS): {names}"
        )
    for link in _links(path):
        if not _inside(link, real):
            bad_data(
                f"dataset.path: the link {link} leads out of the directories that this worker gives to jobs "
                "(BATON_DATA_ROOTS)"
            )


def _inside(path: Path, roots: Sequence[Path]) -> bool:
    found = Path(os.path.realpath(path))
    return any(found.is_relative_to(root) for root in roots)


def _links(folder: Path) -> Iterator[Path]:
    """All symbolic links below a folder, and below the directories to which they lead. Reads each directory once."""
    seen: set[str] = set()
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        advanced()
        for entry in _entries(here):
            if entry.is_symlink():
                yield Path(entry.path)
            if entry.is_dir():
                waiting.append(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []  # not a directory, or not readable: listing the images reports that
