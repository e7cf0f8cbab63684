"""Checks of numeric arguments. All adapters use them."""

from datetime import timedelta

MAX_EXPIRY = timedelta(days=7)  # the limit of Google's and Amazon's V4 signatures


def checked_bounds(start: int, end: int | None) -> None:
    """Raise ValueError unless 0 <= start <= end (bytes; end None is the object's end)."""
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"bytes [{start}, {end}) are not a range: 0 <= start <= end is needed")


def checked_expiry(expires: timedelta) -> None:
    """Raise ValueError unless 0 < expires <= 7 days."""
    if not timedelta(0) < expires <= MAX_EXPIRY:
        raise ValueError(f"a signed URL is valid for more than 0 s and at most {MAX_EXPIRY.days} days, not {expires}")


def checked_size(size: int) -> None:
    """Raise ValueError for a negative number of bytes."""
    if size < 0:
        raise ValueError(f"an upload has 0 bytes or more, not {size}")
