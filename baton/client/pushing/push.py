"""One push: computes digests, asks the service which packs it lacks, sends these packs, publishes the manifest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from baton.client.errors import ApiError, LocalDataError
from baton.client.pushing.hash_cache import HashCache
from baton.client.pushing.hashing import Hashed, LocalPack, hash_files, read_pack
from baton.client.pushing.local_files import LocalFile, LocalFiles, find_files
from baton.client.pushing.threads import in_parallel
from baton.client.transport import RetryPolicy, Transport
from baton.domain.data_manifest import PACK_BYTES
from baton.domain.data_reference import DataReference
from baton.domain.data_views import MAX_PACKS, DataView, PackAnswer
from baton.system.caches import default_cache

UPLOADS, SLOW_SECONDS = 4, 15.0
UPLOAD_SECONDS = 180.0
"""Seconds to wait for an answer. It may take long: the service can delay an upload, and then writes it to its store."""
PATIENCE = RetryPolicy(tries=12, first_delay=0.5, longest_delay=30.0)
"""Retries for about three minutes: a restart of the service must not end a push that takes hours."""
ROUNDS = 3
HASHES = "pushed-files.sqlite"
Report = Callable[[str, int, int], object]
"""Called with "reading" or "sending", the bytes so far, and the total bytes of this activity."""
_T = TypeVar("_T")


class DataPushed(DataView):
    """The pushed version. `sent_bytes`: size of the packs that this push sent. `read_bytes`: bytes that it read.

    `left_out`: the number of files and folders that operating systems add, such as .DS_Store.
    """

    sent_packs: int
    sent_bytes: int
    read_bytes: int
    left_out: int


def push(transport: Transport, source: Path, name: str | None, report: Report | None = None) -> DataPushed:
    """Push a folder or zip as the newest version of `name`; None: the name of the folder.

    The same call resumes an interrupted push: packs that the store has are not sent again.

    Raises:
        LocalDataError: files cannot be pushed, or have changed during the push; nothing was published.
    """
    report = report or (lambda _what, _done, _total: None)
    name = checked_name(name) if name is not None else default_name(source)
    local = find_files(source)
    with HashCache(default_cache() / HASHES) as cache:
        hashed = hash_files(local, cache, _counter("reading", local.bytes, report))
        return _Push(transport, local, hashed, cache, report).run(name)


def checked_name(name: str) -> str:
    """Returns the name. Raises LocalDataError if data cannot have this name."""
    try:
        found = DataReference.parse(name)
    except ValueError as error:
        raise LocalDataError(f"the name {name!r} {error}") from None
    if found.digest is not None:
        raise LocalDataError(f"give a name without a digest: {found.name}")
    return name


def default_name(source: Path) -> str:
    """A valid name of data, made from the name of a folder or zip. Raises LocalDataError.

    >>> default_name(Path("/data/My Photos.zip"))
    'my-photos'
    """
    path = source.absolute()
    stem = path.stem if path.suffix.lower() == ".zip" else path.name
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:63]
    if not name:
        raise LocalDataError(f"{source} gives no name: add --name NAME")
    return name


class _Push:
    def __init__(
        self, transport: Transport, local: LocalFiles, hashed: Hashed, cache: HashCache, report: Report
    ) -> None:
        self._transport, self._local, self._hashed, self._cache = transport, local, hashed, cache
        self._packs = {pack.sha256: pack for pack in hashed.packs}
        self._report = report
        self._sent: set[str] = set()

    def run(self, name: str) -> DataPushed:
        self._send(self._missing())
        view = self._publish(name)
        sent = [self._packs[sha256] for sha256 in self._sent]
        return DataPushed(
            **view.model_dump(),
            sent_packs=len(sent),
            sent_bytes=sum(pack.size for pack in sent),
            read_bytes=self._hashed.read,
            left_out=self._local.left_out,
        )

    def _missing(self) -> list[str]:
        found: list[str] = []
        for some in _parts(list(self._packs.values()), MAX_PACKS):
            body = {"packs": [[pack.sha256, pack.size] for pack in some]}
            answer = self._transport.request(
                "POST", "/v1/packs:missing", json=body, patience=PATIENCE, timeout=UPLOAD_SECONDS
            )
            found += PackAnswer.model_validate_json(answer.content).missing
        return found

    def _send(self, missing: Sequence[str]) -> None:
        packs = [self._packs[sha256] for sha256 in missing]
        count, began = _counter("sending", sum(pack.size for pack in packs), self._report), time.monotonic()
        for first in in_parallel(packs[:1], self._send_pack, 1):
            self._sent.add(first.sha256)
            count(first.size)
        # On a slow line packs are sent one by one: an interruption loses the sent bytes of each incomplete pack.
        threads = UPLOADS if time.monotonic() < began + SLOW_SECONDS else 1
        for pack in in_parallel(packs[1:], self._send_pack, threads):
            self._sent.add(pack.sha256)
            count(pack.size)

    def _send_pack(self, pack: LocalPack) -> LocalPack:
        try:
            content = read_pack(self._local.files, pack)
        except LocalDataError:
            # The next push must read these files again, even if their size and time are unchanged.
            self._cache.forget(self._files_of(pack))
            raise
        assert len(content) <= PACK_BYTES
        self._transport.request(
            "PUT",
            f"/v1/packs/{pack.sha256}",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
            patience=PATIENCE,
            timeout=UPLOAD_SECONDS,
        )
        return pack

    def _files_of(self, pack: LocalPack) -> Iterator[LocalFile]:
        return (self._local.files[index] for index, _, _ in pack.pieces)

    def _publish(self, name: str) -> DataView:
        manifest = self._hashed.manifest
        for _ in range(ROUNDS):
            try:
                answer = self._transport.request(
                    "PUT",
                    f"/v1/manifests/{manifest.digest}",
                    params={"name": name},
                    content=manifest.encode(),
                    headers={"Content-Type": "application/octet-stream"},
                    patience=PATIENCE,
                    timeout=UPLOAD_SECONDS,
                )
                return DataView.model_validate_json(answer.content)
            except ApiError as error:
                if error.problem.code != "packs-missing":
                    raise
                last = error  # packs were deleted during the push, which may take days
            self._send([one.field for one in last.problem.errors if one.field in self._packs])
        raise last


def _counter(what: str, total: int, report: Report) -> Callable[[int], None]:
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        report(what, done, total)

    count(0)
    return count


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
