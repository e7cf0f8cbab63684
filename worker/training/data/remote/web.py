"""Fetches one zip from a web server that the worker's operator allowed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from baton.domain.data_sources import SETTING, DataSources, DataUrl
from baton.domain.downloads import Checksum, Download
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.transfer import RetryPolicy, Version, Wants, fetch, version_of
from worker.fetched.entries import FILE, Entries, Filling
from worker.fetched.progress import Report

_NAME = 100


@dataclass(frozen=True)
class WebZip:
    """A zip on a web server. `patience`: when and how often to try an unavailable server again."""

    url: DataUrl
    sources: DataSources
    patience: RetryPolicy = field(default_factory=RetryPolicy)

    def get(self, entries: Entries, report: Report) -> Path:
        """The file in the cache. If the URL has no checksum, requests the current version of the file from the server.

        Raises:
            JobFailure: bad_data if the server does not have the file, sends a file with another checksum, or redirects
                to a URL that is not allowed; download_failed; disk_full; cache_unusable.
        """
        if self.url.sha256:
            version = Version(self.url.sha256, None)
        else:
            version = self._version(lambda: report(f"requesting the version of {self.url}"))
        key = hashlib.sha256(f"web\0{self.url.request}\0{version.tag}\0{version.bytes}".encode()).hexdigest()
        return entries.get(key, str(self.url), lambda filling: self._fetch(filling, version), report)

    @cached_property
    def _source(self) -> Download:
        checksum = Checksum("sha256", self.url.sha256) if self.url.sha256 else None
        advice = "correct the URL in dataset.path, or its #sha256="
        return Download(self.url.name, self.url.request, None, checksum, advice, secret_query=True)

    def _version(self, tick: Callable[[], None]) -> Version:
        return version_of(self._source, Wants(lambda _done, _total: tick(), self.patience, check=self._check))

    def _fetch(self, filling: Filling, version: Version) -> None:
        name, size = self.url.name[-_NAME:], version.bytes or 0
        # The download has its own folder, because it creates other files next to its file.
        file = filling.folder / "download" / name
        filling.make_room(size)
        filling.meter.begin("fetching", 0, size)
        fetch(self._source, file, Wants(filling.meter.at, self.patience, check=self._check))
        if self.url.sha256 is None and self._version(filling.meter.tick) != version:
            file.unlink()
            raise JobFailure(Reason.DOWNLOAD_FAILED, f"{self.url}: changed on the server while it was fetched")
        target = filling.folder / FILE / name
        target.parent.mkdir(exist_ok=True)
        file.replace(target)
        filling.seal(target.parent, [name])

    def _check(self, requested: str) -> None:
        """Checks the URL of each request, also after a redirect: a redirect must lead to an allowed URL."""
        url = requested.partition("#")[0]
        try:
            # With the checksum of the file, http:// is safe here too.
            found = DataUrl.parse(f"{url}#sha256={self.url.sha256}" if self.url.sha256 else url)
        except ValueError as error:
            text = f"{self.url}: redirects to a URL that Baton does not fetch: {error}"
            raise JobFailure(Reason.BAD_DATA, text) from error
        if not self.sources.allow(found):
            text = f"{self.url}: redirects to {found}, which is not below a URL that {SETTING} of this worker allows"
            raise JobFailure(Reason.BAD_DATA, f"{text} ({self.sources})")
