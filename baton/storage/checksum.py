"""CRC32C, the checksum that Google Cloud Storage keeps: 8 lower-case hex digits everywhere in Baton."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

CHUNK_BYTES = 1 << 20


class Crc32c:
    """A running CRC32C over chunks; `size` counts the bytes seen."""

    def __init__(self) -> None:
        self._value = 0
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        self._value = google_crc32c.extend(self._value, chunk)
        self.size += len(chunk)

    @property
    def hex(self) -> str:
        """The checksum so far, 8 lower-case hex digits."""
        return f"{self._value:08x}"


def crc32c_of(data: Path | bytes | memoryview) -> str:
    """Return the CRC32C of the bytes or of the file's content, 8 lower-case hex digits. Raises OSError for a file."""
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
        yield from _slices(memoryview(data).cast("B"))


def _slices(view: memoryview) -> Iterable[bytes]:
    return (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))


def hex_of_base64(value: str) -> str:
    """Google's base64 of the four big-endian bytes, as 8 hex digits."""
    return base64.b64decode(value).hex()


def base64_of_hex(value: str) -> str:
    """8 hex digits as Google's base64 of the four big-endian bytes."""
    return base64.b64encode(bytes.fromhex(value)).decode("ascii")
