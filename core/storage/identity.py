"""Reading and writing the identity object of a store."""

from core.domain.store_identity import IDENTITY, StoreIdentity, StoreRef, one_line, shown_url
from core.storage.errors import AlreadyExists, NotFound, StoreConfigError, StoreError, StoreUnavailable
from core.storage.port import BlobStore


def read_identity(store: BlobStore) -> str | None:
    """Return the id of the store, or None if it holds no identity.

    Raises StoreError: the store does not answer, or the object is no identity.
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
    """Store the identity unless there is one, and return the id that the store has then. Raises StoreError."""
    try:
        store.put(IDENTITY, identity.model_dump_json().encode(), if_absent=True, content_type="application/json")
    except AlreadyExists:
        found = read_identity(store)
        if found is None:
            raise StoreUnavailable(f"The object {IDENTITY!r} was deleted while it was written. Try again.") from None
        return found
    return identity.id


def describe(store: BlobStore) -> StoreRef:
    """Return the store as a worker names it to the service. Never raises StoreError: that becomes `problem`."""
    url = shown_url(store.url)[:2000]
    try:
        return StoreRef(url=url, id=read_identity(store))
    except StoreError as error:
        return StoreRef(url=url, problem=one_line(error))
