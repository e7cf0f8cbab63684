"""The interface of an adapter for a cloud's preemption notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import httpx

from worker.preemption.notice import NoticeDetails

# Bounds for the seconds in a notice. The notice may be late, or the clock may be wrong.
LEAST_SECONDS, MOST_SECONDS = 10.0, 3600.0


class Source(Protocol):
    """One source of notices. Its methods raise httpx.HTTPError, and ValueError for an invalid answer."""

    @property
    def name(self) -> str:
        """The name in logs and settings."""
        ...

    @property
    def pause(self) -> float:
        """Seconds between two calls of `look`."""
        ...

    def probe(self) -> None:
        """Returns if this machine belongs to this cloud. Otherwise raises, after one or two seconds."""
        ...

    def look(self) -> NoticeDetails | None:
        """The current notice, if any. May wait up to a minute for one."""
        ...


def metadata_client(url: str, read_seconds: float = 2.0, headers: dict[str, str] | None = None) -> httpx.Client:
    """A client of a link-local server: without proxies, with short timeouts."""
    timeout = httpx.Timeout(read_seconds, connect=1.0)
    return httpx.Client(base_url=url, timeout=timeout, headers=headers, trust_env=False)


def seconds_until(moment: object, parse: Callable[[str], datetime]) -> float:
    """Seconds from now, by this machine's clock and within bounds. LEAST_SECONDS if `moment` cannot be parsed."""
    try:
        parsed = parse(str(moment))
    except (ValueError, TypeError):
        return LEAST_SECONDS
    zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return min(max((zoned - datetime.now(UTC)).total_seconds(), LEAST_SECONDS), MOST_SECONDS)
