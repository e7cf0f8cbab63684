"""Fetches a folder, or one zip, from a bucket that the worker's operator allowed, with the worker's credentials."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from baton.domain.data_sources import DataUrl
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.storage import BlobInfo, BlobStore, NotFound, StoreError, StoreUnavailable, crc32c_of, open_store
from baton.system.caches import writing
from worker.fetched.entries import FILE, FOLDER, Entries, Filling
from worker.fetched.packs import FILE_OVERHEAD
from worker.fetched.progress import Meter, Report
from worker.fetched.store_reads import Reads
from worker.ipc.progress import advanced

_REPORT_EVERY = 1000


@dataclass(frozen=True)
class _File:
    """An object, and its path in the entry."""

    info: BlobInfo
    path: str

    @property
    def stamp(self) -> str:
        """A text that changes with the object: it contains the checksum; without one, the time, which copies change."""
        version = self.info.crc32c or self.info.updated.isoformat()
        return f"{self.path}\0{self.info.size}\0{version}\n"


@dataclass(frozen=True)
class BucketData:
    """A folder or a zip in a bucket. `open_bucket`: opens a bucket by its URL."""

    url: DataUrl
    open_bucket: Callable[[str], BlobStore] = open_store

    def get(self, entries: Entries, report: Report) -> Path:
        """The folder or the zip in the cache. Lists the bucket each time: after a change it is another cache entry.

        Raises:
            JobFailure: bad_data, there is no such object; store_refused, no permission; store_unavailable;
                download_failed, an object changed meanwhile; disk_full; cache_unusable.
        """
        report(f"listing {self.url}")
        with self._errors():
            store = self.open_bucket(f"{self.url.scheme}://{self.url.place}")
            files = self._listed(store, report)
        digest = hashlib.sha256(f"bucket\0{str(self.url).rstrip('/')}\n".encode())
        for file in files:
            digest.update(file.stamp.encode())
        return entries.get(
            digest.hexdigest(), str(self.url), lambda filling: self._fetch(store, files, filling), report
        )

    @property
    def _is_zip(self) -> bool:
        return self.url.path.lower().endswith(".zip")

    def _listed(self, store: BlobStore, report: Report) -> list[_File]:
        if self._is_zip:
            info = store.stat(self.url.path)
            files = [] if info is None else [_File(info, self.url.name)]
        else:
            prefix = f"{self.url.path.rstrip('/')}/" if self.url.path else ""
            files = []
            for info in store.list(prefix):
                files.append(_File(info, info.name.removeprefix(prefix)))
                if len(files) % _REPORT_EVERY == 0:
                    advanced()
                    report(f"listing {self.url}: {len(files):,} objects")
        if not files:
            what = "is no object" if self._is_zip else "has no objects below it"
            raise JobFailure(Reason.BAD_DATA, f"dataset.path: {self.url} {what}; correct it, or copy the data there")
        return sorted(files, key=lambda file: file.path)

    def _fetch(self, store: BlobStore, files: list[_File], filling: Filling) -> None:
        root = filling.folder / (FILE if self._is_zip else FOLDER)
        self._lay_out(root, files)
        fetch = _Fetch(store, root, filling.meter, self.url)
        total = sum(file.info.size for file in files)
        filling.meter.begin("fetching", 0, total)
        needed = sum(max(0, file.info.size - _size(root / file.path)) + FILE_OVERHEAD for file in files)
        filling.make_room(needed)
        with writing(filling.folder, f"fetching {filling.what}", needed), self._errors():
            fetch.reads.each(fetch.file, files)
            filling.seal(root, [file.path for file in files])

    def _lay_out(self, root: Path, files: list[_File]) -> None:
        names = {file.path for file in files}
        for folder in {parent for file in files for parent in Path(file.path).parents}:
            if folder.as_posix() in names:
                text = f"dataset.path: {self.url}: {folder.as_posix()!r} is both an object and a folder"
                raise JobFailure(Reason.BAD_DATA, f"{text}; delete or rename the object")
            (root / folder).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns errors of the bucket into failures that name the bucket, because it is not the store of the service."""
        try:
            yield
        except NotFound as error:
            raise JobFailure(Reason.BAD_DATA, f"dataset.path: {self.url}: {error}") from error
        except StoreUnavailable as error:
            raise JobFailure(Reason.STORE_UNAVAILABLE, f"dataset.path: {self.url}: {error}") from error
        except StoreError as error:
            raise JobFailure(Reason.STORE_REFUSED, f"dataset.path: {self.url}: {error}") from error


class _Fetch:
    """Fetches objects into files. If a file is shorter than its object, only the missing rest is fetched."""

    def __init__(self, store: BlobStore, root: Path, meter: Meter, url: DataUrl) -> None:
        self._store, self._root, self._meter, self._url = store, root, meter, url
        self.reads = Reads(meter)

    def file(self, wanted: _File) -> None:
        """Fetches one object, or what is missing of it, and verifies size and checksum."""
        path, info = self._root / wanted.path, wanted.info
        if self._complete(path, info):
            self._meter.add(info.size)
            return
        before = _size(path)
        if before >= info.size:
            path.unlink(missing_ok=True)
            before = 0
        self._meter.add(before)
        try:
            self.reads.patiently(lambda: self._append(path, info))
        except NotFound as error:
            raise self._changed(info.name) from error
        if not self._complete(path, info):
            path.unlink()
            raise self._changed(info.name)

    def _complete(self, path: Path, info: BlobInfo) -> bool:
        return path.is_file() and _size(path) == info.size and info.crc32c in (None, crc32c_of(path))

    def _append(self, path: Path, info: BlobInfo) -> None:
        # Unbuffered: after a write failed on a full disk, close() must not try to write the same bytes again.
        with path.open("ab", buffering=0) as out:
            for chunk in self._store.open(info.name, out.tell()):
                self.reads.check()
                rest = memoryview(chunk)
                while rest:
                    rest = rest[out.write(rest) :]
                self._meter.add(len(chunk))
                if out.tell() > info.size:
                    return

    def _changed(self, name: str) -> JobFailure:
        text = f"{self._url}: the object {name!r} changed or was damaged while it was fetched"
        return JobFailure(Reason.DOWNLOAD_FAILED, text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
