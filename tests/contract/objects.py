"""A big object, and the names of what a store has."""

from baton.storage import BlobStore

BIG = bytes(range(256)) * (12 * 2**20 // 256)  # over 8 MiB: a resumable upload on GCS


def names(store: BlobStore, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]
