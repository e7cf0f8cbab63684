"""How long ago the worker of a held attempt was heard, and from when on that counts as silence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.domain.states import HELD_ATTEMPTS
from service.db.tables import Attempt

LATE_INTERVALS = 1.5
"""A heartbeat that is so many intervals old is late: its worker is silent."""


@dataclass(frozen=True)
class Beats:
    """The service's settings for leases, in seconds: `heartbeat` between two heartbeats, `lease` after the last one."""

    heartbeat: float
    lease: float

    @property
    def late_after(self) -> float:
        """The age in seconds from which on a heartbeat is late."""
        return LATE_INTERVALS * self.heartbeat


@dataclass(frozen=True)
class Heard:
    """What is known of the worker that holds an attempt.

    `at`: its last heartbeat, or its claim. `age`: seconds since then in which the service was there to hear the next.
    `silent`: whether that one is late. `expires`: when its lease runs out.
    """

    at: datetime
    age: float
    silent: bool
    expires: datetime

    @property
    def silent_seconds(self) -> float | None:
        """The age where the worker is silent, to milliseconds."""
        return round(self.age, 3) if self.silent else None


def heard(attempt: Attempt, beats: Beats, now: datetime) -> Heard | None:
    """None where no worker holds the attempt. All by the database's clock."""
    expires = attempt.lease_expires_at
    if attempt.state not in HELD_ATTEMPTS or expires is None:
        return None
    # Each heartbeat renews the lease, and so does the end of an outage of the service. An older service writes no
    # `beat_at`.
    renewed = min(now, expires - timedelta(seconds=beats.lease))
    at = attempt.beat_at or renewed
    age = max(0.0, (now - max(at, renewed)).total_seconds())
    return Heard(at, age, age >= beats.late_after, expires)
