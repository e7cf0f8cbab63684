"""Deletes fetched data sets that no process uses, the least recently used first, to make room for another."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.system.caches import megabytes, need_room
from baton.system.data_cache import Cached, cached_data, in_use
from baton.system.file_locks import WORK_SECONDS, free, held
from worker.fetched.cache_cleanup import remove
from worker.ipc.progress import advanced

SHARE = 0.8
"""Without BATON_CACHE_BYTES, data sets may take this share of the sum of the disk's free space and their own size."""
log = logging.getLogger(__name__)


def make_room(folder: Path, mine: str, needed: int, *, limit: int, doing: str, tick: Callable[[], None]) -> None:
    """Deletes data sets until `needed` more bytes fit in the limit and on the disk. `mine`: the key that needs them.

    `limit`: bytes that all data sets may take; 0: SHARE of the space. If the needed bytes fit on the disk, SHARE may be
    exceeded. `tick`: called while another process makes room; may raise to stop.

    Raises:
        JobFailure: disk_full, with the bytes that are needed and the folder.
    """
    with held(folder / "eviction.lock", tick, progress=lambda: _free(folder), seconds=WORK_SECONDS):
        for left in folder.glob("*.gone"):  # left by a killed process
            remove(left)
        found = cached_data(folder, advanced)
        others = [one for one in found if one.key != mine]
        used = [one for one in others if in_use(folder, one.key)]
        # Other fetches in progress still need this space.
        promised = sum(max(0, one.expected - one.size) for one in used if not one.complete)
        total = sum(one.size for one in found) + promised
        allowed = limit or int(SHARE * (total + _free(folder)))
        for one in sorted((one for one in others if one not in used), key=lambda one: one.used_at):
            if total + needed <= allowed and _free(folder) - promised >= needed:
                break
            if _delete(folder, one):
                total -= one.size
    if limit and total + needed > limit:
        text = (
            f"{doing} needs {megabytes(needed)} in {folder}, where {megabytes(total)} are in use and BATON_CACHE_BYTES "
            f"allows {megabytes(limit)}; raise it, or wait until other jobs of this machine have ended"
        )
        raise JobFailure(Reason.DISK_FULL, text)
    need_room(folder, doing, needed)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _delete(folder: Path, one: Cached) -> bool:
    """Deletes a data set and returns True, unless a process uses it."""
    gone: list[Path] = []
    with free(folder / f"{one.key}.use") as is_free:
        if not is_free:
            return False
        # A rename is atomic and fast: a process that begins to use the data set finds all of it or none of it.
        for name in (one.key, f"{one.key}.part"):
            if (folder / name).is_dir():
                gone.append((folder / name).rename(folder / f"{one.key}.{secrets.token_hex(4)}.gone"))
        # Only a process that holds KEY.use opens these.
        for name in ("lock", "progress"):
            (folder / f"{one.key}.{name}").unlink(missing_ok=True)
    for path in gone:
        advanced()
        remove(path)
    days = (time.time() - one.used_at) / 86400
    log.info("deleted data of %s from the cache, last used %.1f days ago: %s", megabytes(one.size), days, one.key[:12])
    return True
