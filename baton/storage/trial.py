"""Tests with small objects what a store must do. Some servers accept conditions or metadata, but ignore them."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from baton.storage.errors import AlreadyExists, StoreError
from baton.storage.port import BlobStore

_FOLDER = "baton-check"
_DATA = b"0123456789"
_WRITERS = 4


def missing_abilities(store: BlobStore) -> list[str]:
    """Return what the store does not do, as text with the consequence; [] if nothing is missing.

    Writes a few objects below baton-check/ and deletes them. Raises StoreError if the store cannot be used.

    >>> import tempfile
    >>> from baton.storage import open_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     missing_abilities(open_store(f"file://{folder}"))
    []
    """
    store.check()
    name = f"{_FOLDER}/{secrets.token_hex(8)}"
    copy = f"{name}.copy"
    try:
        return list(_missing(store, name, copy))
    finally:
        with contextlib.suppress(StoreError):
            for one in (name, copy):
                store.delete(one)


def _missing(store: BlobStore, name: str, copy: str) -> Iterator[str]:
    if not _one_creator_wins(store, name):
        yield "it ignores conditional writes (If-None-Match), so two workers could both write a checkpoint's manifest"
    store.put(name, _DATA, content_type="text/plain")
    found = store.stat(name)
    checksums = urlsplit(store.url).scheme != "file"
    if checksums and (found is None or found.crc32c is None):
        yield "it drops the metadata of objects, so damage is found only at a restore, not when a file is read"
    if found is None or found.size != len(_DATA):
        yield "it does not return the size of an object that was just written"
    if store.get(name) != _DATA or b"".join(store.open(name, 2, 5)) != _DATA[2:5]:
        yield "it does not return the bytes of an object, or of a range of it"
    if name not in [info.name for info in store.list(f"{_FOLDER}/")]:
        yield "a list leaves out an object that was just written, so objects of deleted jobs may stay"
    store.copy(name, copy)
    if store.get(copy) != _DATA:
        yield "a copy of an object differs from it"
    store.delete(name)
    if store.stat(name) is not None:
        yield "a deleted object is still there, so the store grows without limit"


def _one_creator_wins(store: BlobStore, name: str) -> bool:
    start = threading.Barrier(_WRITERS)

    def create(number: int) -> bool:
        start.wait()
        try:
            store.put(name, str(number).encode(), if_absent=True)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(_WRITERS) as pool:
        return sum(pool.map(create, range(_WRITERS))) == 1
