"""CRC32C, the checksum of Google Cloud Storage. Baton always writes it as 8 lower-case hex digits."""

import base64
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

CHUNK_BYTES = 1 << 20


class Crc32c:
    """A running CRC32C over chunks; `size` counts the bytes seen.

    >>> total = Crc32c()
    >>> total.update(b"hel")
    >>> total.update(b"lo")
    >>> total.hex, total.size
    ('9a71bb4c', 5)
    """

    def __init__(self) -> None:
        self._value = 0
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self._value = google_crc32c.extend(self._value, chunk)
        self.size += len(chunk)

    @property
    def hex(self) -> str:
        """The checksum of the bytes so far, 8 lower-case hex digits."""
        return f"{self._value:08x}"


def crc32c_of(data: Path | bytes | memoryview) -> str:
    """Return the CRC32C of the bytes or of the file's content, 8 lower-case hex digits. Raises OSError for a file.

    >>> crc32c_of(b"hello")
    '9a71bb4c'
    """
    return measured(data).hex


def measured(data: Path | bytes | memoryview) -> Crc32c:
    """Return checksum and size of the bytes or of the file's content. Raises OSError for a file."""
    total = Crc32c()
    for chunk in chunks_of(data):
        total.update(chunk)
    return total


def chunks_of(data: Path | bytes | memoryview) -> Iterator[bytes]:
    """Yield the content in chunks of at most 1 MiB. Raises OSError for a file."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")
    else:
        view = memoryview(data).cast("B")
        yield from (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))


def hex_of_base64(value: str) -> str:
    """Convert Google's base64 of the four big-endian bytes to 8 hex digits."""
    return base64.b64decode(value).hex()


def base64_of_hex(value: str) -> str:
    """Convert 8 hex digits to Google's base64 of the four big-endian bytes."""
    return base64.b64encode(bytes.fromhex(value)).decode("ascii")
