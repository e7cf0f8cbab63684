"""Servers of object storage, one of each vendor, behind the same names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from baton.storage import BlobStore
from tests.support.azurite import Azurite, azurite
from tests.support.gcs import GcsEmulator, gcs_emulator
from tests.support.s3 import S3Server, s3_server

StoreServer = GcsEmulator | S3Server | Azurite
KINDS = ("gcs", "s3", "azure")


@contextlib.contextmanager
def store_server(kind: str) -> Iterator[StoreServer]:
    """Run the server of `kind`, with an empty bucket, until the block ends."""
    start = {"gcs": gcs_emulator, "s3": s3_server, "azure": azurite}[kind]
    with start() as running:
        yield running


def store_with_deadline(server: StoreServer, prefix: str, deadline: float) -> BlobStore:
    """The store that the environment leads to, with another deadline (seconds) than that of `open_store`."""
    from baton.storage.gcs import GcsStore
    from baton.storage.object_store import ObjectStore
    from baton.storage.object_vendors import AZURE, S3

    if isinstance(server, GcsEmulator):
        return GcsStore(server.bucket, prefix, deadline=deadline)
    if isinstance(server, S3Server):
        return ObjectStore(S3, server.bucket, prefix, deadline=deadline)
    return ObjectStore(AZURE, server.container, prefix, deadline=deadline)
