"""Caches the answers to polls of jobs. An answer is built once per version of a job, for any number of clients."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from zlib import crc32

from sqlalchemy import select

from baton.domain.states import TERMINAL_JOBS
from baton.domain.views import JobView
from service.db.engine import Database
from service.db.tables import Job
from service.db.unit_of_work import Unit, known_form, no_job
from service.usecases import views
from service.usecases.attempt_limits import Limits
from service.usecases.heartbeat_age import HeartbeatTimes

FRESH_SECONDS = 1.0
KEPT = 2000
LEAST_WAIT = 0.25


@dataclass(frozen=True)
class Status:
    """The encoded view of a job. `tag`: its ETag. `made`: creation time, by this process's clock.

    `final`: it changes only with a new version. `waits`: it may change at any moment without a new version.
    `silent`: the worker's heartbeat is late. `silent_at`: when it will be late without another heartbeat, by this
    process's clock.
    """

    version: int
    tag: str
    body: bytes
    made: float
    final: bool
    waits: bool
    silent: bool = False
    silent_at: float = math.inf

    @classmethod
    def of(cls, view: JobView, late_after: float = math.inf) -> Status:
        """The status for this view. `late_after`: the age in seconds from which a heartbeat is late."""
        made, silent = time.monotonic(), view.silent_seconds is not None
        ages = view.lease_expires_at is not None and not silent
        age = (view.as_of - view.beat_at).total_seconds() if view.as_of and view.beat_at else 0.0
        return cls(
            version=view.version,
            tag=etag(view),
            body=view.model_dump_json().encode(),
            made=made,
            final=view.status in TERMINAL_JOBS,
            waits=view.waiting_for is not None,
            silent=silent,
            silent_at=made + late_after - age if ages else math.inf,
        )

    def good_for(self, version: int) -> bool:
        """Whether the view may be sent for this version. Durations in the view may be FRESH_SECONDS old."""
        now = time.monotonic()
        fresh = now - self.made < FRESH_SECONDS and now < self.silent_at
        return self.version == version and (self.final or (fresh and not self.waits))

    def until_silent(self, most: float) -> float:
        """Seconds until the next heartbeat of the worker is late, at most `most`."""
        # At least LEAST_WAIT: clocks differ a little, and a client must not repeat its request in quick succession.
        return min(most, max(LEAST_WAIT, self.silent_at - time.monotonic()))


def etag(view: JobView) -> str:
    """The ETag of a job's version. It is weak, because durations in the answer grow between two changes.

    The reason for waiting and the worker's silence do not change the version but do change the tag.
    """
    waits = f"-{crc32(view.waiting_for.encode()):08x}" if view.waiting_for else ""
    silent = "-silent" if view.silent_seconds is not None else ""
    return f'W/"{view.version}{waits}{silent}"'


class StatusCache:
    """A poll costs one SELECT of the version, and a full read only if the job has changed. Thread-safe."""

    def __init__(self, database: Database, limits: Limits, beats: HeartbeatTimes) -> None:
        self._database, self._limits, self._beats = database, limits, beats
        self._kept: OrderedDict[str, Status] = OrderedDict()
        self._lock = Lock()

    def show(self, job_id: str) -> Status:
        """The job's current status. Raises NotFound."""
        version = self._version(known_form(job_id, "job"))
        with self._lock:
            kept = self._kept.get(job_id)
        if kept is not None and kept.good_for(version):
            return kept
        status = self._read(job_id)
        with self._lock:
            self._kept[job_id] = status
            self._kept.move_to_end(job_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return status

    def _version(self, job_id: str) -> int:
        with self._database.peek() as connection:
            version = connection.scalar(select(Job.version).where(Job.id == job_id, Job.deleted_at.is_(None)))
        if version is None:
            raise no_job(job_id)
        return version

    def _read(self, job_id: str) -> Status:
        with self._database.read() as session:
            unit = Unit(session)
            view = views.job_view(unit, unit.find_job(job_id), self._limits, self._beats)
            return Status.of(view, self._beats.late_after)
