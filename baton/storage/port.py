"""The port: the interface of a blob store, which each adapter implements."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """The metadata of one object."""

    name: str
    size: int
    """Bytes."""
    crc32c: str | None
    """8 lower-case hex digits. None if it would require reading the object: in the directory store's stat and list."""
    updated: datetime
    """When this content was written, UTC."""
    content_type: str


class BlobStore(Protocol):
    """Stores whole objects under '/'-separated names. All calls block and are thread-safe.

    Every method may raise StoreUnavailable (try later; a write may or may not have happened), StoreFull,
    StoreConfigError (another try does not help) and, for an invalid name, InvalidName. A name must not be a folder of
    another name ('a' and 'a/b'): the directory store refuses the second with InvalidName, Google Cloud Storage accepts
    it.

    >>> import tempfile
    >>> from baton.storage import open_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store: BlobStore = open_store(f"file://{folder}")
    ...     _ = store.put("runs/1/log.txt", b"step 1", if_absent=True)
    ...     [(info.name, info.size) for info in store.list("runs/")], b"".join(store.open("runs/1/log.txt", 5))
    ([('runs/1/log.txt', 6)], b'1')
    """

    @property
    def url(self) -> str:
        """The URL that `open_store` accepts for this store."""
        ...

    def put(
        self, name: str, data: bytes | memoryview | Path, *, if_absent: bool = False, content_type: str = OCTETS
    ) -> BlobInfo:
        """Store the bytes or the file's content. Return the new object's metadata, with its checksum.

        Atomic: a reader sees either the old object or the complete new one. With `if_absent`, exactly one of several
        concurrent writers succeeds; the others get AlreadyExists. Raises Corrupted if the stored bytes differ from
        those sent, and LocalFileError if the file cannot be read.
        """
        ...

    def get(self, name: str) -> bytes:
        """Return the content. Raises NotFound; Corrupted if the store has a checksum and it differs."""
        ...

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return an iterator over the bytes [start, end) in chunks. As in a slice, `end` may exceed the object's size.

        The call raises NotFound, and ValueError for negative or crossed bounds. The iteration raises ObjectChanged, and
        at the end of a whole object Corrupted if the store has a checksum and it differs.
        """
        ...

    def download(self, name: str, path: Path) -> BlobInfo:
        """Write the content to `path` atomically. Return the metadata, with the checksum.

        Raises NotFound, LocalFileError, StoreFull (here: the disk of `path`) and Corrupted. Then `path` is unchanged.
        """
        ...

    def stat(self, name: str) -> BlobInfo | None:
        """Return the object's metadata, or None if there is no object. One cheap request."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield the objects whose names start with `prefix`, sorted by name. 'a/b' matches 'a/bc': end it with '/'."""
        ...

    def delete(self, name: str) -> None:
        """Delete the object. A missing object is not an error."""
        ...

    def copy(self, source: str, target: str) -> BlobInfo:
        """Copy `source` to `target` within the store, atomically. Replaces `target`. Raises NotFound."""
        ...

    def signed_url(self, name: str, expires: timedelta) -> str | None:
        """Return a URL with which anyone can GET the object until it expires. None if the store does not support it.

        Raises ValueError unless 0 < expires <= 7 days. Does not check whether the object exists.
        """
        ...

    def check(self) -> None:
        """Raise StoreUnavailable or StoreConfigError, with the next step in the message, if the store is not usable.

        Includes a small write to detect a full disk (StoreFull) and a missing permission.
        """
        ...
