"""What an adapter of a cloud is: something that can be asked whether this machine goes away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import httpx

from worker.preemption.notice import NoticeDetails

# A notice that came late, or a clock that is wrong: whatever is left, it is used.
LEAST_SECONDS, MOST_SECONDS = 10.0, 3600.0


class Source(Protocol):
    """One thing to watch. Its calls raise httpx.HTTPError, and ValueError for an answer that makes no sense."""

    @property
    def name(self) -> str:
        """For logs and settings."""
        ...

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        ...

    def probe(self) -> None:
        """Returns where this machine is one of this cloud, and raises elsewhere, after a second or two."""
        ...

    def look(self) -> NoticeDetails | None:
        """What there is to say now; may wait for a minute until there is something."""
        ...


def metadata_client(url: str, read_seconds: float = 2.0, headers: dict[str, str] | None = None) -> httpx.Client:
    """A client of a link-local server: no proxy, no patience."""
    timeout = httpx.Timeout(read_seconds, connect=1.0)
    return httpx.Client(base_url=url, timeout=timeout, headers=headers, trust_env=False)


def seconds_until(moment: object, parse: Callable[[str], datetime]) -> float:
    """Seconds from now, as this machine's clock has it, within bounds; the least where nobody can say."""
    try:
        parsed = parse(str(moment))
    except (ValueError, TypeError):
        return LEAST_SECONDS
    zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return min(max((zoned - datetime.now(UTC)).total_seconds(), LEAST_SECONDS), MOST_SECONDS)
