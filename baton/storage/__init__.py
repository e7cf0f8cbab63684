"""The blob store: one port, adapters for a directory and for Google Cloud Storage."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from baton.storage.checksum import crc32c_of
from baton.storage.errors import (
    AlreadyExists,
    Corrupted,
    InvalidName,
    LocalFileError,
    NotFound,
    ObjectChanged,
    StoreConfigError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from baton.storage.port import BlobInfo, BlobStore

__all__ = [
    "AlreadyExists",
    "BlobInfo",
    "BlobStore",
    "Corrupted",
    "InvalidName",
    "LocalFileError",
    "NotFound",
    "ObjectChanged",
    "StoreConfigError",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "crc32c_of",
    "open_store",
]


def open_store(url: str) -> BlobStore:
    """Return the store at `url`: file:///absolute/dir (made if missing) or gs://bucket[/prefix].

    STORAGE_EMULATOR_HOST is honoured for gs://. Nothing is asked over the network: call `check()` for that.
    Raises StoreConfigError for any other URL, a directory that cannot be made, and missing credentials.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(url, str(error)) from error
    if parts.query or parts.fragment:
        raise _refused(url, "'?' and '#' have no meaning in it (in a path write %3F and %23)")
    if parts.scheme == "file":
        return _directory(url, parts)
    if parts.scheme == "gs":
        return _bucket(url, parts)
    raise _refused(url, f"its scheme is {parts.scheme!r}" if parts.scheme else "it has no scheme")


def _directory(url: str, parts: SplitResult) -> BlobStore:
    from baton.storage.directory import DirectoryStore

    if parts.netloc not in ("", "localhost"):
        raise _refused(url, "the directory must be absolute, so three slashes follow 'file:'")
    if not parts.path.startswith("/"):
        raise _refused(url, "it names no absolute directory")
    return DirectoryStore(Path(unquote(parts.path)))


def _bucket(url: str, parts: SplitResult) -> BlobStore:
    from baton.storage.gcs import GcsStore  # lazily: Google's libraries take a second that a directory need not pay

    if not parts.netloc:
        raise _refused(url, "it names no bucket")
    return GcsStore(parts.netloc, unquote(parts.path).strip("/"))


def _refused(url: str, why: str) -> StoreConfigError:
    shown = re.sub(r"//[^/@]*@", "//...@", url)  # whatever it is, a password may stand there
    return StoreConfigError(
        f"{shown!r} is no store: {why}. Give file:///absolute/directory or gs://bucket/prefix (BATON_STORE)."
    )
