"""The clock of the service, set by tests.

It is one day ahead of the database's clock, so a time that has passed for the database has passed here too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class MovedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.begun = self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    def to(self, seconds: float) -> None:
        """Set the clock to this many seconds after its first time."""
        self.now = self.begun + timedelta(seconds=seconds)

    def forward(self, seconds: float) -> None:
        """Move the clock forward by this many seconds."""
        self.now += timedelta(seconds=seconds)
