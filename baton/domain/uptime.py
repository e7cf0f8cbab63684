"""Computes the service's uptime from the spans of time in which it wrote to the database. Pure functions.

Only time in which a worker could have renewed its lease counts for a lease: docs/decisions/0028-leases-and-outages.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Span:
    """A span of time in which one replica wrote regularly, without a long gap."""

    begun: datetime
    ended: datetime


def longest_gap(lease: float, heartbeat: float) -> float:
    """The longest gap between writes that counts as uptime, in seconds. A worker can still renew its lease after it."""
    return max(0.5, min(lease / 3, (lease - heartbeat) / 2))


def served(spans: Iterable[Span], now: datetime, gap: float) -> list[Span]:
    """Merge the spans of all replicas, newest first. Spans are joined if the gap between them is below `gap` seconds.

    Spans in the future are ignored: they were written before the clock was set back.
    """
    joined: list[Span] = []
    margin = timedelta(seconds=gap)
    known = [one for one in spans if one.begun <= one.ended <= now]
    for one in sorted(known, key=lambda span: span.ended, reverse=True):
        last = joined[-1] if joined else None
        if last is not None and one.ended >= last.begun - margin:
            joined[-1] = Span(min(last.begun, one.begun), last.ended)
        else:
            joined.append(one)
    return joined


def since(joined: list[Span], seconds: float) -> datetime | None:
    """The time since which the service was up for `seconds` in total. None if the known uptime is shorter."""
    rest = timedelta(seconds=seconds)
    for one in joined:
        lasted = one.ended - one.begun
        if lasted >= rest:
            return one.ended - rest
        rest -= lasted
    return None


@dataclass(frozen=True)
class Served:
    """The uptime of the service. `now`: the database's clock, which was compared with this host's clock.

    `since`: the service has accepted heartbeats without a gap since then. `long_before`: the total uptime since this
    time is so long that a worker without a heartbeat since then is lost, even if there were outages.
    """

    now: datetime
    since: datetime
    long_before: datetime | None = None

    def over(self, expires: datetime, heard: datetime | None, lease: float) -> bool:
        """Whether a lease has expired. After an outage it expires after `lease` seconds of uptime at the earliest."""
        if expires > self.now:
            return False
        return self.has_served(lease) or self.in_vain(heard)

    def has_served(self, seconds: float) -> bool:
        """Whether the service was up without a gap for this many seconds."""
        return self.since + timedelta(seconds=seconds) <= self.now

    def in_vain(self, moment: datetime | None) -> bool:
        """Whether `moment` is so long ago that an outage cannot explain the silence since then."""
        return moment is not None and self.long_before is not None and moment < self.long_before

    def passed(self, begun: datetime, seconds: float) -> bool:
        """Whether `seconds` have passed since `begun`. Time before the end of the last outage does not count."""
        if begun + timedelta(seconds=seconds) > self.now:
            return False
        return self.has_served(seconds) or self.in_vain(begun)
