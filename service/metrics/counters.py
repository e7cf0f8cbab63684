"""Counters of this replica since its start: requests, events of jobs that it committed, writes that it refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from baton.domain.states import TERMINAL_JOBS
from service.db.committed_events import CommittedEvent

# In seconds. 60 is the maximum wait of a long poll.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STORED = ("publish", "delete_checkpoint", "delete_object", "delete_job", "sweep")
QUEUE = ("placing", "dispatch", "dispatch-record", "dispatch-audit", "dispatch-withdraw", "messages", "redis")
STEPS = (
    "expiry",
    "orders",
    "limits",
    "repair",
    "count_attempts",
    *QUEUE,
    "checkpoints",
    "silence",
    "notifications",
    *STORED,
)
"""Reconciler steps whose counters exist from the start. The counters of other steps appear after a failure."""

ENDED = "attempt_"
log = logging.getLogger("service.events")
# Creation times are off: they would be half of all lines, and nobody uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client has no annotation for it


class Counters:
    """Thread-safe. Each app has a separate registry."""

    def __init__(self, version: str) -> None:
        self.registry = made = CollectorRegistry()
        ProcessCollector(registry=made)
        Gauge("baton_build_info", "1, with the version of this replica", ["version"], registry=made).labels(
            version
        ).set(1)
        self.requests = Histogram(
            "baton_http_request_duration_seconds",
            "Seconds until the head of an answer, by route, method and status; _count counts the requests",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=made,
        )
        self.in_progress = Gauge(
            "baton_http_requests_in_progress",
            "Requests in progress, including long polls and streams",
            registry=made,
        )
        self.submitted = Counter("baton_jobs_submitted", "Jobs that were submitted", registry=made)
        self.jobs_ended = Counter("baton_jobs_ended", "Jobs that ended, by status", ["status"], registry=made)
        self.attempts_ended = Counter(
            "baton_attempts_ended", "Attempts that ended, by outcome and reason", ["outcome", "reason"], registry=made
        )
        self.leases_expired = Counter("baton_leases_expired", "Attempts whose lease expired", registry=made)
        self.checkpoints = Counter("baton_checkpoints_committed", "Checkpoints that were committed", registry=made)
        self.quarantined = Counter("baton_checkpoints_quarantined", "Checkpoints that could not be read", registry=made)
        self.fenced = Counter(
            "baton_fenced_writes_refused",
            "Writes of workers that no longer held the attempt (409 lease-lost)",
            registry=made,
        )
        self.item_failures = Counter(
            "baton_item_failures",
            "Failures of single items (a job, an attempt, an object) in the steps of the reconciler",
            ["step"],
            registry=made,
        )
        self._counted: dict[str, Callable[[], None]] = {
            "submitted": self.submitted.inc,
            "checkpoint": self.checkpoints.inc,
            "quarantined": self.quarantined.inc,
        }
        for step in STEPS:
            self.item_failures.labels(step)
        for status in TERMINAL_JOBS:
            self.jobs_ended.labels(status.value)

    def item_failed(self, step: str) -> None:
        """Count an item that this reconciler step could not handle. It is tried again."""
        self.item_failures.labels(step).inc()

    def heard(self, event: CommittedEvent) -> None:
        """Log and count an event of a job that this replica committed."""
        extra = {"job": event.job_id, "event": event.kind, "actor": event.actor, "attempt": event.data.get("attempt")}
        log.info("%s", event.message, extra=extra)
        if event.kind.startswith(ENDED):
            outcome = event.kind.removeprefix(ENDED)
            self.attempts_ended.labels(outcome, str(event.data.get("reason") or "none")).inc()
            if outcome == "lost":
                self.leases_expired.inc()
        elif event.kind in TERMINAL_JOBS:
            self.jobs_ended.labels(event.kind).inc()
        elif (count := self._counted.get(event.kind)) is not None:
            count()
