"""A store in a Google Cloud Storage bucket, or in an emulator if STORAGE_EMULATOR_HOST is set."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import google.auth
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from baton.storage.argument_checks import checked_bounds, checked_expiry, checked_size
from baton.storage.bucket_names import check_place
from baton.storage.checksum import hex_of_base64
from baton.storage.errors import (
    AlreadyExists,
    Corrupted,
    InvalidName,
    NotFound,
    ObjectChanged,
    StoreConfigError,
)
from baton.storage.gcs_errors import LOGIN, translated
from baton.storage.gcs_upload import Blob, Upload, size_of
from baton.storage.object_names import checked_name, checked_prefix
from baton.storage.pinned_reads import Pinned, read_whole, write_file
from baton.storage.port import OCTETS, BlobInfo, SignedPut

DEADLINE_SECONDS = 60.0
_CHECK_SECONDS = 5.0
_CHECK_NAME = "baton-check"  # never stored
_NO_GENERATION = 1  # Google uses microseconds since 1970
_REQUEST_SECONDS = 60.0
_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"

T = TypeVar("T")


class GcsStore:
    """A BlobStore under gs://bucket/prefix.

    `deadline`: seconds for which one request (of a large upload: one chunk) is retried before StoreUnavailable.
    Raises StoreConfigError for an invalid bucket or prefix, or if there are no credentials.
    """

    def __init__(
        self, bucket: str, prefix: str = "", *, deadline: float = DEADLINE_SECONDS, client: Any = None
    ) -> None:
        check_place("gs", bucket, prefix, _BUCKET, "lower-case letters, digits, '-', '_' and '.'")
        self._prefix = f"{prefix}/" if prefix else ""
        self._url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._deadline = deadline
        self._emulated = client is None and bool(os.environ.get("STORAGE_EMULATOR_HOST"))
        self._client = client or _new_client()
        self._bucket = self._client.bucket(bucket)

    @property
    def url(self) -> str:
        """gs://bucket/prefix."""
        return self._url

    def put(
        self, name: str, data: bytes | memoryview | Path, *, if_absent: bool = False, content_type: str = OCTETS
    ) -> BlobInfo:
        """See BlobStore.put. The server gets the checksum with the bytes and refuses bytes that do not match it."""
        upload = Upload(self._blob(name), data, content_type, if_absent=if_absent)
        if if_absent and not upload.small and self.stat(name) is not None:  # fails early, without a large upload
            raise AlreadyExists(f"The object {name!r} exists already and is not replaced.")
        stored: Blob | None = upload.blob
        try:
            self._send(name, upload)
        except AlreadyExists:
            # The answer to a successful request may have been lost. Then the retry finds the object of this upload.
            stored = self._look(name)
            if stored is None or not upload.made(stored):
                raise
        return self._verified(name, upload, stored)

    def get(self, name: str) -> bytes:
        """See BlobStore.get."""
        return read_whole(lambda: self._pinned(name), b"".join, self._deadline)[1]

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See BlobStore.open. Every chunk comes from the object's generation at the time of the call."""
        checked_bounds(start, end)
        return self._pinned(name).chunks(start, end)

    def download(self, name: str, path: Path) -> BlobInfo:
        """See BlobStore.download."""
        info, read = read_whole(lambda: self._pinned(name), write_file(path), self._deadline)
        return replace(info, size=read.size, crc32c=read.hex)

    def stat(self, name: str) -> BlobInfo | None:
        """See BlobStore.stat."""
        blob = self._look(name)
        return None if blob is None else self._info(blob)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See BlobStore.list. Objects with names that are not valid here, such as 'folder/', are skipped."""
        return self._listed(f"{self._prefix}{checked_prefix(prefix)}")

    def delete(self, name: str) -> None:
        """See BlobStore.delete."""
        blob = self._blob(name)
        try:
            self._call(name, lambda seconds: blob.delete(retry=None, timeout=seconds))
        except NotFound:
            return

    def copy(self, source: str, target: str) -> BlobInfo:
        """See BlobStore.copy."""
        found, blob = self._blob(source), self._blob(target)
        token = None
        while True:  # one request copies only a part of a large object
            token, _, _ = self._call(source, _rewrite(blob, found, token))
            if token is None:
                return self._info(blob)

    def signed_url(self, name: str, expires: timedelta) -> str | None:
        """See BlobStore.signed_url. None for an emulator and for credentials without a signing key."""
        return self._signed(name, expires, "GET", {})

    def signed_put(
        self, name: str, expires: timedelta, *, if_absent: bool, content_type: str, size: int
    ) -> SignedPut | None:
        """See BlobStore.signed_put. The headers are part of the signature, so Google refuses an upload without them, of
        another size, or, with `if_absent`, onto an existing object.
        """
        checked_size(size)
        headers = {"Content-Type": content_type, "x-goog-content-length-range": f"{size},{size}"}
        if if_absent:
            headers["x-goog-if-generation-match"] = "0"
        url = self._signed(name, expires, "PUT", headers)
        return None if url is None else SignedPut(url, headers, create_only=if_absent)

    def _signed(self, name: str, expires: timedelta, method: str, headers: dict[str, str]) -> str | None:
        blob = self._blob(name)
        checked_expiry(expires)
        if self._emulated or not isinstance(self._client._credentials, Signing):
            return None
        with translated(self._url, name):
            # A copy of the headers, because the library adds its own headers to the mapping.
            signed = blob.generate_signed_url(expiration=expires, version="v4", method=method, headers=dict(headers))
            return str(signed)

    def check(self) -> None:
        """See BlobStore.check. Lists one name and tries a write. Returns within seconds.

        The write requires a generation that does not exist, so nothing is stored: it leaves no version in a versioned
        bucket and does not conflict with a retention policy. Google checks the permission before the generation.
        """
        seconds = min(_CHECK_SECONDS, self._deadline)
        self._call(None, lambda left: list(self._pages(self._prefix, left, max_results=1)), deadline=seconds)
        blob = self._blob(_CHECK_NAME)

        def write_nothing(left: float) -> None:
            blob.upload_from_string(b"", if_generation_match=_NO_GENERATION, retry=None, timeout=left)

        with contextlib.suppress(AlreadyExists):
            self._call(None, write_nothing, deadline=seconds)

    def _call(self, name: str | None, request: Callable[[float], T], deadline: float | None = None) -> T:
        """Make one idempotent request until it succeeds or the deadline is over. `request` gets its time limit in
        seconds.
        """
        limit = self._deadline if deadline is None else deadline
        ends = time.monotonic() + limit
        with translated(self._url, name):
            answer: T = _retry(limit)(lambda: request(max(0.1, min(_REQUEST_SECONDS, ends - time.monotonic()))))()
            return answer

    def _send(self, name: str, upload: Upload) -> None:
        if upload.small:
            return self._call(name, upload.send)
        with translated(self._url, name):  # a resumable session: each of its requests is retried
            return upload.send(min(_REQUEST_SECONDS, self._deadline), _retry(self._deadline))

    def _verified(self, name: str, upload: Upload, stored: Blob) -> BlobInfo:
        if upload.matches(stored):
            return replace(self._info(stored), size=upload.sent.size, crc32c=upload.sent.hex)
        generation = stored.generation
        self._call(name, lambda seconds: _delete(stored, generation, seconds))
        raise Corrupted(f"{name!r} was stored in {self._url} with another checksum than the sent data; store it again.")

    def _look(self, name: str) -> Blob | None:
        full = self._blob(name).name
        return self._call(name, lambda seconds: self._bucket.get_blob(full, retry=None, timeout=seconds))

    def _found(self, name: str) -> Blob:
        blob = self._look(name)
        if blob is None:
            raise NotFound(f"There is no object {name!r} in the store {self._url}.")
        return blob

    def _pinned(self, name: str) -> Pinned:
        blob = self._found(name)
        pinned = self._bucket.blob(blob.name, generation=blob.generation)
        what = f"{name!r} in {self._url}"
        return Pinned(self._info(blob), what, lambda start, end: self._read(name, pinned, start, end))

    def _read(self, name: str, pinned: Blob, start: int, end: int) -> bytes:
        def read(seconds: float) -> bytes:
            body: bytes = pinned.download_as_bytes(start=start, end=end - 1, checksum=None, retry=None, timeout=seconds)
            if len(body) != end - start:
                raise ConnectionError(f"received {len(body)} bytes instead of {end - start}")  # retried
            return body

        try:
            return self._call(name, read)
        except NotFound as error:
            raise ObjectChanged(f"{name!r} in {self._url} was replaced or deleted during the read.") from error

    def _listed(self, prefix: str) -> Iterator[BlobInfo]:
        with translated(self._url, None):
            for blob in self._pages(prefix, min(_REQUEST_SECONDS, self._deadline), retry=_retry(self._deadline)):
                try:
                    checked_name(blob.name.removeprefix(self._prefix))
                except InvalidName:
                    continue
                yield self._info(blob)

    def _pages(self, prefix: str, seconds: float, retry: Any = None, max_results: int | None = None) -> Any:
        return self._client.list_blobs(
            self._bucket, prefix=prefix, max_results=max_results, retry=retry, timeout=seconds
        )

    def _blob(self, name: str) -> Blob:
        return self._bucket.blob(f"{self._prefix}{checked_name(name)}")

    def _info(self, blob: Blob) -> BlobInfo:
        crc = hex_of_base64(blob.crc32c) if blob.crc32c else None
        updated = (blob.updated or datetime.now(UTC)).astimezone(UTC)
        name = blob.name.removeprefix(self._prefix)
        return BlobInfo(name, size_of(blob), crc, updated, blob.content_type or OCTETS)


def _retry(deadline: float) -> Any:
    """Retries the errors that Google's library regards as transient (429, 5xx, lost connections) for `deadline` s."""
    return DEFAULT_RETRY.with_timeout(deadline).with_delay(initial=0.2, maximum=8.0, multiplier=2.0)


