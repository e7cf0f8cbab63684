"""A store in a bucket of S3 (Amazon's and other servers) or in a container of Azure Blob Storage, with obstore.

The vendors' checksums are not the port's CRC32C. So a put computes the CRC32C and stores it as metadata of the object,
`stat` returns it, and a read of the whole object compares it with the bytes. An object that a signed upload or another
program stored has no such metadata: its `crc32c` is None, and its bytes are not compared. `list` never returns it.

The library runs threads of its own: a process that has used a store must not fork without exec.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import obstore

from baton.storage.argument_checks import checked_bounds, checked_expiry, checked_size
from baton.storage.bucket_names import check_place
from baton.storage.content_types import guessed_type
from baton.storage.errors import (
    AlreadyExists,
    Corrupted,
    InvalidName,
    NotFound,
    ObjectChanged,
    StoreError,
    StoreUnavailable,
)
from baton.storage.object_errors import Translator, not_implemented
from baton.storage.object_listing import objects_in
from baton.storage.object_names import checked_name, checked_prefix
from baton.storage.object_signing import signed
from baton.storage.object_upload import CRC32C, Upload, send_copy
from baton.storage.object_vendors import Client, Limits, Vendor
from baton.storage.pinned_reads import Pinned, read_whole, write_file
from baton.storage.port import OCTETS, BlobInfo, SignedPut

DEADLINE_SECONDS = 60.0
_CHECK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 8.0
_BYTES_PER_SECOND = 128 * 1024  # of a slow network: a large single request gets the time that such a network needs

if TYPE_CHECKING:
    from obstore import ObjectMeta  # a type that does not exist at run time

T = TypeVar("T")


class ObjectStore:
    """A BlobStore under s3://bucket/prefix or az://container/prefix.

    `deadline`: seconds for which one request (of a large upload: one part) is retried before StoreUnavailable. A
    request that hangs ends after at most three times this time. Raises StoreConfigError for an invalid bucket or
    prefix, and for incomplete settings.
    """

    def __init__(self, vendor: Vendor, bucket: str, prefix: str = "", *, deadline: float = DEADLINE_SECONDS) -> None:
        check_place(vendor.scheme, bucket, prefix, vendor.bucket_pattern, vendor.bucket_allowed)
        self._vendor, self._bucket = vendor, bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._url = f"{vendor.scheme}://{bucket}/{prefix}".rstrip("/")
        self._deadline = deadline
        self._errors = Translator(self._url, vendor)
        self._client = self._connect(Limits.of(deadline))

    @property
    def url(self) -> str:
        """s3://bucket/prefix or az://container/prefix."""
        return self._url

    def put(
        self, name: str, data: bytes | memoryview | Path, *, if_absent: bool = False, content_type: str = OCTETS
    ) -> BlobInfo:
        """See BlobStore.put. Data over 8 MiB is sent in parts, and at most 20 MiB of it are in memory.

        With `if_absent` all data is in memory and is sent in one request: at most 5 GB on S3 and 5,000 MiB on Azure.
        """
        upload = Upload(self._path(name), data, content_type, if_absent=if_absent)
        client = self._client
        if if_absent and not upload.small:
            if self.stat(name) is not None:  # fails early, without a large upload
                raise self._taken(name)
            client = self._connect(Limits.of(self._deadline + upload.measured.size / _BYTES_PER_SECOND, request=3600.0))
        self._call(name, lambda: self._send(name, upload, client))
        if upload.changed:
            self.delete(name)
            raise Corrupted(f"The data of {name!r} changed while it was stored in {self._url}; store it again.")
        return BlobInfo(name, upload.measured.size, upload.measured.hex, datetime.now(UTC), content_type)

    def get(self, name: str) -> bytes:
        """See BlobStore.get. The checksum is verified if the object has one."""
        return read_whole(lambda: self._pinned(name), b"".join, self._deadline)[1]

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See BlobStore.open. Every chunk comes from the object's version (ETag) at the time of the call."""
        checked_bounds(start, end)
        return self._pinned(name).chunks(start, end)

    def download(self, name: str, path: Path) -> BlobInfo:
        """See BlobStore.download. The checksum is verified if the object has one."""
        info, read = read_whole(lambda: self._pinned(name), write_file(path), self._deadline)
        return replace(info, size=read.size, crc32c=read.hex)

    def stat(self, name: str) -> BlobInfo | None:
        """See BlobStore.stat. `crc32c` is None if the object was stored without it."""
        try:
            return self._look(name)[0]
        except NotFound:
            return None

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See BlobStore.list. `crc32c` is None, and the content type is guessed from the name.

        Objects with names that are not valid here are skipped. A name with an empty, '.' or '..' part makes the library
        refuse the whole listing: StoreConfigError. Everything in the prefix's folder is read, so end a prefix with '/'.
        """
        return self._listed(f"{self._prefix}{checked_prefix(prefix)}")

    def delete(self, name: str) -> None:
        """See BlobStore.delete."""
        path = self._path(name)
        try:
            self._call(name, lambda: obstore.delete(self._client, path))
        except NotFound:  # Azure's answer for a missing object
            return

    def copy(self, source: str, target: str) -> BlobInfo:
        """See BlobStore.copy. An object over 5 GiB on S3 goes through this process, in parts."""
        path = self._path(target)
        info, _ = self._look(source)
        if source == target:  # S3 refuses it
            return info
        if self._vendor.most_copied is not None and info.size > self._vendor.most_copied:
            return self._copied_in_parts(source, target)
        try:
            self._call(source, lambda: obstore.copy(self._client, self._path(source), path))
        except AlreadyExists as error:  # the library raises this for any conflict
            raise StoreUnavailable(
                f"{self._url} refused to copy to {target!r} ({error.__cause__}). Try again."
            ) from error
        copied, _ = self._look(target)
        if (copied.size, copied.crc32c) != (info.size, info.crc32c):
            raise ObjectChanged(f"{source!r} or {target!r} in {self._url} was replaced during the copy. Copy it again.")
        return copied

    def signed_url(self, name: str, expires: timedelta) -> str | None:
        """See BlobStore.signed_url. None for credentials that cannot sign, such as a SAS token.

        On Azure also None for a name with characters that a URL escapes: the library's signature would be invalid.
        """
        return self._signed(name, expires, "GET")

    def signed_put(
        self, name: str, expires: timedelta, *, if_absent: bool, content_type: str, size: int
    ) -> SignedPut | None:
        """See BlobStore.signed_put. `create_only` is always false: the library signs no headers, so a client can
        leave out `If-None-Match`. The size is not signed either. None also for a size above that of one request.
        """
        checked_size(size)
        url = self._signed(name, expires, "PUT") if size <= self._vendor.most_put else None
        if url is None:
            return None
        # Without a content type a server may read the body as a form.
        headers = {**self._vendor.put_headers, "Content-Type": content_type}
        if if_absent:
            headers["If-None-Match"] = "*"
        return SignedPut(url, headers, create_only=False)

    def check(self) -> None:
        """See BlobStore.check. Lists one page and tries a write. Returns within seconds.

        The write requires a version that does not exist, so nothing is stored: it leaves no version in a versioned
        bucket. The vendors check the permission before the version.
        """
        seconds = min(_CHECK_SECONDS, self._deadline)
        client = self._connect(Limits.of(seconds))
        folder = self._prefix.rstrip("/") or None
        self._call(None, lambda: next(iter(obstore.list(client, folder, chunk_size=1)), None), seconds)
        probe = f"{self._prefix}baton-check-{secrets.token_hex(8)}"
        try:
            self._call(None, lambda: obstore.put(client, probe, b"", mode={"e_tag": '"0"'}), seconds)
        except ObjectChanged:
            return
        except StoreError as error:
            if not not_implemented(error):
                raise
            self._call(None, lambda: obstore.put(client, probe, b""), seconds)
        # The object exists only on a server that ignores or does not support the condition.
        self._call(None, lambda: obstore.delete(client, probe), seconds)

    def _connect(self, limits: Limits) -> Client:
        with self._errors.translated(None):
            return self._vendor.client(self._bucket, limits)

    def _call(self, name: str | None, request: Callable[[], T], deadline: float | None = None) -> T:
        """Make one idempotent request until it succeeds or the deadline is over. The library retries it after some
        errors, this function after the others.
        """
        ends, pause = time.monotonic() + (self._deadline if deadline is None else deadline), _FIRST_PAUSE
        while True:
            try:
                with self._errors.translated(name):
                    return request()
            except StoreUnavailable as error:
                if type(error) is not StoreUnavailable or time.monotonic() + pause >= ends:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the tries of many clients
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, name: str, upload: Upload, client: Client) -> None:
        try:
            with self._errors.translated(name):
                return upload.send(client)
        except (AlreadyExists, NotFound) as error:
            # The answer to a successful request may have been lost. Then the retry finds the object of this upload.
            found = self._attributes(name)
            if found is not None and upload.made(found):
                return None
            if found is not None and upload.if_absent:
                raise self._taken(name) from error
            raise StoreUnavailable(f"{self._url} refused to store {name!r} ({error.__cause__}). Try again.") from error
        except StoreError:
            # The answer to the last request of an upload in parts was lost: the retry finds no parts any more.
            with contextlib.suppress(StoreError):
                if not upload.small and upload.made(self._attributes(name) or {}):
                    return None
            raise

    def _attributes(self, name: str) -> object | None:
        path = self._path(name)
        try:
            return self._call(name, lambda: obstore.get(self._client, path, options={"head": True}).attributes)
        except NotFound:
            return None

    def _look(self, name: str) -> tuple[BlobInfo, str | None]:
        """Return an object's metadata and its ETag. Raises NotFound."""
        path = self._path(name)
        found = self._call(name, lambda: obstore.get(self._client, path, options={"head": True}))
        attributes, meta = dict(found.attributes), found.meta
        content_type = attributes.get("Content-Type") or OCTETS
        info = BlobInfo(name, meta["size"], attributes.get(CRC32C), _updated(meta), content_type)
        return info, meta["e_tag"]

    def _pinned(self, name: str) -> Pinned:
        info, etag = self._look(name)
        return Pinned(info, f"{name!r} in {self._url}", partial(self._read, name, etag))

    def _read(self, name: str, etag: str | None, start: int, end: int) -> bytes:
        path = self._path(name)

        def read() -> bytes:
            answer = obstore.get(self._client, path, options={"range": (start, end), "if_match": etag})
            body = bytes(answer.bytes())
            if len(body) != end - start:
                raise StoreUnavailable(f"{self._url} sent {len(body)} bytes of {name!r} instead of {end - start}.")
            return body

        try:
            return self._call(name, read)
        except NotFound as error:
            raise ObjectChanged(f"{name!r} in {self._url} was deleted during the read.") from error

    def _copied_in_parts(self, source: str, target: str) -> BlobInfo:
        pinned, path = self._pinned(source), self._path(target)
        with self._errors.translated(source):
            send_copy(self._client, path, pinned.chunks(), pinned.info.content_type, pinned.info.crc32c)
        return replace(pinned.info, name=target, updated=datetime.now(UTC))

    def _listed(self, prefix: str) -> Iterator[BlobInfo]:
        folder = prefix.rpartition("/")[0] or None  # the library takes whole folders
        for meta in objects_in(self._client, folder, partial(self._call, None)):
            path = meta["path"]
            name = path.removeprefix(self._prefix)
            if not path.startswith(prefix) or not path.startswith(self._prefix):
                continue
            try:
                checked_name(name)
            except InvalidName:
                continue
            yield BlobInfo(name, meta["size"], None, _updated(meta), guessed_type(name))

    def _signed(self, name: str, expires: timedelta, method: Literal["GET", "PUT"]) -> str | None:
        path = self._path(name)
        checked_expiry(expires)
        return self._call(name, lambda: signed(self._client, self._vendor, method, path, expires))

    def _path(self, name: str) -> str:
        return f"{self._prefix}{checked_name(name)}"

    def _taken(self, name: str) -> AlreadyExists:
        return AlreadyExists(f"The object {name!r} exists already and is not replaced.")


def _updated(meta: ObjectMeta) -> datetime:
    return meta["last_modified"].astimezone(UTC)
