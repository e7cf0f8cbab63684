"""Collects the metrics of one scrape: this replica's counters, numbers from the database, state of dependencies."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import Services
from service.db.unit_of_work import Unit
from service.errors import Forbidden
from service.metrics.database_numbers import Rows, read
from service.principal import Principal
from service.usecases import project_quotas

KEPT_SECONDS = 5.0
"""Numbers from the database are cached for this time, regardless of the number of scrapes."""

QUEUES: Mapping[str, tuple[str, str]] = {
    "queued": ("baton_queue_queued", "Attempts that wait in the queue, including those in a backoff or at a limit"),
    "waiting": ("baton_queue_waiting", "Attempts of the queue that may start now and need a worker"),
    "held": ("baton_queue_held", "Attempts of the queue that workers hold"),
    "oldest": ("baton_queue_oldest_seconds", "Seconds since the oldest waiting attempt could have started"),
    "images_per_second": (
        "baton_running_images_per_second",
        "Images per second of the running attempts, by their last report",
    ),
    "remaining": (
        "baton_running_remaining_seconds",
        "Estimated remaining seconds of the running jobs, in total",
    ),
    "overdue": ("baton_running_overdue", "Running jobs whose newest checkpoint is overdue"),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Reading:
    up: Mapping[str, bool]
    rows: Rows | None
    seconds: float
    at: float


class Scrape(Collector):
    """Reads the numbers for each scrape, at most once in KEPT_SECONDS. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = Lock()
        self._last: _Reading | None = None
        self._several = True
        services.counters.registry.register(self)

    def check(self, caller: Principal | None) -> None:
        """Check that the caller may read numbers of all projects. `caller`: None if no token is needed.

        While the database is away, the last known answer counts. Raises Forbidden.
        """
        if caller is None or caller.project is None:
            return
        with suppress(SQLAlchemyError), self._services.database.read() as session:
            self._several = project_quotas.several(Unit(session))
        if self._several:
            text = (
                f"the metrics count all projects, and the token {caller.name} belongs to the project {caller.project}"
            )
            raise Forbidden(f"{text}: use BATON_READ_TOKEN")

    def text(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._services.counters.registry)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, because the registration must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics except this replica's counters."""
        with self._lock:
            if self._last is None or time.monotonic() > self._last.at + KEPT_SECONDS:
                self._last = self._read()
            reading = self._last
        leads = self._services.reconciler.leads()
        yield GaugeMetricFamily("baton_conductor_leads", "1: this replica is the reconciler", value=float(leads))
        text = "Seconds since each thread of the reconciler ended its last pass"
        yield _labelled("baton_pass_age_seconds", text, "thread", self._services.reconciler.pass_ages())
        yield GaugeMetricFamily("baton_metrics_read_seconds", "Seconds to read these numbers", value=reading.seconds)
        yield _labelled("baton_dependency_up", "1: usable from this replica", "dependency", reading.up)
        if reading.rows is not None:
            yield from _of_rows(reading.rows)

    def _read(self) -> _Reading:
        begun = time.monotonic()
        up = {name: state.ok for name, state in self._services.readiness.states().items()}
        rows = self._rows() if up["database"] else None
        now = time.monotonic()
        return _Reading(up, rows, now - begun, now)

    def _rows(self) -> Rows | None:
        settings = self._services.settings
        try:
            with self._services.database.read() as session:
                return read(Unit(session), settings.limits, settings.lost_after)
        except SQLAlchemyError as error:
            log.warning("the numbers of the database could not be read: %s", type(error).__name__)
            return None


def _of_rows(rows: Rows) -> Iterator[Metric]:
    yield _labelled("baton_jobs", "Jobs that have not ended, by status", "status", rows.jobs)
    yield _labelled("baton_workers", "Workers that were seen within a day, by state", "state", rows.workers)
    text = "Items that a step of the reconciler could not handle and tries again"
    yield _labelled("baton_items_failing", text, "step", rows.failing)
    help_text = "Seconds of the jobs that have not ended, by bucket"
    yield _labelled("baton_live_jobs_seconds", help_text, "bucket", rows.seconds)
    yield _labelled(
        "baton_garbage_backlog",
        "Rows that garbage collection or publishing has to handle, by kind",
        "kind",
        rows.backlog,
    )
    for part, (name, text) in QUEUES.items():
        yield _labelled(name, text, "queue", {key: float(getattr(queue, part)) for key, queue in rows.queues.items()})


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        found.add_metric([key], float(value))
    return found
