"""Downloads a file over HTTP with retries, and verifies its size and checksum."""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baton.domain.backoff import backoff
from baton.domain.downloads import Checksum, Download
from baton.domain.errors import JobFailure
from baton.system.caches import ADVICE, megabytes, need_room, writing
from baton.system.file_locks import WORK_SECONDS, held
from baton.transfer.http_answers import accepted, not_accepted, number
from baton.transfer.http_stream import Broken, Stream
from baton.transfer.partial_file import Partial

Report = Callable[[int, int | None], None]
"""Called several times a second with the bytes so far and the total, if known. If it raises, the download stops."""

READ_SECONDS = 30.0
_TICK_SECONDS = 0.2
_HASH_BYTES = 1 << 20
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "baton"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How many tries in a row without progress are made, and how long to wait between them. Times in seconds.

    >>> RetryPolicy(first_delay=1.0).delay(failures=3, draw=0.0)
    2.0
    """

    tries: int = 6
    first_delay: float = 1.0
    longest_delay: float = 30.0

    def delay(self, failures: int, draw: float) -> float:
        """Seconds before the next try: exponential backoff with jitter. `draw`: uniform in [0, 1)."""
        return backoff(self.first_delay, failures, self.longest_delay, draw)


@dataclass(frozen=True)
class Wants:
    """Options of a download. `advice`: what the user can do about a full disk. `check`: see `Stream`."""

    report: Report = lambda _done, _total: None
    patience: RetryPolicy = RetryPolicy()
    advice: str = ADVICE
    check: Callable[[str], None] = lambda _url: None


def fetch(source: Download, file: Path, wants: Wants = Wants()) -> Path:
    """Downloads `source` to `file`, unless `file` exists, and returns `file`. Resumes an interrupted download.

    If several processes call it at the same time, one of them downloads. A file at `file` is complete and verified.

    Raises:
        JobFailure: bad_data if the server does not have the file, or twice sends one with another checksum;
            download_failed if there is no answer, or no complete one; disk_full; cache_unusable.
    """
    if file.is_file():
        return file
    part = Partial(file)
    with writing(file.parent, f"downloading {source.shown}", source.bytes, wants.advice):
        file.parent.mkdir(parents=True, exist_ok=True)

        def waits() -> None:
            wants.report(part.size, source.bytes or part.total)

        with held(Path(f"{file}.lock"), waits, progress=lambda: part.size, seconds=WORK_SECONDS):
            if not file.is_file():
                _Fetching(source, part, wants).run()
    return file


@dataclass(frozen=True)
class Version:
    """What a server's headers say about its file. `tag`: its ETag or date of change; empty if the server sends neither.

    `bytes`: None if the server does not send the size.
    """

    tag: str
    bytes: int | None


def version_of(source: Download, wants: Wants = Wants()) -> Version:
    """The version of the server's file. Sends a GET and closes the connection after the headers.

    It sends no HEAD, because a signed URL is often valid only for GET.

    Raises:
        JobFailure: bad_data if the server does not have the file; download_failed if there is no answer.
    """
    for failures in itertools.count(1):
        try:
            with Stream(source.url, _HEADERS, READ_SECONDS, lambda: wants.report(0, None), wants.check) as stream:
                head = stream.head()
            if head.status != 200:
                raise not_accepted(head, source)
            tag = head.headers.get("etag") or head.headers.get("last-modified") or ""
            return Version(str(tag), number(head.headers.get("content-length")))
        except Broken as error:
            if failures >= wants.patience.tries:
                raise JobFailure("download_failed", f"{source.shown}: {error} (tried {failures} times)") from error
            log.warning("%s: %s; trying again", source.shown, error)
            delay = max(error.after, wants.patience.delay(failures, random.random()))  # noqa: S311
            pause(delay, lambda: wants.report(0, None))
    raise AssertionError("unreachable: a count has no end")


def pause(seconds: float, tick: Callable[[], None]) -> None:
    """Sleeps, and calls `tick` several times a second. If `tick` raises an exception, the pause ends."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        tick()
        time.sleep(min(left, _TICK_SECONDS))


