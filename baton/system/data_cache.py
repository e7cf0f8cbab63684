"""The fetched data sets in the cache directory: their place, their size, and which are in use.

Each data set has a key of 64 hexadecimal digits. In `CACHE/data` there are for a key:

- `KEY/`: the complete entry; `KEY.part/`: an incomplete one. Both hold `folder/` (a data set's folder) or `file/` (one
  zip). `KEY/unpacked/` is the content of the zip.
- `KEY.lock`: a lock that the fetching process holds; `KEY.progress`: the bytes that it has, and the bytes in all.
- `KEY.use`: a lock that all processes that use the entry share. Its modification time is the last use.
- `KEY.RANDOM.gone/`: an entry that is being deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from baton.system.file_locks import free

_KEY = re.compile(r"([0-9a-f]{64})(\.part)?")
_BLOCK = 512
_TICK_EVERY = 200


def data_folder(cache: Path) -> Path:
    """The folder of the fetched data sets in a cache directory."""
    return cache / "data"


@dataclass(frozen=True)
class Cached:
    """One data set in the cache. `size`: bytes on the disk. `used_at`: last use, in seconds since 1970.

    `complete`: False if only a part was fetched. `expected`: the total bytes of a fetch that is running.
    """

    key: str
    size: int
    used_at: float
    complete: bool
    expected: int


def cached_data(folder: Path, tick: Callable[[], None] = lambda: None) -> list[Cached]:
    """The data sets in a folder of `data_folder`. `tick`: called often during the measurement.

    Entries that another process deletes during the call are left out.
    """
    try:
        names = [match for path in sorted(folder.iterdir()) if (match := _KEY.fullmatch(path.name))]
    except OSError:
        return []
    keys = {match[1]: any(other[1] == match[1] and not other[2] for other in names) for match in names}
    return [_cached(folder, key, complete, tick) for key, complete in keys.items()]


def _cached(folder: Path, key: str, complete: bool, tick: Callable[[], None]) -> Cached:
    size = sum(bytes_on_disk(folder / name, tick) for name in (key, f"{key}.part"))
    return Cached(key, size, _last_use(folder, key), complete, progress_of(folder, key)[1])


def _last_use(folder: Path, key: str) -> float:
    for name in (f"{key}.use", key, f"{key}.part"):
        with suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def bytes_on_disk(folder: Path, tick: Callable[[], None] = lambda: None) -> int:
    """The space that a folder takes on the disk, in bytes. 0 if it does not exist."""
    total, count, waiting = 0, 0, [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if count % _TICK_EVERY == 0:
                    tick()
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return total


def in_use(folder: Path, key: str) -> bool:
    """Whether a process uses the data set, or fetches it."""
    with free(folder / f"{key}.use") as is_free:
        return not is_free


def progress_of(folder: Path, key: str) -> tuple[int, int]:
    """How many bytes the fetching process has, and how many it will have; (0, 0) if this is not known."""
    try:
        done, _, total = (folder / f"{key}.progress").read_text().partition(" ")
        return int(done), int(total)
    except (OSError, ValueError):
        return 0, 0
