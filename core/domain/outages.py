"""How much of a time the service was able to serve, as pure functions of the spans in which it wrote.

A lease counts only time in which a worker could have renewed it: docs/decisions/0028-leases-and-outages.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Span:
    """A time in which one replica wrote again and again, never with a gap that is too long."""

    begun: datetime
    ended: datetime


def longest_gap(lease: float, heartbeat: float) -> float:
    """Seconds without a write that still count as served: a worker has time left to renew its lease after them."""
    return max(0.5, min(lease / 3, (lease - heartbeat) / 2))


def served(spans: Iterable[Span], now: datetime, gap: float) -> list[Span]:
    """The spans of all replicas as those of one service, newest first: joined where less than `gap` seconds part them.

    What lies in the future was written before the clock was set back, and tells nothing.
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
    """The moment since which the service served `seconds` in all; None: not so long, as far as is known."""
    rest = timedelta(seconds=seconds)
    for one in joined:
        lasted = one.ended - one.begun
        if lasted >= rest:
            return one.ended - rest
        rest -= lasted
    return None


@dataclass(frozen=True)
class Served:
    """What the service knows of its own time. `now`: the database's clock, just compared with this machine's.

    `since`: the service has taken heartbeats ever since then. `long_before`: it served so long in all since then,
    outages left out, that whoever was not heard of since is waited for no longer, whatever happened meanwhile.
    """

    now: datetime
    since: datetime
    long_before: datetime | None = None

    def over(self, expires: datetime, heard: datetime | None, lease: float) -> bool:
        """Whether a lease ran out: at its time, and not before a whole one (seconds) after an outage of the service."""
        if expires > self.now:
            return False
        return self.has_served(lease) or self.in_vain(heard)

    def has_served(self, seconds: float) -> bool:
        """Whether the service was there without a gap for so long."""
        return self.since + timedelta(seconds=seconds) <= self.now

    def in_vain(self, moment: datetime | None) -> bool:
        """Whether that was so long ago that no outage explains the silence since."""
        return moment is not None and self.long_before is not None and moment < self.long_before

    def passed(self, begun: datetime, seconds: float) -> bool:
        """Whether so many seconds passed since `begun`, an outage and what was before it left out."""
        if begun + timedelta(seconds=seconds) > self.now:
            return False
        return self.has_served(seconds) or self.in_vain(begun)
