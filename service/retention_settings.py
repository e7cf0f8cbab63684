"""Settings of how long the service keeps what has ended. They are a part of service.settings."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_settings import BaseSettings, NoDecode

from baton.domain.durations import parse_duration
from baton.domain.states import TERMINAL_JOBS
from service.usecases.retention import OF_JOBS, OF_SERVICE, Retention

ADVICE = {
    "data_retention": "give a duration of at least 1h such as 90d, or leave it empty to keep everything",
    "retention_keys": "give a duration of at least 1h such as 30d",
    **dict.fromkeys(
        ("retention_audit", "retention_workers"), "give a duration of at least 1h such as 90d, or leave it empty"
    ),
    **dict.fromkeys(
        (f"retention_{kind}" for kind in ("jobs", "checkpoints", "logs", "artifacts", "events", "series")),
        "give a duration of at least 1h such as 90d, or one by status such as failed=30d,cancelled=7d, or leave it "
        "empty to keep everything",
    ),
}
_ENDED = tuple(sorted(state.value for state in TERMINAL_JOBS))


def _read_duration(value: object) -> object:
    return (parse_duration(value) if value.strip() else None) if isinstance(value, str) else value


def _by_status(value: object) -> object:
    """Seconds by status from `90d`, which stands for all, or `failed=30d,cancelled=7d`."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[^,=]+", value.strip()):
        return dict.fromkeys(_ENDED, _bounded(parse_duration(value)))
    parts = [one.partition("=") for one in value.split(",") if one.strip()]
    found = {status.strip(): _bounded(parse_duration(duration)) for status, _, duration in parts}
    if len(found) < len(parts):
        raise ValueError("names a status twice")
    return found


SHORTEST, LONGEST = 3600.0, 36_500 * 86_400.0
"""Seconds. The service subtracts a retention from the current time, and there are no times before the year 1."""


def _bounded(seconds: float) -> float:
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError("must be at least 1h and at most 36500d")
    return seconds


Seconds = Annotated[float, AfterValidator(_bounded)]
Duration = Annotated[Seconds | None, BeforeValidator(_read_duration)]
ByStatus = Annotated[
    dict[Literal["succeeded", "failed", "cancelled"], Seconds],
    NoDecode,
    BeforeValidator(_by_status),
    WithJsonSchema({"type": "string", "description": "A duration, or durations by status"}),
]


class RetentionSettings(BaseSettings):
    """How long the service keeps what has ended. Times are in seconds, counted from the end of the job."""

    data_retention: Duration = None
    """Versions of pushed data are deleted if no job has used them for this time, such as `90d`; empty: never. A version
    that an unfinished job needs is kept."""
    retention_jobs: ByStatus = Field(default_factory=dict)
    """Jobs are deleted this time after their end, such as `90d`, or `failed=30d,cancelled=7d`, which keeps succeeded
    jobs; empty: never. A `protected` job is kept, with all its data."""
    retention_checkpoints: ByStatus = Field(default_factory=dict)
    """The same for all checkpoints of a job, also the best and the latest. The job cannot be continued afterwards."""
    retention_logs: ByStatus = Field(default_factory=dict)
    """The same for the logs of a job's attempts."""
    retention_artifacts: ByStatus = Field(default_factory=dict)
    """The same for the files of a job."""
    retention_events: ByStatus = Field(default_factory=dict)
    """The same for the events of a job."""
    retention_series: ByStatus = Field(default_factory=dict)
    """The same for the series of a job. Its history is kept."""
    retention_audit: Duration = None
    """Entries of the audit log are deleted after this time; empty: never."""
    retention_workers: Duration = None
    """Workers that were not seen for this time are deleted; empty: never."""
    retention_keys: Annotated[Seconds, BeforeValidator(_read_duration)] = 30 * 86_400
    """After this time an Idempotency-Key is deleted, and a submission with the same key makes a new job."""

    @property
    def retention(self) -> Retention:
        """How long each kind is kept."""
        by_status = {kind: dict(getattr(self, f"retention_{kind}")) for kind in OF_JOBS}
        by_age = {kind: getattr(self, f"retention_{kind}") for kind in OF_SERVICE}
        return Retention(by_status, {kind: seconds for kind, seconds in by_age.items() if seconds is not None})
