"""The store of one attempt through the service: by URLs that the service signs, or with the bytes in requests to it."""

from __future__ import annotations

import logging
import mmap
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from baton.domain.attempt_objects import (
    CRC32C_HEADER,
    OBJECT_CRC32C_HEADER,
    ObjectView,
    SignedUrl,
    SignRequest,
)
from baton.domain.http_problems import JSON
from baton.storage import (
    AlreadyExists,
    BlobInfo,
    Corrupted,
    InvalidName,
    LocalFileError,
    NotFound,
    StoreConfigError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    crc32c_of,
)
from baton.storage.argument_checks import checked_bounds
from baton.storage.local_files import atomic_file
from baton.storage.object_names import checked_name
from baton.storage.port import OCTETS
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable

SECONDS, LAST_PART_SECONDS = 60.0, 600.0
"""Time limits between two bytes. The last part needs more time: the service answers it when it has made the object."""
SIGN_FROM = 1 << 20
"""Objects of fewer bytes go through the service: for them a signed URL costs more than it saves."""
CHUNK_BYTES = 1 << 20
OBJECT_GONE = (404, 410)
TAKEN = (409, 412)
UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_ERRORS: dict[str, type[StoreError]] = {
    "not-found": NotFound,
    "already-exists": AlreadyExists,
    "invalid-request": InvalidName,
    "wrong-digest": Corrupted,
    "parts-missing": StoreUnavailable,
    "store-in-doubt": StoreUnavailable,
}
_Answer = TypeVar("_Answer", bound=BaseModel)
log = logging.getLogger(__name__)


