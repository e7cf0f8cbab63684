"""The age of the last heartbeat of a held attempt, and the age from which its worker counts as silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from baton.domain.states import HELD_ATTEMPTS
from service.db.tables import Attempt

LATE_INTERVALS = 1.5
"""A heartbeat older than this many intervals is late: its worker is silent."""


@dataclass(frozen=True)
class HeartbeatTimes:
    """The service's lease settings in seconds: `heartbeat` between two heartbeats, `lease` after the last one."""

    heartbeat: float
    lease: float

    @property
    def late_after(self) -> float:
        """The age in seconds from which a heartbeat is late."""
        return LATE_INTERVALS * self.heartbeat


@dataclass(frozen=True)
class Heard:
    """Heartbeat state of the worker that holds an attempt.

    `at`: the last heartbeat, or the claim. `age`: seconds since then in which the service could take heartbeats.
    `silent`: whether the next heartbeat is late. `expires`: when the lease expires.
    """

    at: datetime
    age: float
    silent: bool
    expires: datetime

    @property
    def silent_seconds(self) -> float | None:
        """The age if the worker is silent, rounded to milliseconds."""
        return round(self.age, 3) if self.silent else None


def heard(attempt: Attempt, beats: HeartbeatTimes, now: datetime) -> Heard | None:
    """The state of the attempt's worker. None if no worker holds the attempt. Times are from the database's clock."""
    expires = attempt.lease_expires_at
    if attempt.state not in HELD_ATTEMPTS or expires is None:
        return None
    # The time of the last renewal of the lease. Each heartbeat renews it, and so does the end of an outage of the
    # service. Older releases do not write `beat_at`.
    renewed = min(now, expires - timedelta(seconds=beats.lease))
    at = attempt.beat_at or renewed
    age = max(0.0, (now - max(at, renewed)).total_seconds())
    return Heard(at, age, age >= beats.late_after, expires)
