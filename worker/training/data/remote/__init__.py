"""Data sets that are not on the worker: pushed data, and data at URLs that the worker's operator allowed.

A data set is fetched once for each machine, verified, and loaded from the cache like any other folder or zip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from baton.domain.data_reference import DataReference
from baton.domain.data_sources import NO_SOURCES, SETTING, WEB, DataSources, DataUrl, is_url
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import DatasetSpec
from baton.storage import ObjectAccess
from worker.fetched.entries import FILE, Entries, Filling
from worker.fetched.packs import PackFetch
from worker.fetched.progress import Report
from worker.training.data.remote.buckets import BucketData
from worker.training.data.remote.web import WebZip

__all__ = ["RemoteData", "is_remote"]


def is_remote(spec: DatasetSpec) -> bool:
    """Whether the data set has to be fetched."""
    return spec.data is not None or is_url(spec.path)


class RemoteData:
    """The remote data of one attempt. Keeps it in the cache until `close`.

    `store`: opens the store with the pushed data; None: only data in the cache can be used. `sources`: the URLs
    that may be fetched. `limit`: bytes that fetched data may take in the cache; 0: see `make_room`.

    >>> import tempfile
    >>> remote = RemoteData(Path(tempfile.mkdtemp()))
    >>> remote.path(DatasetSpec(name="image-folder", path="gs://photos/cats"), print)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    baton.domain.errors.JobFailure: dataset.path: gs://photos/cats is not below a URL that BATON_DATA_SOURCES ...
    """

    def __init__(
        self,
        cache: Path,
        *,
        store: Callable[[], ObjectAccess] | None = None,
        sources: DataSources = NO_SOURCES,
        limit: int = 0,
    ) -> None:
        self._entries = Entries(cache, limit)
        self._store, self._sources = store, sources
        self._found: dict[str, Path] = {}

    def path(self, spec: DatasetSpec, report: Report) -> Path:
        """The folder or the zip of a remote data set, in the cache. Fetches it if the cache does not have it.

        The second call of an attempt returns the same path without a request to the source.

        Raises:
            JobFailure: bad_data, with the field or the object that is wrong; store_refused, if a part of the data is
                missing or damaged in the store; store_unavailable; download_failed; disk_full; cache_unusable.
            StoreUnavailable: the store does not answer.
        """
        named = str(spec.data or spec.path)
        if named not in self._found:
            self._found[named] = self._pushed(spec.data, report) if spec.data else self._of_url(named, report)
        return self._found[named]

    def entry_of(self, path: Path) -> Path | None:
        """The cache entry of a zip that `path` returned. The content is unpacked there and is deleted with the zip.

        None if `path` returned a folder.
        """
        return path.parent.parent if path.parent.name == FILE else None

    def make_room(self, file: Path, doing: str, needed: int) -> None:
        """Makes room for the content of a zip that `path` returned. Raises JobFailure: disk_full."""
        self._entries.make_room(file.parent.parent.name, doing, needed)

    def close(self) -> None:
        """Releases the data: from now on other processes may delete it from the cache."""
        self._entries.close()

    def _pushed(self, reference: str, report: Report) -> Path:
        name, digest = DataReference.parse(reference)
        if digest is None:
            text = f"dataset.data: {reference} names no version; write {reference}@sha256:DIGEST"
            raise JobFailure(Reason.BAD_DATA, text)
        what = f"data {name}"
        if self._store is not None:
            store = self._store()
            return self._entries.get(digest, what, partial(_fill_from_store, store, digest), report)
        found = self._entries.find(digest)
        if found is None:
            text = f"dataset.data: {reference} is not in the cache of this machine; fetch it with `baton data pull`"
            raise JobFailure(Reason.BAD_DATA, f"{text}, and add --set dataset.data=null --set dataset.path=FOLDER")
        return found

    def _of_url(self, text: str, report: Report) -> Path:
        url = DataUrl.parse(text)
        if not self._sources.allow(url):
            why = f"dataset.path: {url} is not below a URL that {SETTING} of this worker allows ({self._sources})"
            raise JobFailure(Reason.BAD_DATA, why)
        found = WebZip(url, self._sources) if url.scheme in WEB else BucketData(url)
        return found.get(self._entries, report)


def _fill_from_store(store: ObjectAccess, digest: str, filling: Filling) -> None:
    PackFetch(store, digest, filling).run()
