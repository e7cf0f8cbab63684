"""The service's clock, moved by hand. It runs ahead of the database's, so that what is over there is over here too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class MovedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.begun = self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    def to(self, seconds: float) -> None:
        """So many seconds after the beginning."""
        self.now = self.begun + timedelta(seconds=seconds)

    def forward(self, seconds: float) -> None:
        """So many seconds after where it stands."""
        self.now += timedelta(seconds=seconds)
