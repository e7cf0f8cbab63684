"""One upload to Google Cloud Storage: what is sent, and how to know later that it was ours."""

import io
import secrets
from pathlib import Path
from typing import Any, BinaryIO

from baton.storage.checksum import base64_of_hex, hex_of_base64
from baton.storage.local_files import local_errors, read_measure

Blob = Any  # google.cloud.storage has no types

SMALL_BYTES = 8 * 2**20  # up to here the library sends one multipart request, above it a resumable session
_CHUNK_BYTES = 16 * 2**20  # what a lost connection costs to send again; a multiple of 256 KiB
_TOKEN = "baton-put"  # noqa: S105 - a metadata key, no secret: whose put made this object


class Upload:
    """A put under way. Reads the data once for its checksum, and again each time it is sent. Raises LocalFileError."""

    def __init__(self, blob: Blob, data: bytes | memoryview | Path, content_type: str, *, if_absent: bool) -> None:
        self.blob = blob
        self.sent = read_measure(data)
        self._data = data
        self._type = content_type
        self._generation = 0 if if_absent else None
        self._token = secrets.token_hex(16)
        blob.metadata = {_TOKEN: self._token}
        blob.crc32c = base64_of_hex(self.sent.hex)  # the server refuses bytes that have another

    @property
    def small(self) -> bool:
        """Whether one request carries it all."""
        return self.sent.size <= SMALL_BYTES

    def send(self, seconds: float, retry: Any = None) -> None:
        """Send it, each request limited to `seconds`; raises the library's exceptions."""
        self.blob.chunk_size = None if self.small else _CHUNK_BYTES
        with _opened(self._data) as stream:
            self.blob.upload_from_file(
                stream,
                size=self.sent.size,
                content_type=self._type,
                if_generation_match=self._generation,
                checksum=None,
                retry=retry,
                timeout=seconds,
            )

    def made(self, stored: Blob) -> bool:
        """Whether the stored object came from this very put: its token, size and checksum."""
        return (stored.metadata or {}).get(_TOKEN) == self._token and self.matches(stored)

    def matches(self, stored: Blob) -> bool:
        """Whether the server has the data that was sent. The answer may omit the checksum, which the request gave."""
        crc = hex_of_base64(stored.crc32c) if stored.crc32c else self.sent.hex
        return (size_of(stored), crc) == (self.sent.size, self.sent.hex)


def size_of(blob: Blob) -> int:
    """Size in bytes. A server may leave out a field whose value is 0."""
    return int(blob.size or 0)


def _opened(data: bytes | memoryview | Path) -> BinaryIO:
    with local_errors("read", data):
        return data.open("rb") if isinstance(data, Path) else io.BytesIO(data)
