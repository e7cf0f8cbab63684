"""Decides what a server's answer to a download request means."""

from __future__ import annotations

import re

from baton.domain.downloads import Download
from baton.domain.errors import JobFailure
from baton.transfer.http_stream import Broken, Head
from baton.transfer.partial_file import Partial

_LATER = frozenset({408, 421, 425, 429})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
MAX_RETRY_AFTER = 60.0


def accepted(head: Head, source: Download, part: Partial) -> bool:
    """Prepares the partial file for the body. Returns False if the file is already complete.

    Raises:
        Broken: another try may succeed. If the server's file has changed, the partial file was deleted.
        JobFailure: bad_data; another try does not help.
    """
    if head.status == 200:
        part.begin(source.url, head.headers, number(head.headers.get("content-length")))
        return True
    if head.status == 206 and _continues(head, part):
        return True
    if head.status == 416 and _whole(head, part):
        return False
    if head.status in (206, 416):
        part.discard()
        raise Broken("the file on the server changed, restarting from the beginning")
    raise not_accepted(head, source)


def not_accepted(head: Head, source: Download) -> Broken | JobFailure:
    """The error for an answer without the file: Broken if another try may succeed, else JobFailure: bad_data."""
    status = f"HTTP {head.status} {head.reason}".strip()
    if head.status in _LATER or head.status >= 500:
        return Broken(status, min(number(head.headers.get("retry-after")) or 0.0, MAX_RETRY_AFTER))
    return JobFailure("bad_data", f"{source.shown}: {status}; {source.advice}")


def _continues(head: Head, part: Partial) -> bool:
    found = _RANGE.fullmatch(head.headers.get("content-range", ""))
    if found is None or int(found[1]) != part.size or not part.same_version(head.headers):
        return False
    total = number(found[2])
    return None in (total, part.total) or total == part.total


def _whole(head: Head, part: Partial) -> bool:
    total = number(head.headers.get("content-range", "").removeprefix("bytes */"))
    return total is not None and total == part.size and part.same_version(head.headers)


def number(text: str | None) -> int | None:
    """The whole number in a header. None if the header has none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
