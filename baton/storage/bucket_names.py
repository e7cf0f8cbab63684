"""Checks of a bucket's name and of the prefix of all names in it."""

import re

from baton.storage.errors import InvalidName, StoreConfigError
from baton.storage.object_names import checked_name

MAX_PREFIX_BYTES = 120  # with '/' and a name of 900 bytes it stays below the vendors' limit of 1,024


def check_place(scheme: str, bucket: str, prefix: str, pattern: str, allowed: str) -> None:
    """Raise StoreConfigError unless `bucket` matches `pattern` and `prefix` can begin a valid name.

    `allowed`: what the pattern allows, as text.
    """
    if not re.fullmatch(pattern, bucket):
        raise StoreConfigError(f"{bucket!r} is not a bucket name: use {allowed}.")
    try:
        if prefix and len(checked_name(prefix).encode()) > MAX_PREFIX_BYTES:
            raise InvalidName(f"the prefix {prefix!r} is over {MAX_PREFIX_BYTES} bytes")
    except InvalidName as error:
        raise StoreConfigError(f"{scheme}://{bucket}/{prefix} cannot be a store: {error}") from error