def _rewrite(target: Blob, source: Blob, token: str | None) -> Callable[[float], tuple[str | None, int, int]]:
    def rewrite(seconds: float) -> tuple[str | None, int, int]:
        try:
            answer: tuple[str | None, int, int] = target.rewrite(source, token=token, retry=None, timeout=seconds)
        except KeyError:  # the library requires sizes, which a server may leave out if they are 0
            target.reload(retry=None, timeout=seconds)
            return None, 0, 0
        return answer

    return rewrite


def _delete(blob: Blob, generation: int, seconds: float) -> None:
    try:
        blob.delete(if_generation_match=generation, retry=None, timeout=seconds)
    except (GoogleNotFound, PreconditionFailed):  # replaced or deleted by another client
        return


def _new_client() -> Any:
    """Return a client for Google, or for the emulator if STORAGE_EMULATOR_HOST is set."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        anonymous: Any = AnonymousCredentials  # google.auth types only some of its constructors
        endpoint = emulator if "://" in emulator else f"http://{emulator}"
        return storage.Client(project=None, credentials=anonymous(), client_options={"api_endpoint": endpoint})
    try:
        credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_write"])
    except DefaultCredentialsError as error:
        raise StoreConfigError(f"No Google credentials were found; {LOGIN}.") from error
    return storage.Client(project=project, credentials=credentials)
