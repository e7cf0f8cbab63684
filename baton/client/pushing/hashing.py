"""Computes the digests of files and packs. Each file is read once, in several threads."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from baton.client.errors import LocalDataError
from baton.client.pushing.hash_cache import HashCache, content_key
from baton.client.pushing.local_files import LocalFile, LocalFiles, refuse
from baton.client.pushing.threads import in_parallel
from baton.domain.data_manifest import DataFile, DataManifest, Pack, cuts
from baton.domain.text import safe

CHUNK = 1 << 20
EMPTY = hashlib.sha256().hexdigest()
Pieces = list[tuple[int, int, int]]
"""(index of the file, start, end) in bytes."""
Report = Callable[[int], None]
"""Called with the number of bytes that were processed since the last call."""


@dataclass(frozen=True)
class LocalPack:
    """A pack of local files."""

    sha256: str
    pieces: Pieces

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(end - start for _, start, end in self.pieces)


@dataclass(frozen=True)
class Hashed:
    """What a push sends. `packs`: in the order of the stream. `read`: bytes read from files; 0 if the cache had all
    digests.
    """

    manifest: DataManifest
    packs: list[LocalPack]
    read: int


def hash_files(local: LocalFiles, cache: HashCache, report: Report = lambda _count: None) -> Hashed:
    """Read the files that are not in the cache. Raises LocalDataError for files that cannot be read or that change."""
    work = _Hashing(local.files, cache, report)
    runs = [run for run in _runs(work.packs) if not work.known(run)]
    known = local.bytes - sum(end - start for run in runs for k in run for _, start, end in work.packs[k])
    report(known)
    refuse([trouble for troubles in in_parallel(runs, work.read, _threads()) for trouble in troubles])
    cache.keep()
    files = tuple(DataFile(file.path, file.size, work.files[k]) for k, file in enumerate(local.files))
    packs = [LocalPack(work.digests[k], pieces) for k, pieces in enumerate(work.packs)]
    manifest = DataManifest(kind=local.kind, files=files, packs=tuple(Pack(pack.sha256, pack.size) for pack in packs))
    return Hashed(manifest, packs, local.bytes - known)


def read_pack(files: Sequence[LocalFile], pack: LocalPack) -> bytes:
    """The bytes of a pack. Raises LocalDataError if a file has changed since its digest was computed."""
    content = bytearray()
    for index, start, end in pack.pieces:
        try:
            with _opened(files[index]) as source:
                source.seek(start)
                content += source.read(end - start)
        except OSError as error:
            raise LocalDataError(f"{safe(files[index].path)} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != pack.sha256:
        raise changed(files[pack.pieces[0][0]])
    return bytes(content)


def changed(file: LocalFile) -> LocalDataError:
    """The error for a file that changes during the push."""
    return LocalDataError(
        f"{safe(file.path)} changed while it was pushed: stop what writes to it, then push again. Nothing was published"
    )


def _opened(file: LocalFile) -> BinaryIO:
    """The file, unless it has changed. Raises LocalDataError, OSError."""
    try:
        source = Path(file.source).open("rb")  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise changed(file) from None
    if not file.same(os.fstat(source.fileno())):
        source.close()
        raise changed(file)
    return source


def _threads() -> int:
    return min(8, os.cpu_count() or 1)


def _runs(packs: Sequence[Pieces]) -> Iterator[list[int]]:
    """Groups of pack numbers. All packs of one file are in one group, because its digest needs its bytes in order."""
    run: list[int] = []
    for k, pieces in enumerate(packs):
        if run and packs[run[-1]][-1][0] != pieces[0][0]:
            yield run
            run = []
        run.append(k)
    if run:
        yield run


class _Hashing:
    """`files`, `digests`: SHA-256 of each file and of each pack. An empty text: not known yet."""

    def __init__(self, local: Sequence[LocalFile], cache: HashCache, report: Report) -> None:
        self._local, self._cache, self._report = local, cache, report
        self.packs = list(cuts([(file.path, file.size) for file in local]))
        self.files = [EMPTY if file.size == 0 else cache.file(file) or "" for file in local]
        self.digests = [""] * len(self.packs)
        self._reporting = threading.Lock()

    def known(self, run: Sequence[int]) -> bool:
        """Whether the cache has the digests of all files and packs of the run."""
        for k in run:
            if all(self.files[index] for index, _, _ in self.packs[k]):
                self.digests[k] = self._cache.pack(self._key(k)) or ""
        return all(self.digests[k] for k in run)

    def read(self, run: Sequence[int]) -> list[str]:
        """Read the packs of the run. Return the error text if a file cannot be read, else an empty list."""
        whole = hashlib.sha256()
        with ExitStack() as stack:
            source: BinaryIO | None = None
            for k in run:
                pack = hashlib.sha256()
                for index, start, end in self.packs[k]:
                    file = self._local[index]
                    try:
                        if start == 0:
                            stack.close()
                            source, whole = stack.enter_context(_opened(file)), hashlib.sha256()
                        assert source is not None
                        for chunk in self._chunks(source, end - start, file):
                            pack.update(chunk)
                            whole.update(chunk)
                        if end == file.size:
                            self._finish(index, source, whole.hexdigest())
                    except OSError as error:
                        return [f"{safe(file.path)} cannot be read: {error.strerror}"]
                self.digests[k] = pack.hexdigest()
        for k in run:
            self._cache.add_pack(self._key(k), self.digests[k])
        return []

    def _finish(self, index: int, source: BinaryIO, sha256: str) -> None:
        file = self._local[index]
        if not file.same(os.fstat(source.fileno())):
            raise changed(file)
        self.files[index] = sha256
        self._cache.add_file(file, sha256)

    def _chunks(self, source: BinaryIO, length: int, file: LocalFile) -> Iterator[bytes]:
        while length:
            chunk = source.read(min(CHUNK, length))
            if not chunk:
                raise changed(file)
            length -= len(chunk)
            yield chunk
            with self._reporting:
                self._report(len(chunk))

    def _key(self, k: int) -> bytes:
        return content_key((self.files[index], start, end) for index, start, end in self.packs[k])
