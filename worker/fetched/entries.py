"""The fetched data sets of a machine. Each is fetched once, visible only when complete, and kept while it is used."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.system.caches import of_total, sync_directory, writing
from baton.system.data_cache import data_folder, progress_of
from baton.system.file_locks import WORK_SECONDS, held, shared
from worker.fetched.cache_cleanup import remove
from worker.fetched.eviction import make_room
from worker.fetched.progress import Meter, Report
from worker.ipc.progress import advanced

FOLDER, FILE = "folder", "file"
_STAMP = 946_684_800 * 10**9
"""The time of change of all fetched files, so that a data set that is fetched again uses the same decoded images."""
_ADVANCE_EVERY = 200
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filling:
    """An entry that is being fetched. `folder`: the incomplete entry; it may contain files of a killed process.

    `make_room(bytes)`: makes room for this many more bytes. Raises JobFailure: disk_full.
    """

    folder: Path
    what: str
    meter: Meter
    make_room: Callable[[int], None]

    def seal(self, root: Path, names: Collection[str]) -> None:
        """Checks that `root` holds exactly the files `names`, and sets their times. Removes unfinished files.

        Raises:
            JobFailure: unsupported, if two names are the same file on this disk.
        """
        known, found = set(names), 0
        for parent, _, files in os.walk(root):
            for file in files:
                path = Path(parent, file)
                if path.relative_to(root).as_posix() not in known:
                    remove(path)
                    continue
                os.utime(path, ns=(_STAMP, _STAMP))
                found += 1
                if found % _ADVANCE_EVERY == 0:
                    advanced()
        if found != len(known):
            text = f"{len(known)} files became only {found} on the disk of {root}: two names differ only in letter case"
            raise JobFailure(Reason.UNSUPPORTED, f"{self.what}: {text}; set BATON_CACHE to a case-sensitive disk")


Fill = Callable[[Filling], None]


class Entries:
    """The cache of fetched data sets, for one attempt. `limit`: bytes that they may take, see `make_room`.

    `close` releases the data sets that `get` returned: after that other processes may delete them.
    """

    def __init__(self, cache: Path, limit: int = 0) -> None:
        self._folder, self._limit = data_folder(cache), limit
        self._kept, self._keys = ExitStack(), set[str]()

    def get(self, key: str, what: str, fill: Fill, report: Report) -> Path:
        """The folder or the file of the data set `key`. If it is not in the cache, `fill` fetches it.

        `what`: the name of the data set in texts. `report`: see `Report`.

        Raises:
            JobFailure: disk_full; cache_unusable; and what `fill` raises.
        """
        entry = self._folder / key
        with writing(self._folder, f"fetching {what}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._use(key, lambda: report(f"waiting for the cache of {what}"))
            if entry.is_dir():
                log.info("%s: from the cache, %s", what, entry)
            else:
                self._fetch(key, what, fill, report)
        return content_of(entry)

    def find(self, key: str) -> Path | None:
        """The data set if it is in the cache, as `get` returns it."""
        if not (self._folder / key).is_dir():
            return None
        with writing(self._folder, "using cached data"):
            self._use(key, lambda: None)
        return content_of(self._folder / key) if (self._folder / key).is_dir() else None

    def make_room(self, key: str, doing: str, needed: int, tick: Callable[[], None] = lambda: None) -> None:
        """Makes room for `needed` more bytes of the data set. Raises JobFailure: disk_full."""
        make_room(self._folder, key, needed, limit=self._limit, doing=doing, tick=tick)

    def close(self) -> None:
        """Releases the data sets. Call it at the end of the attempt; the end of the process has the same effect."""
        for key in self._keys:
            self._touch(key)
        self._keys.clear()
        self._kept.close()

    def _use(self, key: str, waiting: Callable[[], None]) -> None:
        if key not in self._keys:
            # The lock is taken before the entry is read, so no other process can delete the entry after this point.
            self._kept.enter_context(shared(self._folder / f"{key}.use", waiting))
            self._keys.add(key)
        self._touch(key)

    def _touch(self, key: str) -> None:
        with suppress(OSError):  # another user's file: it keeps its time, and only the order of deletion is less exact
            os.utime(self._folder / f"{key}.use")

    def _fetch(self, key: str, what: str, fill: Fill, report: Report) -> None:
        entry, part, seen = self._folder / key, self._folder / f"{key}.part", [(0, 0)]

        def waits() -> None:
            if (now := progress_of(self._folder, key)) != seen[0]:
                seen[0] = now
                advanced()
            report(f"fetching {what}, in another worker: {of_total(*now)}")

        lock, progress = self._folder / f"{key}.lock", self._folder / f"{key}.progress"
        with held(lock, waits, progress=lambda: progress_of(self._folder, key), seconds=WORK_SECONDS):
            if entry.is_dir():
                return
            begun, meter = time.monotonic(), Meter(what, report, progress)
            part.mkdir(exist_ok=True)
            doing = f"fetching {what}"
            fill(Filling(part, what, meter, lambda needed: self.make_room(key, doing, needed, meter.tick)))
            # One sync for all files: an fsync for each of 120,000 files takes minutes.
            os.sync()
            part.rename(entry)
            progress.unlink(missing_ok=True)
        sync_directory(self._folder)
        log.info("fetched %s in %.1f s to %s", what, time.monotonic() - begun, entry)


def content_of(entry: Path) -> Path:
    """The data set's folder, or its one file, in a complete entry."""
    file = entry / FILE
    return next(file.iterdir()) if file.is_dir() else entry / FOLDER
