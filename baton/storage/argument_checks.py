"""What every adapter demands of its callers' numbers."""

from datetime import timedelta

MAX_EXPIRY = timedelta(days=7)  # what Google's V4 signatures allow


def checked_bounds(start: int, end: int | None) -> None:
    """Raise ValueError unless 0 <= start <= end (bytes; end None is the object's end)."""
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"bytes [{start}, {end}) are no range: 0 <= start <= end is needed")


def checked_expiry(expires: timedelta) -> None:
    """Raise ValueError unless 0 < expires <= 7 days."""
    if not timedelta(0) < expires <= MAX_EXPIRY:
        raise ValueError(f"a signed URL lives more than nothing and at most {MAX_EXPIRY.days} days, not {expires}")
