"""A big object, and the names of all objects of a store."""

from baton.storage import BlobStore

BIG = bytes(range(256)) * (12 * 2**20 // 256)  # over 8 MiB, which GCS uploads in a resumable session


def names(store: BlobStore, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]
