"""The code bundle of a job on a worker: fetched, verified by its digest, checked, and unpacked once for each machine.

A bundle is unpacked into the machine's cache of fetched data, read-only. A program runs as the worker's user, so it can
change even read-only files. Before each use the unpacked files are therefore compared with the archive. An attempt
never gets changed files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from baton.domain.code_bundle import BUNDLE_BYTES, InvalidBundle, Member, bundle_digest, bundle_object, members
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.storage import Corrupted, NotFound, ObjectAccess
from baton.system.caches import writing
from worker.fetched.cache_cleanup import remove
from worker.fetched.entries import FOLDER, Entries, Filling
from worker.fetched.packs import FILE_OVERHEAD
from worker.fetched.progress import Report
from worker.fetched.store_reads import Reads
from worker.ipc.progress import advanced

_ARCHIVE = "code.tar"
_FILE, _EXECUTABLE, _FOLDER = 0o444, 0o555, 0o555
_IGNORED = "__pycache__"
"""Python writes these folders where it may. They are derived from the files beside them."""
_CHUNK = 1 << 20
log = logging.getLogger(__name__)


def unpacked(entries: Entries, store: ObjectAccess, code: str, report: Report = lambda _text: None) -> Path:
    """The folder with the files of the bundle `code`, `sha256:…`. Read-only, and kept until `entries` is closed.

    `report`: called with texts about the progress; may raise to stop.

    Raises:
        JobFailure: code_refused, if the store lacks the bundle, has other bytes, or the archive has an entry that a
            bundle must not have; nothing of it is left. disk_full; cache_unusable.
        StoreUnavailable: the store does not answer.
    """
    digest = bundle_digest(code)
    fill, what = partial(_fill, store, digest), f"the code {digest[:12]}"
    folder = entries.get(digest, what, fill, report)
    if _intact(folder, digest):
        return folder
    # Another attempt may run in this folder, so it is left as it is.
    log.warning("%s: a program has changed the unpacked files in %s: they are unpacked anew", what, folder)
    return entries.get(hashlib.sha256(f"{digest} {secrets.token_hex(8)}".encode()).hexdigest(), what, fill, report)


def working_copy(folder: Path, target: Path) -> None:
    """Copies the files of a bundle to `target`, which must not exist, for one attempt. The copy is writable.

    Programs and build tools write beside their code: logs, caches, an environment. No other attempt must see that.

    Raises:
        JobFailure: disk_full; cache_unusable.
    """
    with writing(target.parent, "copying the code of the job"):
        for parent, _, files in os.walk(folder):
            to = target / Path(parent).relative_to(folder)
            to.mkdir(mode=0o700, parents=True)
            for name in files:
                source = Path(parent, name)
                executable = source.stat().st_mode & 0o100
                shutil.copyfile(source, to / name)
                (to / name).chmod(0o700 if executable else 0o600)


def _fill(store: ObjectAccess, digest: str, filling: Filling) -> None:
    """Fetches the bundle into an incomplete entry. An earlier try may have left files there."""
    for left in filling.folder.iterdir():
        remove(left)
    archive, root = filling.folder / _ARCHIVE, filling.folder / FOLDER
    with writing(filling.folder, f"fetching {filling.what}"):
        filling.make_room(_download(store, digest, archive, filling))
        try:
            with archive.open("rb") as file:
                needed = sum(member.size + FILE_OVERHEAD for member, _ in members(file.read))
            filling.make_room(needed)
            with archive.open("rb") as file:
                paths = _unpack(file, root)
        except InvalidBundle as error:
            # The digest is right, so the bytes are those that were pushed: another attempt gets the same ones.
            raise _refused(f"{error}; nothing of it was unpacked") from error
        filling.seal(root, paths)
        _make_read_only(root)


def _download(store: ObjectAccess, digest: str, target: Path, filling: Filling) -> int:
    """Writes the archive, and returns its size in bytes. Raises JobFailure if its digest is not the wanted one."""
    name, reads = bundle_object(digest), Reads(filling.meter)

    def fetch() -> tuple[int, str]:
        found, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in store.open(name):
                size += len(chunk)
                if size > BUNDLE_BYTES:
                    raise _refused(f"{name} in the store has more than {BUNDLE_BYTES:,} bytes")
                found.update(chunk)
                file.write(chunk)
                filling.meter.add(len(chunk))
        return size, found.hexdigest()

    try:
        size, found = reads.in_thread(lambda: reads.patiently(fetch))
    except NotFound as error:
        raise _refused(f"{name} is not in the store; submit the job again with --code") from error
    except Corrupted as error:
        raise JobFailure(Reason.STORE_REFUSED, f"program.code: {name} in the store is damaged ({error})") from error
    if found != digest:
        raise JobFailure(Reason.STORE_REFUSED, f"program.code: {name} in the store has the SHA-256 {found}")
    return size


def _unpack(archive: BinaryIO, root: Path) -> list[str]:
    """Writes the files of a checked archive. Returns their paths."""
    root.mkdir()
    paths = []
    for member, chunks in members(archive.read):
        path = root / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: a name that the file system takes for another one is an error, and no file is written twice.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        path.chmod(_EXECUTABLE if member.executable else _FILE)
        paths.append(member.path)
        advanced()
    return paths


def _make_read_only(root: Path) -> None:
    for parent, _, _ in os.walk(root):
        Path(parent).chmod(_FOLDER)


def _intact(folder: Path, digest: str) -> bool:
    """Whether the unpacked files are those of the archive beside them, and the archive is that of the digest."""
    try:
        with (folder.parent / _ARCHIVE).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return False
            file.seek(0)
            expected = {
                member.path: _same(folder / member.path, member, chunks) for member, chunks in members(file.read)
            }
        return all(expected.values()) and set(_files_below(folder)) == set(expected)
    except (OSError, InvalidBundle):
        return False


def _same(path: Path, member: Member, chunks: Iterator[bytes]) -> bool:
    with _opened(path) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size != member.size:
            return False
        advanced()
        return bool(found.st_mode & 0o100) == member.executable and all(file.read(len(one)) == one for one in chunks)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        yield file


def _files_below(folder: Path) -> Iterator[str]:
    """The relative paths of all that is no folder: of files, and of links also to folders."""
    with os.scandir(folder) as found:
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                yield entry.name
            elif entry.name != _IGNORED:
                yield from (f"{entry.name}/{path}" for path in _files_below(Path(entry.path)))


def _refused(why: str) -> JobFailure:
    return JobFailure(Reason.CODE_REFUSED, f"program.code: {why}")
