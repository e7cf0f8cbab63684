"""One upload to Google Cloud Storage, with a token that identifies the object it creates."""

import io
import secrets
from pathlib import Path
from typing import Any, BinaryIO

from baton.storage.checksum import base64_of_hex, hex_of_base64
from baton.storage.gcs_stream import MOST_BYTES, RequestStream
from baton.storage.local_files import local_errors, read_measure

Blob = Any  # google.cloud.storage has no types

SMALL_BYTES = 8 * 2**20  # up to this size the library sends one multipart request, above it a resumable session
_TOKEN = "baton-put"  # noqa: S105 - a metadata key, not a secret: which put created the object


class Upload:
    """One put. Reads the data once for the checksum, and again each time it is sent. Raises LocalFileError."""

    def __init__(self, blob: Blob, data: bytes | memoryview | Path, content_type: str, *, if_absent: bool) -> None:
        self.blob = blob
        self.sent = read_measure(data)
        self._data = data
        self._type = content_type
        self._generation = 0 if if_absent else None
        self._token = secrets.token_hex(16)
        blob.metadata = {_TOKEN: self._token}
        blob.crc32c = base64_of_hex(self.sent.hex)  # the server refuses bytes with another checksum

    @property
    def small(self) -> bool:
        """Whether one request is enough for all the data."""
        return self.sent.size <= SMALL_BYTES

    def send(self, seconds: float, retry: Any = None) -> None:
        """Send the data, each request limited to `seconds`. Raises LocalFileError and the library's exceptions."""
        self.blob.chunk_size = None if self.small else MOST_BYTES
        with self._opened() as stream:
            self.blob.upload_from_file(
                stream,
                size=self.sent.size,
                content_type=self._type,
                if_generation_match=self._generation,
                checksum=None,
                retry=retry,
                timeout=seconds,
            )

    def _opened(self) -> BinaryIO | RequestStream:
        if not self.small:
            return RequestStream(self._data)
        with local_errors("read", self._data):
            return self._data.open("rb") if isinstance(self._data, Path) else io.BytesIO(self._data)

    def made(self, stored: Blob) -> bool:
        """Whether this put created the stored object: compares token, size and checksum."""
        return (stored.metadata or {}).get(_TOKEN) == self._token and self.matches(stored)

    def matches(self, stored: Blob) -> bool:
        """Whether the stored object is the data that was sent. A missing checksum in the answer counts as equal,
        because the server has checked the checksum in the request.
        """
        crc = hex_of_base64(stored.crc32c) if stored.crc32c else self.sent.hex
        return (size_of(stored), crc) == (self.sent.size, self.sent.hex)


def size_of(blob: Blob) -> int:
    """Size in bytes. A server may leave out a field whose value is 0."""
    return int(blob.size or 0)
