"""Reads and writes the identity object of a store."""

from baton.domain.store_identity import IDENTITY, StoreIdentity, StoreRef, one_line, shown_url
from baton.storage.errors import (
    AlreadyExists,
    NotFound,
    StoreConfigError,
    StoreError,
    StoreUnavailable,
)
from baton.storage.port import BlobStore


def read_identity(store: BlobStore) -> str | None:
    """Return the id of the store, or None if it has no identity.

    Raises StoreError if the store does not answer or the object is not an identity.
    """
    try:
        data = store.get(IDENTITY)
    except NotFound:
        return None
    try:
        return StoreIdentity.model_validate_json(data).id
    except ValueError as error:
        raise StoreConfigError(
            f"The object {IDENTITY!r} in {shown_url(store.url)} is damaged. Delete it: the service writes it again."
        ) from error


def write_identity(store: BlobStore, identity: StoreIdentity) -> str:
    """Write the identity if the store has none. Return the store's id. Raises StoreError."""
    try:
        store.put(IDENTITY, identity.model_dump_json().encode(), if_absent=True, content_type="application/json")
    except AlreadyExists:
        found = read_identity(store)
        if found is None:
            raise StoreUnavailable(f"The object {IDENTITY!r} was deleted during the write. Try again.") from None
        return found
    return identity.id


def describe(store: BlobStore) -> StoreRef:
    """Return the store in the form that a worker reports. A StoreError is not raised: it becomes `problem`."""
    url = shown_url(store.url)[:2000]
    try:
        return StoreRef(url=url, id=read_identity(store))
    except StoreError as error:
        return StoreRef(url=url, problem=one_line(error))
