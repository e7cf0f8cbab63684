"""The blob store: one port, and adapters for a directory, Google Cloud Storage, S3 and Azure Blob Storage."""

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
from baton.storage.port import BlobInfo, BlobStore, ObjectAccess, SignedPut, StreamedPut

__all__ = [
    "AlreadyExists",
    "BlobInfo",
    "BlobStore",
    "Corrupted",
    "InvalidName",
    "LocalFileError",
    "NotFound",
    "ObjectAccess",
    "ObjectChanged",
    "SignedPut",
    "StoreConfigError",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StreamedPut",
    "crc32c_of",
    "open_store",
]


def open_store(url: str) -> BlobStore:
    """Open the store at `url`: file:///absolute/dir (created if missing), gs://bucket[/prefix], s3://bucket[/prefix] or
    az://container[/prefix].

    Credentials, region, account and endpoint come from the environment (docs/how-to/stores.md). STORAGE_EMULATOR_HOST
    selects an emulator for gs://, AWS_ENDPOINT_URL another server for s3://, AZURE_STORAGE_ACCOUNT_NAME and
    AZURE_STORAGE_ENDPOINT the account for az://. Makes no network request: `check()` tests the connection.
    Raises StoreConfigError for any other URL, for a directory that cannot be created, and for incomplete credentials.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(f"file://{folder}")
    ...     info = store.put("a/b.txt", b"hello")
    ...     info.size, info.crc32c, store.get("a/b.txt")
    (5, '9a71bb4c', b'hello')
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(url, str(error)) from error
    if parts.query or parts.fragment:
        raise _refused(url, "'?' and '#' are not allowed (in a path write %3F and %23)")
    if parts.scheme == "file":
        return _directory(url, parts)
    if parts.scheme in ("gs", "s3", "az"):
        return _bucket(url, parts)
    raise _refused(url, f"its scheme is {parts.scheme!r}" if parts.scheme else "it has no scheme")


def _directory(url: str, parts: SplitResult) -> BlobStore:
    from baton.storage.directory import DirectoryStore

    if parts.netloc not in ("", "localhost"):
        raise _refused(url, "the directory must be absolute: write three slashes after 'file:'")
    if not parts.path.startswith("/"):
        raise _refused(url, "the directory must be absolute")
    return DirectoryStore(Path(unquote(parts.path)))


def _bucket(url: str, parts: SplitResult) -> BlobStore:
    if not parts.netloc:
        raise _refused(url, "it has no container" if parts.scheme == "az" else "it has no bucket")
    if "@" in parts.netloc:
        raise _refused(url, "it has a user or a password; credentials come from the environment")
    prefix = unquote(parts.path).strip("/")
    if parts.scheme == "gs":
        from baton.storage.gcs import GcsStore  # lazily: importing Google's libraries takes a second

        return GcsStore(parts.netloc, prefix)
    from baton.storage.object_store import ObjectStore
    from baton.storage.object_vendors import VENDORS

    return ObjectStore(VENDORS[parts.scheme], parts.netloc, prefix)


def _refused(url: str, why: str) -> StoreConfigError:
    shown = re.sub(r"//[^/@]*@", "//...@", url)  # the URL may contain a password
    return StoreConfigError(
        f"{shown!r} is not a store: {why}. Use file:///absolute/directory, gs://bucket/prefix, s3://bucket/prefix or "
        "az://container/prefix (BATON_STORE)."
    )