def download_path(source: Download, cache: Path) -> Path:
    """The path of a download in the cache. It contains a digest of the checksum, so other content has another path."""
    key = str(source.checksum) if source.checksum else source.url
    name = Path(source.file)
    return cache / "downloads" / f"{name.stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}{name.suffix}"


def verified(file: Path, source: Download, report: Report = lambda _done, _total: None) -> str:
    """Why a file is not `source`, as text for users. Empty if size and checksum match."""
    size = file.stat().st_size
    if source.bytes is not None and size != source.bytes:
        return f"{size:,} bytes instead of {source.bytes:,}"
    if source.checksum is None:
        return ""
    found = checksum_of(file, source.checksum.algorithm, report)
    return "" if found == source.checksum else f"{found} instead of {source.checksum}"


def checksum_of(file: Path, algorithm: str, report: Report = lambda _done, _total: None) -> Checksum:
    """The digest of a file."""
    digest, size = hashlib.new(algorithm, usedforsecurity=False), file.stat().st_size
    with file.open("rb") as content:
        while chunk := content.read(_HASH_BYTES):
            digest.update(chunk)
            report(size, size)
    return Checksum(algorithm, digest.hexdigest())


class _Fetching:
    """Downloads one file. The caller holds its lock."""

    def __init__(self, source: Download, part: Partial, wants: Wants) -> None:
        self._source, self._part, self._wants = source, part, wants

    def run(self) -> None:
        trouble = ""
        for _ in range(2):
            self._bring()
            trouble = verified(self._part.path, self._source, self._wants.report)
            if not trouble:
                self._part.publish()
                return
            log.warning("%s was received with %s and is deleted", self._source.shown, trouble)
            self._part.discard()
        text = f"{self._source.shown}: came twice with {trouble} and was deleted; {self._source.advice}"
        raise JobFailure("bad_data", text)

    def _bring(self) -> None:
        failures, most = 0, self._part.size
        while True:
            try:
                return self._receive()
            except Broken as error:
                # Only a new maximum counts as progress: a download that always restarts must not be retried forever.
                failures = 1 if self._part.size > most else failures + 1
                most, size = max(most, self._part.size), self._part.size
                if failures >= self._wants.patience.tries:
                    kept = f"; {megabytes(size)} are kept, the next try continues there" if size else ""
                    text = f"{self._source.shown}: {error} (tried {failures} times without progress){kept}"
                    raise JobFailure("download_failed", text) from error
                log.warning("%s: %s; trying again", self._source.shown, error)
                pause(max(error.after, self._wants.patience.delay(failures, random.random())), self._tick)  # noqa: S311

    def _receive(self) -> None:
        asked = self._part.headers(self._source.url, checked=self._source.checksum is not None)
        with Stream(self._source.url, {**_HEADERS, **asked}, READ_SECONDS, self._tick, self._wants.check) as stream:
            if accepted(stream.head(), self._source, self._part):
                left = max(0, (self._total or 0) - self._part.size)
                need_room(self._part.path.parent, f"downloading {self._source.shown}", left, self._wants.advice)
                self._append(stream)
        total = self._total
        if total is not None and self._part.size < total:
            raise Broken(f"interrupted at {self._part.size:,} of {total:,} bytes")

    def _append(self, stream: Stream) -> None:
        size, total = self._part.size, self._total
        with self._part.appending() as out:
            for chunk in stream.body():
                rest = memoryview(chunk)
                while rest:
                    rest = rest[out.write(rest) :]
                size += len(chunk)
                self._wants.report(size, total)
                if total is not None and size > total:
                    return

    @property
    def _total(self) -> int | None:
        # The server's size has priority. If its file is shorter, the file is wrong; the download was not interrupted.
        return self._part.total or self._source.bytes

    def _tick(self) -> None:
        self._wants.report(self._part.size, self._total)
