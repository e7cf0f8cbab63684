"""The text about a worker whose heartbeat is late, and a job's state some seconds after the answer."""

from __future__ import annotations

from datetime import timedelta

from baton.cli.times import duration
from baton.domain.views import JobView


def silence(job: JobView) -> str | None:
    """E.g. `worker w1 silent for 8 s; its lease ends in 22 s`. None if the heartbeat is not late."""
    if job.silent_seconds is None:
        return None
    text = f"worker {job.worker} silent for {duration(job.silent_seconds)}"
    if job.lease_expires_at is None or job.as_of is None:
        return text
    left = (job.lease_expires_at - job.as_of).total_seconds()
    return f"{text}; its lease " + (
        f"ends in {duration(left)}" if left > 0 else "has ended: another worker gets the job"
    )


def later(job: JobView, seconds: float) -> JobView:
    """The job as it is `seconds` after the answer, if only its times have changed."""
    if job.as_of is None:
        return job
    changes: dict[str, object] = {"as_of": job.as_of + timedelta(seconds=seconds)}
    if job.silent_seconds is not None:
        changes["silent_seconds"] = job.silent_seconds + seconds
    return job.model_copy(update=changes)
