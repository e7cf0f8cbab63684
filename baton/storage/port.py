"""The port: the interface of a blob store, which each adapter implements."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """The metadata of one object."""

    name: str
    size: int
    """Bytes."""
    crc32c: str | None
    """8 lower-case hex digits. None if only another request or a read of the object could give it: in `stat` and
    `list` of a directory, in `list` of S3 and Azure, and for objects that a signed upload stored on S3 or Azure."""
    updated: datetime
    """When this content was written, UTC."""
    content_type: str
    """Guessed from the name in `stat` and `list` of a directory, and in `list` of S3 and Azure."""


@dataclass(frozen=True, slots=True)
class SignedPut:
    """An upload that a store has signed: `PUT url` with these headers and the content as the body.

    >>> put = SignedPut("https://example.test/a?signature=...", {"Content-Type": "text/csv"}, create_only=False)
    >>> "signature" in repr(put)  # everyone with the URL can write, so `repr` hides it
    False
    """

    url: str = field(repr=False)
    headers: Mapping[str, str]
    """The client must send all of them unchanged."""
    create_only: bool
    """True: the store refuses the upload if the object exists, even if the client leaves out the headers."""


class ObjectAccess(Protocol):
    """Reads and writes single objects: what an attempt needs. See BlobStore for names and errors."""

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
        """Return the content. Raises NotFound, and Corrupted if the store has a checksum that differs."""
        ...

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return an iterator over the bytes [start, end) in chunks. As in a slice, `end` may exceed the object's size.

        The call raises NotFound, and ValueError for negative or crossed bounds. The iteration raises ObjectChanged, and
        Corrupted at the end of a whole object if the store has a checksum that differs.
        """
        ...

    def download(self, name: str, path: Path) -> BlobInfo:
        """Write the content to `path` atomically. Return the metadata, with the checksum.

        Raises NotFound, LocalFileError, StoreFull (here: the disk of `path`) and Corrupted; `path` is then unchanged.
        """
        ...

    def stat(self, name: str) -> BlobInfo | None:
        """Return the object's metadata, or None if there is no object. One cheap request."""
        ...


class BlobStore(ObjectAccess, Protocol):
    """Stores whole objects under '/'-separated names. All calls block and are thread-safe.

    Every method may raise StoreUnavailable (try later; a write may or may not have happened), StoreFull,
    StoreConfigError (another try does not help) and, for an invalid name, InvalidName. A name must not be a folder of
    another name ('a' and 'a/b'): the directory store refuses the second with InvalidName, the buckets accept it.

    >>> import tempfile
    >>> from baton.storage import open_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store: BlobStore = open_store(f"file://{folder}")
    ...     _ = store.put("runs/1/log.txt", b"step 1", if_absent=True)
    ...     [(info.name, info.size) for info in store.list("runs/")], b"".join(store.open("runs/1/log.txt", 5))
    ([('runs/1/log.txt', 6)], b'1')
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield the objects whose names start with `prefix`, sorted by name. 'a/b' matches 'a/bc', 'a/b/' does not."""
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

    def signed_put(
        self, name: str, expires: timedelta, *, if_absent: bool, content_type: str, size: int
    ) -> SignedPut | None:
        """Return an upload of `size` bytes that anyone can send until it expires. None if the store cannot sign it.

        With `if_absent`, the headers ask the store to refuse an existing object. Only Google Cloud Storage
        refuses an upload without these headers (`create_only`): elsewhere a client that leaves them out replaces the
        object. Only Google Cloud Storage computes a CRC32C of the upload, so compare size and checksum after it.
        Raises ValueError unless 0 < expires <= 7 days and size >= 0. Does not check whether the object exists.
        """
        ...

    def check(self) -> None:
        """Raise StoreUnavailable or StoreConfigError, with the next step in the message, if the store is not usable.

        Includes a small write to detect a full disk (StoreFull) and a missing permission.
        """
        ...


@runtime_checkable
class StreamedPut(Protocol):
    """A store that can write an object from several pieces of memory, without a copy of them."""

    def put_stream(self, name: str, chunks: Iterable[bytes], *, if_absent: bool = False) -> BlobInfo:
        """Store the chunks, one after another, as one object. Otherwise the same as BlobStore.put."""
        ...
