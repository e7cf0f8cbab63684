"""The port: what service and worker may ask of a store, whatever it stands on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a store knows of one object."""

    name: str
    size: int
    """Bytes."""
    crc32c: str | None
    """8 lower-case hex digits. None where finding it means reading the object: the directory store's stat and list."""
    updated: datetime
    """When the object got this content, UTC."""
    content_type: str


class BlobStore(Protocol):
    """Whole immutable-feeling objects under '/'-separated names. All calls block; all may be made from any thread.

    Every method may raise StoreUnavailable (try later; a write may or may not have happened), StoreFull,
    StoreConfigError (trying again does not help) and, for a bad name, InvalidName. No name may be a folder of another
    ('a' and 'a/b'): the directory store refuses the second with InvalidName, Google Cloud Storage would take it.
    """

    @property
    def url(self) -> str:
        """The URL that `open_store` accepts for this store."""
        ...

    def put(
        self, name: str, data: bytes | memoryview | Path, *, if_absent: bool = False, content_type: str = OCTETS
    ) -> BlobInfo:
        """Store the bytes, or the file's content, and return what was stored, checksum included.

        Atomic: a reader sees the object from before or the whole new one. With `if_absent` exactly one of many racing
        writers succeeds and the others get AlreadyExists. Raises Corrupted if the store kept something else than was
        sent and LocalFileError if the file cannot be read.
        """
        ...

    def get(self, name: str) -> bytes:
        """Return the content. Raises NotFound; Corrupted where the store knows the checksum and it differs."""
        ...

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return an iterator over the bytes [start, end) in chunks; like a slice, it is cut to the object's size.

        Raises NotFound and ValueError (negative or crossed bounds) at the call. While iterating: ObjectChanged, and
        Corrupted at the end of a whole object whose checksum is known and differs.
        """
        ...

    def download(self, name: str, path: Path) -> BlobInfo:
        """Write the content to `path`, atomically, and return what it is, checksum included.

        Raises NotFound, LocalFileError, StoreFull (here: the disk of `path`) and Corrupted; `path` is then unchanged.
        """
        ...

    def stat(self, name: str) -> BlobInfo | None:
        """Return what is known of the object, or None if there is none. One cheap look-up."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield the objects whose names start with `prefix`, sorted by name. 'a/b' matches 'a/bc': end it with '/'."""
        ...

    def delete(self, name: str) -> None:
        """Delete the object; no object is fine too."""
        ...

    def copy(self, source: str, target: str) -> BlobInfo:
        """Make `target` what `source` is, on the store's side, atomically, replacing it. Raises NotFound."""
        ...

    def signed_url(self, name: str, expires: timedelta) -> str | None:
        """Return a URL that lets its bearer GET the object until it expires, or None where the store has no such thing.

        Raises ValueError unless 0 < expires <= 7 days. Whether the object exists is not looked at.
        """
        ...

    def check(self) -> None:
        """Raise StoreUnavailable or StoreConfigError, with what to do next, unless the store is usable now.

        Includes a small write, so that a full disk (StoreFull) and a missing permission are detected.
        """
        ...
