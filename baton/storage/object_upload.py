"""One upload with obstore, with a token that identifies the object it creates, and the checksum as metadata."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import obstore

from baton.storage.checksum import Crc32c, chunks_of
from baton.storage.local_files import local_errors, read_measure
from baton.storage.object_vendors import Client

# Keys of metadata. Azure allows only letters, digits and '_' in them, S3 turns them into lower case.
CRC32C = "batoncrc32c"
_TOKEN = "batonput"  # noqa: S105 - not a secret: which put created the object

SMALL_BYTES = 8 * 2**20  # up to this size one request sends everything, above it each request sends a part
_PART_BYTES = 5 * 2**20  # the least that S3 allows; at most _PARTS_AT_ONCE parts are in memory
_PARTS_AT_ONCE = 4
_COPY_PART_BYTES = 64 * 2**20  # for objects of up to 576 GiB
_MOST_PARTS = 9_000  # S3 allows 10,000


def send_copy(client: Client, path: str, chunks: Iterator[bytes], content_type: str, crc32c: str | None) -> None:
    """Store chunks that come from another object, in parts. Raises the library's exceptions and those of the chunks.

    The chunks are read in another thread, because the library cannot make a request within a request.
    """
    attributes = {"Content-Type": content_type, **({} if crc32c is None else {CRC32C: crc32c})}
    with ThreadPoolExecutor(1) as pool:
        following = iter(lambda: pool.submit(next, chunks, b"").result(), b"")
        obstore.put(
            client,
            path,
            following,
            attributes=attributes,
            use_multipart=True,
            chunk_size=_COPY_PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )


class Upload:
    """One put. Reads the data once for the checksum, and again each time it is sent. Raises LocalFileError.

    With `if_absent` the data is read into memory and sent in one request: an upload in parts cannot have a condition.
    """

    def __init__(self, path: str, data: bytes | memoryview | Path, content_type: str, *, if_absent: bool) -> None:
        self.path = path
        self.measured = read_measure(data)
        self.if_absent = if_absent
        self._sent = self.measured
        self._data = data
        self._attributes = {"Content-Type": content_type, CRC32C: self.measured.hex, _TOKEN: secrets.token_hex(16)}

    @property
    def small(self) -> bool:
        """Whether the data is at most 8 MiB."""
        return self.measured.size <= SMALL_BYTES

    @property
    def changed(self) -> bool:
        """Whether the sent data differs from the measured data, because the file has changed in between."""
        return (self._sent.size, self._sent.hex) != (self.measured.size, self.measured.hex)

    def send(self, client: Client) -> None:
        """Send the data. Raises LocalFileError and the library's exceptions."""
        self._sent, send = Crc32c(), partial(obstore.put, client, self.path, attributes=self._attributes)
        if self.small or self.if_absent:
            whole = b"".join(self._chunks())
            send(whole, mode="create" if self.if_absent else "overwrite", use_multipart=False)
        else:
            part = max(_PART_BYTES, -(-self.measured.size // _MOST_PARTS))
            send(self._chunks(), use_multipart=True, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)

    def made(self, attributes: Any) -> bool:
        """Whether this put created the object with these attributes."""
        return dict(attributes).get(_TOKEN) == self._attributes[_TOKEN]

    def _chunks(self) -> Iterator[bytes]:
        with local_errors("read", self._data):
            for chunk in chunks_of(self._data):
                self._sent.update(chunk)
                yield chunk
