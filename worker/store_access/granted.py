"""The store of a granted attempt.

A worker with BATON_STORE uses that store; the claim has checked that it is the service's store. Any other worker uses
the store in the grant. If this machine can read the identity of that store, the worker uses the store directly.
Otherwise all bytes go through the service or through URLs that the service signs.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from baton.domain.attempt_objects import PART_BYTES
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.store_identity import IDENTITY, StoreGrant
from baton.domain.wire import Grant
from baton.storage import BlobStore, ObjectAccess, StoreConfigError, StoreError, open_store
from baton.storage.identity import read_identity
from worker.api_client.client import ServiceClient
from worker.ipc.messages import Held
from worker.store_access.attempt_store import AttemptStore

LOOK_SECONDS = 5.0
"""Time limit of the search for credentials and for the store. Without credentials some libraries search the network."""
NO_STORE = (
    "the service is of an older release and hands out no store: set BATON_STORE to the service's store for this worker"
)
log = logging.getLogger(__name__)


def store_of(grant: Grant, client: ServiceClient, own: BlobStore | None, *, direct: bool = True) -> ObjectAccess:
    """The store for the objects of this attempt. Raises JobFailure if an older service hands out none.

    `direct`: whether to try this machine's own access to the store first.
    """
    if own is not None:
        return own
    if grant.store is None:
        raise JobFailure(Reason.WRONG_STORE, NO_STORE)
    found = _direct(grant.store) if direct else None
    if found is not None:
        log.info("uses the store %s directly", grant.store.url)
        return found
    log.info("reads and writes the store through the service")
    return AttemptStore(client, grant.attempt_id, grant.store.url, grant.store.part_bytes)


def store_of_log(held: Held, client: ServiceClient) -> ObjectAccess:
    """The store for the log of an attempt, through the service. Raises StoreConfigError."""
    if not held.store_url:
        raise StoreConfigError(NO_STORE)
    client.hold(held.attempt_id, held.token, held.protocol)
    return AttemptStore(client, held.attempt_id, held.store_url, PART_BYTES)


def _direct(granted: StoreGrant) -> BlobStore | None:
    """The store, if this machine can read its identity there."""
    found: list[BlobStore] = []

    def look() -> None:
        try:
            store = open_store(granted.url)
            if read_identity(store) == granted.id:
                found.append(store)
        except StoreError as error:
            log.debug("no direct access to %s: %s", granted.url, error)

    if granted.id is None or not _may_be_here(granted.url):
        return None
    thread = threading.Thread(target=look, name="find-store", daemon=True)
    thread.start()
    thread.join(LOOK_SECONDS)
    return found[0] if found else None


def _may_be_here(url: str) -> bool:
    """False for a directory that this machine does not have: opening it would create it."""
    parts = urlsplit(url)
    return parts.scheme != "file" or (Path(unquote(parts.path)) / IDENTITY).is_file()
