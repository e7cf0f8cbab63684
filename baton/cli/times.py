"""Times and durations in readable form."""

from __future__ import annotations

from datetime import UTC, datetime


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """Time since `at`, in one unit. `now`: the service's time if it was sent, otherwise this machine's."""
    if at is None:
        return "-"
    return duration(((now or datetime.now(UTC)) - at).total_seconds())


def duration(seconds: float | None) -> str:
    """A duration in its largest one or two units, e.g. 42 s, 3 min 05 s, 2 h 10 min, 3 d."""
    if seconds is None:
        return "-"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d"


def stamp(at: datetime) -> str:
    """Date, time and zone of the reader's clock, e.g. 2026-08-01 14:05:09+02:00."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
