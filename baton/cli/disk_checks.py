"""The disks of this machine that Baton writes to, and whether they accept a write."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from baton.client.connection import DEFAULT_DATA
from baton.system.caches import FULL, default_cache

PROBE_BYTES = 1 << 16
LEAST_FREE = 1 << 20
SQLITE = "sqlite:///"


@dataclass
class Disk:
    """One file system. `uses`: what is on it, e.g. "database", with the path. `wrong`: why it accepts no write."""

    folder: Path
    uses: dict[str, Path] = field(default_factory=dict)
    free: int = 0
    full: bool = False
    wrong: str | None = None

    @property
    def text(self) -> str:
        """What is on this disk."""
        return ", ".join(f"{use} {path}" for use, path in self.uses.items())


def places(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, Path]]:
    """The paths that Baton writes to on this machine, from the settings or the defaults of `baton up`."""
    url = environment.get("BATON_DATABASE_URL", "")
    if not url or url.startswith(SQLITE):
        yield "database", Path(url.removeprefix(SQLITE).split("?")[0]) if url else DEFAULT_DATA / "baton.db"
    store = environment.get("BATON_STORE", "")
    if not store or store.startswith("file:"):
        yield "store", Path(unquote(urlsplit(store).path)) if store else DEFAULT_DATA / "store"
    yield "worker's cache", Path(environment.get("BATON_CACHE") or default_cache())
    with suppress(OSError):  # raised if no folder accepts a file: the other checks show why
        yield "temporary files", Path(tempfile.gettempdir())


def disks(environment: Mapping[str, str] = os.environ) -> list[Disk]:
    """Each file system once, with its uses. Tests it with a small write."""
    found: dict[int, Disk] = {}
    for use, path in places(environment):
        # The folder itself, or its nearest existing parent.
        folder = next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())
        disk = found.setdefault(folder.stat().st_dev, Disk(folder))
        disk.uses[use] = path.absolute()
    for disk in found.values():
        _look(disk)
    return list(found.values())


def _look(disk: Disk) -> None:
    disk.free = shutil.disk_usage(disk.folder).free
    try:
        with tempfile.TemporaryFile(dir=disk.folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        disk.full = error.errno in FULL
        if error.errno not in (errno.EACCES, errno.EPERM):  # no permission: the disk may still work
            disk.wrong = error.strerror or str(error)
    disk.full = disk.full or disk.free < LEAST_FREE
