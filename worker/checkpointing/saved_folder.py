"""The files of a program's checkpoint: a folder on the local disk, streamed to the store and back.

No file is read into memory as a whole, and several files are transferred at the same time. A transfer that is repeated
continues: files that are complete are skipped, and a download continues in the middle of a file.
"""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from baton.domain.manifest import FILES, FileEntry
from baton.domain.program_limits import path_problem
from baton.storage import ObjectAccess
from baton.storage.checksum import Crc32c
from baton.storage.errors import Corrupted, InvalidName
from baton.storage.local_files import write_all
from baton.storage.object_names import checked_name
from baton.system.caches import writing
from baton.system.cpus import cpus

TRANSFERS = min(4, max(2, cpus()))
"""Files that are transferred at the same time. A store's client holds some 8 MiB of each in memory, up to three times.
Checksums and encryption need a CPU for each transfer."""
MAX_FILES = 20_000
RESTORING = "restoring a checkpoint"


class UnusableFolder(ValueError):
    """A folder cannot become a checkpoint. The message names the file and says what to do."""


@dataclass(frozen=True)
class SavedFolder:
    """A folder whose files are, or become, those of a checkpoint. Nobody else changes it.

    `entries`: the files that are already in the store, by their name in the manifest. A second try skips them.
    """

    path: Path
    entries: dict[str, FileEntry] = field(default_factory=dict, compare=False)

    def files(self) -> dict[str, Path]:
        """The files by their name in the manifest, the largest first: they take the longest.

        Raises:
            UnusableFolder: it contains something that is not a plain file, or a name that a store refuses.
        """
        names = {path.relative_to(self.path).as_posix(): path for path in _plain_files(self.path)}
        for name in names:
            if problem := path_problem(name):
                raise UnusableFolder(f"the name {name[:200]!r} {problem}: use another name")
        found = {f"{FILES}/{name}": path for name, path in names.items()}
        return dict(sorted(found.items(), key=lambda one: (-one[1].stat().st_size, one[0])))

    def remove(self) -> None:
        """Deletes the folder, if it is there."""
        shutil.rmtree(self.path, ignore_errors=True)


def _plain_files(folder: Path) -> list[Path]:
    found, waiting = [], [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif stat.S_ISREG(mode):
                found.append(path)
            else:
                name = path.relative_to(folder)
                raise UnusableFolder(f"{name} is a link or a special file: save plain files and folders only")
        if len(found) > MAX_FILES:
            raise UnusableFolder(f"it has more than {MAX_FILES:,} files: save fewer, for example in one archive")
    return found


def upload_folder(
    folder: SavedFolder, put: Callable[[str, Path], FileEntry], wanted: Callable[[], None]
) -> tuple[FileEntry, ...]:
    """Stores the files with `put(name, path)`, several at the same time. Returns their entries, sorted by name.

    `wanted`: called before each file; raises if the checkpoint is not needed any more. Raises the first error.
    """

    def send(name: str, path: Path) -> None:
        if name not in folder.entries:
            wanted()
            folder.entries[name] = put(name, path)

    files = folder.files()
    _at_the_same_time([partial(send, name, path) for name, path in files.items()])
    return tuple(folder.entries[name] for name in sorted(files))


class Download:
    """The download of a checkpoint's files into a folder. After an error, `run` continues where it stopped."""

    def __init__(self, store: ObjectAccess, prefix: str, entries: Iterable[FileEntry], folder: Path) -> None:
        self._files = [
            _File(store, f"{prefix}/{entry.name}", entry, _below(folder, entry.name))
            for entry in sorted(entries, key=lambda one: -one.size)
        ]
        self.folder = folder

    def run(self) -> None:
        """Downloads what is missing, several files at the same time, and verifies all of it.

        Raises:
            Corrupted, NotFound: a file does not match its entry, or is missing. Another try does not help.
            StoreError: the store could not be read.
            JobFailure: disk_full; cache_unusable.
        """
        with writing(self.folder, RESTORING):
            self.folder.mkdir(parents=True, exist_ok=True)
        _at_the_same_time([file.fetch for file in self._files])


class _File:
    """One file. Its checksum so far is kept between two tries."""

    def __init__(self, store: ObjectAccess, name: str, entry: FileEntry, path: Path) -> None:
        self._store, self._name, self._entry, self._path = store, name, entry, path
        self._total = Crc32c()
        self._done = False

    def fetch(self) -> None:
        if self._done:
            return
        with writing(self._path.parent, RESTORING):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("ab", buffering=0)
        with file:
            with writing(self._path.parent, RESTORING):
                file.truncate(self._total.size)  # a failed write may have left a part of a chunk
            if self._total.size < self._entry.size:
                for chunk in self._store.open(self._name, self._total.size):
                    with writing(self._path.parent, RESTORING, self._entry.size):
                        write_all(file.fileno(), chunk)
                    self._total.update(chunk)
        if (self._total.size, self._total.hex) != (self._entry.size, self._entry.crc32c):
            raise Corrupted(f"{self._entry.name} does not match its manifest")
        self._done = True


def _below(folder: Path, name: str) -> Path:
    """The path of a file of the manifest. Raises Corrupted for a name that leaves the folder."""
    try:
        checked_name(name)
    except InvalidName as error:
        raise Corrupted(f"the manifest contains an invalid name: {error}") from error
    return folder / name


def _at_the_same_time(calls: Sequence[Callable[[], None]]) -> None:
    """Runs the calls in TRANSFERS threads. After an error no further call begins; then raises that error."""
    failed = threading.Event()

    def run(call: Callable[[], None]) -> None:
        if failed.is_set():
            return
        try:
            call()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer") as pool:
        running = [pool.submit(run, call) for call in calls]
    for one in running:
        one.result()
