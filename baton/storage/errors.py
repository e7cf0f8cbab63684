"""The errors of a store, each with a stable `code`.

Adapters raise no exceptions of their libraries or of the operating system. The original exception is the `__cause__`.
"""

from typing import ClassVar


class StoreError(Exception):
    """Base of all errors of a store. The message contains the next step."""

    code: ClassVar[str] = "store_error"


class NotFound(StoreError):
    """There is no object with this name."""

    code = "not_found"


class AlreadyExists(StoreError):
    """`put(..., if_absent=True)` found an object with this name: another writer was first."""

    code = "already_exists"


class InvalidName(StoreError):
    """The name is not a valid object name, or the store cannot have an object with it."""

    code = "invalid_name"


class Corrupted(StoreError):
    """The bytes do not match the expected checksum."""

    code = "corrupted"


class LocalFileError(StoreError):
    """The caller's local file, the source of a put or the target of a download, cannot be read or written."""

    code = "local_file"


class StoreConfigError(StoreError):
    """The configuration of the store is wrong (URL, bucket, credentials, permissions). Another try does not help."""

    code = "store_config"


class StoreUnavailable(StoreError):
    """The store does not answer now. A later try may help. A write may or may not have happened."""

    code = "store_unavailable"


class StoreFull(StoreUnavailable):
    """No space left. A later try succeeds once there is space."""

    code = "store_full"


class ObjectChanged(StoreUnavailable):
    """The object was replaced or deleted during a read. Read it again from the start."""

    code = "object_changed"
