"""What a store can answer besides the bytes: one small family of errors, each with a stable `code`.

No adapter lets an exception of its library or of the operating system through; the original is the `__cause__`.
"""

from typing import ClassVar


class StoreError(Exception):
    """A store could not do what it was asked. The message says what to do next."""

    code: ClassVar[str] = "store_error"


class NotFound(StoreError):
    """There is no object of that name."""

    code = "not_found"


class AlreadyExists(StoreError):
    """`put(..., if_absent=True)` met an object of that name: another writer was first."""

    code = "already_exists"


class InvalidName(StoreError):
    """The name is no object name, or the store cannot hold an object there."""

    code = "invalid_name"


class Corrupted(StoreError):
    """The bytes are not those whose checksum was promised."""

    code = "corrupted"


class LocalFileError(StoreError):
    """The caller's own file, the source of a put or the target of a download, cannot be read or written."""

    code = "local_file"


class StoreConfigError(StoreError):
    """The store is set up wrongly (URL, bucket, credentials, permissions): trying again does not help."""

    code = "store_config"


class StoreUnavailable(StoreError):
    """The store does not answer now; trying again later may help. A write may or may not have happened."""

    code = "store_unavailable"


class StoreFull(StoreUnavailable):
    """No space left: it helps to try again once somebody made room."""

    code = "store_full"


class ObjectChanged(StoreUnavailable):
    """The object was replaced or deleted while it was being read: read it again from the start."""

    code = "object_changed"