class AttemptStore:
    """Implements ObjectAccess for the objects that the attempt may read and write.

    If an upload fails, the next `put` of the same object continues it. Raises LeaseLost in addition to the errors of
    the store, because the service checks the attempt's fence at each write.
    """

    def __init__(self, client: ServiceClient, attempt_id: str, url: str, part_bytes: int) -> None:
        self._client, self._attempt, self._url, self._part = client, attempt_id, url, part_bytes
        self._signs: bool | None = None
        self._uploads: dict[tuple[str, int, str], _Upload] = {}
        self._lock = Lock()
        self._direct = httpx.Client(timeout=httpx.Timeout(SECONDS, connect=10.0))

    @property
    def url(self) -> str:
        """The URL of the service's store."""
        return self._url

    def put(
        self, name: str, data: bytes | memoryview | Path, *, if_absent: bool = False, content_type: str = OCTETS
    ) -> BlobInfo:
        """See ObjectAccess.put."""
        checked_name(name)
        with _content(data) as view:
            request = SignRequest(name=name, write=True, size=len(view), content_type=content_type, if_absent=if_absent)
            if len(view) >= SIGN_FROM and (signed := self._sign(request)) is not None:
                with self._not_reached():
                    return self._put_direct(signed, request, view)
            return self._put_through(request, view)

    def get(self, name: str) -> bytes:
        """See ObjectAccess.get."""
        info = self._stat(name)
        data = b"".join(self._read(info, 0, info.size))
        if info.crc32c not in (None, crc32c_of(data)):
            raise Corrupted(f"The bytes of the object {name!r} do not match its checksum.")
        return data

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See ObjectAccess.open."""
        checked_bounds(start, end)
        info = self._stat(name)
        return self._read(info, start, info.size if end is None else min(end, info.size))

    def download(self, name: str, path: Path) -> BlobInfo:
        """See ObjectAccess.download."""
        info = self._stat(name)
        with atomic_file(path) as write:
            total = write(self._read(info, 0, info.size))
            if total.size != info.size or info.crc32c not in (None, total.hex):
                raise Corrupted(f"The bytes of the object {name!r} do not match its checksum.")
        return BlobInfo(name, total.size, total.hex, info.updated, info.content_type)

    def stat(self, name: str) -> BlobInfo | None:
        """See ObjectAccess.stat."""
        try:
            return self._stat(name)
        except NotFound:
            return None

    def _stat(self, name: str) -> BlobInfo:
        view = self._ask("GET", checked_name(name), ObjectView, params={"stat": "true"})
        return BlobInfo(view.name, view.size, view.crc32c, view.updated, view.content_type)

    def _read(self, info: BlobInfo, start: int, end: int) -> Iterator[bytes]:
        if end - start >= SIGN_FROM and (signed := self._sign(SignRequest(name=info.name))) is not None:
            with self._not_reached():
                yield from self._read_direct(signed, info.name, start, end)
                return
        for begin in range(start, end, self._part):
            stop = min(begin + self._part, end)
            headers = {"Range": f"bytes={begin}-{stop - 1}"}
            content = self._send("GET", info.name, expected=OCTETS, headers=headers).content
            if len(content) != stop - begin:
                raise StoreUnavailable(f"{info.name}: the answer has {len(content)} bytes, not {stop - begin}")
            yield content

    def _put_through(self, request: SignRequest, view: memoryview) -> BlobInfo:
        crc32c = crc32c_of(view)
        key = (request.name, len(view), crc32c)
        with self._lock:
            upload = self._uploads.setdefault(key, _Upload())
        headers = {"Content-Type": request.content_type, OBJECT_CRC32C_HEADER: crc32c}
        headers |= {"If-None-Match": "*"} if request.if_absent else {}
        try:
            while True:
                part = view[upload.offset : upload.offset + self._part]
                last = upload.offset + len(part) == len(view)
                response = self._send(
                    "PUT",
                    request.name,
                    headers={**headers, CRC32C_HEADER: crc32c_of(part)},
                    params={"size": str(len(view)), "offset": str(upload.offset), "upload": upload.id},
                    content=part,
                    seconds=LAST_PART_SECONDS if last else SECONDS,
                )
                if last:
                    break
                upload.offset += len(part)
        except StoreError as error:
            if not isinstance(error, StoreUnavailable) or isinstance(error.__cause__, Refused):
                self._forget(key)  # the next try starts from the beginning
            raise
        self._forget(key)
        return self._checked(_parsed(response, ObjectView), len(view), crc32c)

    def _put_direct(self, signed: SignedUrl, request: SignRequest, view: memoryview) -> BlobInfo:
        # Without the length httpx would send the body in chunks, which S3 refuses.
        headers = {**signed.headers, "Content-Length": str(len(view))}
        chunks = (bytes(view[start : start + CHUNK_BYTES]) for start in range(0, len(view), CHUNK_BYTES))
        try:
            response = self._direct.put(signed.url or "", content=chunks, headers=headers)
        except UNREACHED as error:
            raise _NotReached(repr(error)) from error
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"no answer from the store: {error!r}") from error
        if request.if_absent and response.status_code in TAKEN:
            raise AlreadyExists(f"The object {request.name!r} exists already and is not replaced.")
        _check_direct(response, f"a signed upload of {request.name}")
        found = self._ask("GET", request.name, ObjectView, params={"stat": "true"})
        return self._checked(found, len(view), crc32c_of(view))

    def _read_direct(self, signed: SignedUrl, name: str, start: int, end: int) -> Iterator[bytes]:
        headers, left = {**signed.headers, "Range": f"bytes={start}-{end - 1}"}, end - start
        try:
            with self._direct.stream("GET", signed.url or "", headers=headers) as response:
                if response.status_code in OBJECT_GONE:
                    raise NotFound(f"There is no object {name!r}.")
                _check_direct(response, f"a signed read of {name}")
                if response.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise _NotReached("the store sends no ranges")
                for chunk in response.iter_bytes():
                    left -= len(chunk)
                    yield chunk
        except UNREACHED as error:
            raise _NotReached(repr(error)) from error
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"reading {name} from the store ended early: {error!r}") from error
        if left:
            raise StoreUnavailable(f"reading {name} from the store ended early: {left} bytes are missing")

    def _sign(self, request: SignRequest) -> SignedUrl | None:
        if self._signs is False:
            return None
        content = request.model_dump_json().encode()
        path = f"/attempts/{self._attempt}/objects:sign"
        response = self._send("POST", path, content=content, headers={"Content-Type": JSON})
        signed = _parsed(response, SignedUrl)
        if self._signs is None:
            self._signs = signed.url is not None
        return None if signed.url is None else signed

    @contextmanager
    def _not_reached(self) -> Iterator[None]:
        """Continues after the block, through the service, if this machine cannot use the signed URL."""
        try:
            yield
        except _NotReached as error:
            log.warning("signed URLs of the store cannot be used here; the bytes go through the service: %s", error)
            self._signs = False

    def _checked(self, view: ObjectView, size: int, crc32c: str) -> BlobInfo:
        if view.size != size or view.crc32c not in (None, crc32c):
            found = f"{view.size} bytes and the CRC32C {view.crc32c}"
            raise Corrupted(f"{view.name!r} has {found} in the store. It differs from the sent bytes.")
        return BlobInfo(view.name, size, crc32c, view.updated, view.content_type)

    def _forget(self, key: tuple[str, int, str]) -> None:
        with self._lock:
            self._uploads.pop(key, None)

    def _ask(self, method: str, path: str, answer: type[_Answer], params: Mapping[str, str]) -> _Answer:
        return _parsed(self._send(method, path, params=params), answer)

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | memoryview = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        expected: str = JSON,
        seconds: float = SECONDS,
    ) -> httpx.Response:
        path = path if path.startswith("/") else f"/attempts/{self._attempt}/objects/{path}"
        try:
            return self._client.send(
                method,
                path,
                self._attempt,
                content=content,
                headers=headers or {},
                params=params,
                expected=expected,
                seconds=seconds,
            )
        except ServiceUnavailable as error:
            raise (StoreFull if "disk-full" in str(error) else StoreUnavailable)(str(error)) from error
        except Refused as error:
            raise _ERRORS.get(error.problem, StoreConfigError)(str(error)) from error


class _NotReached(Exception):
    """A firewall, a proxy or the clock of this machine prevents the use of a signed URL."""


class _Upload:
    """The state of an upload. Each of its parts is sent with the upload's id."""

    def __init__(self) -> None:
        self.id, self.offset = uuid.uuid4().hex, 0


@contextmanager
def _content(data: bytes | memoryview | Path) -> Iterator[memoryview]:
    """The bytes. A file is mapped, not read into memory. Raises LocalFileError."""
    if not isinstance(data, Path):
        yield memoryview(data).cast("B")
        return
    try:
        with data.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else None
    except OSError as error:
        raise LocalFileError(f"Cannot read {data}: {error.strerror}.") from error
    try:
        with memoryview(mapped or b"") as view:
            yield view
    finally:
        if mapped is not None:
            mapped.close()


def _check_direct(response: httpx.Response, what: str) -> None:
    if response.is_client_error:
        raise _NotReached(f"the store answered {response.status_code} to {what}")
    if not response.is_success:
        raise StoreUnavailable(f"the store answered {response.status_code} to {what}")


def _parsed(response: httpx.Response, answer: type[_Answer]) -> _Answer:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise StoreUnavailable(f"the service's answer is not valid: {error}") from error
