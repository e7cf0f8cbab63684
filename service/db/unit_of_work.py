"""A transaction with the operations that the use cases share: find, lock, write events, read the database's clock."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from baton.domain.errors import LeaseLost
from baton.domain.states import HELD_ATTEMPTS, JobEvent, JobState, next_job_state
from baton.domain.wire import Message
from service.db.base import IS_COMMITTED, IS_LIVE
from service.db.committed_events import HAPPENED, CommittedEvent
from service.db.project_table import PROJECT
from service.db.tables import Attempt, Checkpoint, Event, Job, Pointer
from service.db.types import db_now
from service.errors import NotFound

MAX_TEXT = 20_000
FIRST_EVENTS, LAST_EVENTS = 100, 10_000
"""A job keeps its first and its newest events. The events between are deleted."""

FORGET_EVERY = 100
"""Each time that a job has this many new events, events are deleted, at most twice as many in one transaction."""

_ID = re.compile(r"[0-9a-f]{32}")


def _locked(which: ColumnElement[bool]) -> dict[bool, Select[Job]]:
    """The query for a job with a lock on its row, by whether to wait for the lock."""
    query = select(Job).where(which).execution_options(populate_existing=True)
    return {wait: query.with_for_update(of=Job, nowait=not wait) for wait in (True, False)}


# Built only once, because every write of a worker needs these statements, and a build costs as much as an execution.
_CLOCK = select(db_now())
_JOB = _locked(Job.id == bindparam("job_id"))
_OWNER = select(Attempt.job_id).where(Attempt.id == bindparam("attempt_id")).scalar_subquery()
_JOB_OF_ATTEMPT = _locked(Job.id == _OWNER)
_COMMITTED = (
    select(Checkpoint).where(Checkpoint.job_id == bindparam("job_id"), IS_COMMITTED).order_by(Checkpoint.number.desc())
)
_POINTERS = select(Pointer.role, Pointer.checkpoint_id).where(Pointer.job_id == bindparam("job_id"))
_ATTEMPT = (
    select(Attempt, db_now()).where(Attempt.id == bindparam("attempt_id")).execution_options(populate_existing=True)
)


def new_id() -> str:
    """A unique id: 32 hex digits."""
    return uuid.uuid4().hex


def known_form(name: str, what: str) -> str:
    """Return the id if it has the form of one. Other text is not sent to the database. Raises NotFound."""
    if not _ID.fullmatch(name):
        raise NotFound(f"there is no {what} {name[:64]!r}")
    return name


def no_job(job_id: str) -> NotFound:
    """The error for an unknown job, and for a job of another project."""
    return NotFound(f"there is no job {job_id[:64]!r}")


def no_attempt(attempt_id: str) -> NotFound:
    """The error for an unknown attempt, and for an attempt of another project."""
    return NotFound(f"there is no attempt {attempt_id[:64]!r}")


def _number_of(name: str) -> int:
    """A name as key of a PostgreSQL advisory lock: a signed 64-bit number."""
    return int.from_bytes(hashlib.blake2b(f"baton:{name}".encode(), digest_size=8).digest(), signed=True)


def plain(message: Message) -> dict[str, Any]:
    """The message as JSON data that every database accepts: NaN as text, which the models convert back."""
    found: dict[str, Any] = json.loads(message.model_dump_json())
    return found


def clean(text: str) -> str:
    """Text that every database accepts: at most MAX_TEXT characters, without NUL, which PostgreSQL rejects."""
    return text.replace("\x00", "")[:MAX_TEXT]


def actor_of(attempt: Attempt) -> str:
    """The name of an attempt's worker in events."""
    return f"worker:{attempt.worker}"


def resumable(committed: list[Checkpoint]) -> list[Checkpoint]:
    """Leaves out checkpoints that need a checkpoint which is not committed. The order stays the same."""
    rows = committed
    while True:
        there = {row.prefix for row in rows}
        whole = [row for row in rows if isinstance(row.needs, list) and there.issuperset(map(str, row.needs))]
        if len(whole) == len(rows):
            return rows
        rows = whole


def unlocked(session: Session, table: type[Attempt | Job], ids: Collection[str]) -> Sequence[str]:
    """Lock the rows with these ids in id order, except rows that other transactions have locked. Returns the ids.

    A statement that changes many rows must not wait for one locked row while it keeps the others locked.
    """
    query = select(table.id).where(table.id.in_(ids)).order_by(table.id)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


class Unit:
    """A unit of work over one session. Lock the job's row before you change the job or rows that belong to it.

    `wait`: whether to wait for a row that another transaction has locked. Otherwise the lock fails at once (`busy` in
    service.db.outage detects this), so that one job cannot block a pass over many jobs. SQLite has no row locks.

    In a session of a project (Database.of_project) jobs and attempts of other projects are not found.
    """

    def __init__(self, session: Session, *, wait: bool = True) -> None:
        self.session, self._wait = session, wait
        self._now: datetime | None = None

    @property
    def project(self) -> str | None:
        """The only project whose things are found. None: all projects."""
        found: str | None = self.session.info.get(PROJECT)
        return found

    def sees(self, project: str | None) -> bool:
        """Whether things of this project may be found. None: things that belong to no project."""
        return project is None or self.project is None or project == self.project

    def own(self, column: InstrumentedAttribute[str]) -> tuple[ColumnElement[bool], ...]:
        """The conditions for rows that may be found, by the column with their project. Each list has them."""
        return () if self.project is None else (column == self.project,)

    def _shown(self, job: Job | None, job_id: str, doomed: bool) -> Job:
        if job is None or not self.sees(job.project) or (job.deleted_at is not None and not doomed):
            raise no_job(job_id)
        return job

    def now(self) -> datetime:
        """The database's clock, read once per transaction and again after a lock, because the wait may have been long.

        Times within one transaction may therefore be equal. They are never older than the lock on the job's row.
        """
        if self._now is None:
            self._now = self.session.execute(_CLOCK).scalar_one()
        return self._now

    def find_job(self, job_id: str, *, doomed: bool = False) -> Job:
        """The job, without a lock. Raises NotFound, also for a job that is being deleted unless `doomed` is set."""
        job = self.session.scalar(select(Job).where(Job.id == known_form(job_id, "job")))
        return self._shown(job, job_id, doomed)

    def lock_job(self, job_id: str, *, doomed: bool = False) -> Job:
        """The job with its row held until the end of the transaction. Raises NotFound.

        Users do not see a job that is being deleted. The reconciler does: it sets `doomed`.
        """
        job = self.session.scalar(_JOB[self._wait], {"job_id": known_form(job_id, "job")})
        self._now = None
        return self._shown(job, job_id, doomed)

    def lock_attempt(self, attempt_id: str) -> tuple[Job, Attempt]:
        """The attempt and its job. Locks the job's row. Raises NotFound."""
        which = {"attempt_id": known_form(attempt_id, "attempt")}
        job = self.session.scalar(_JOB_OF_ATTEMPT[self._wait], which)
        if job is None or not self.sees(job.project):
            raise no_attempt(attempt_id)
        # Read the attempt after the lock: before it, PostgreSQL could return the attempt's state from before the wait.
        attempt, self._now = self.session.execute(_ATTEMPT, which).one()
        return job, attempt

    def lock_names(self, names: Iterable[str]) -> None:
        """Lock these names until the transaction ends, always in the same order, so that no deadlock occurs.

        No effect on SQLite, which has only one writer at a time.
        """
        if self.session.get_bind().dialect.name == "postgresql":
            for number in sorted(map(_number_of, names)):
                self.session.execute(select(func.pg_advisory_xact_lock(number)))
            self._now = None

    def held(self, attempt_id: str, fence: int) -> tuple[Job, Attempt]:
        """The attempt, if the fencing token is valid for it. Locks its job's row. Every write of a worker starts here.

        Raises:
            LeaseLost: the attempt has ended, or the token is not that of its claim.
            NotFound: the attempt does not exist.
        """
        job, attempt = self.lock_attempt(attempt_id)
        if attempt.fence != fence or attempt.state not in HELD_ATTEMPTS:
            raise LeaseLost(
                f"fence {fence} is not valid for attempt {attempt.number} (state: {attempt.state}): stop training"
            )
        return job, attempt

    def live_attempt(self, job: Job) -> Attempt | None:
        """The one attempt of the job that has not ended."""
        query = select(Attempt).where(Attempt.job_id == job.id, IS_LIVE)
        return self.session.scalar(query)

    def move_job(self, job: Job, event: JobEvent) -> None:
        """Change the job's state by the state table. Raises TransitionError."""
        job.state = next_job_state(JobState(job.state), event).value

    def event(self, job: Job, kind: str, actor: str, message: str, **data: Any) -> Event:
        """Like `record`, for the service's own events."""
        return self.record(job, kind, actor, message, data)

    def record(self, job: Job, kind: str, actor: str, message: str, data: dict[str, Any]) -> Event:
        """Append an event to the job's log and increase the job's version. `data` may have any keys."""
        job.events += 1
        job.version += 1
        row = Event(
            job_id=job.id,
            sequence=job.events,
            at=self.now(),
            kind=kind,
            actor=actor,
            message=clean(message),
            data=data,
        )
        self.session.add(row)
        if job.events % FORGET_EVERY == 0 and job.events > FIRST_EVENTS + LAST_EVENTS:
            self._forget_events(job)
        self.session.info.setdefault(HAPPENED, []).append(CommittedEvent(job.id, kind, actor, row.message, data))
        return row

    def _forget_events(self, job: Job) -> None:
        between = (Event.sequence > FIRST_EVENTS, Event.sequence <= job.events - LAST_EVENTS)
        some = select(Event.sequence).where(Event.job_id == job.id, *between).limit(2 * FORGET_EVERY)
        query = delete(Event).where(Event.job_id == job.id, Event.sequence.in_(some))
        self.session.execute(query, execution_options={"synchronize_session": False})

    def committed_checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The checkpoints in state `committed`, newest first. Deleted checkpoints are not read."""
        return list(self.session.scalars(_COMMITTED, {"job_id": job_id}))

    def good_checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The committed checkpoints from which a job can resume, newest first.

        A checkpoint is left out if another checkpoint that it needs is not committed.
        """
        return resumable(self.committed_checkpoints(job_id))

    def had_checkpoints(self, job_id: str) -> bool:
        """Whether any checkpoint of the job was ever committed."""
        return self.session.scalar(select(exists().where(Checkpoint.job_id == job_id))) or False

    def pointers(self, job_id: str) -> dict[str, str]:
        """By role, the id of the checkpoint that has this role."""
        return dict(self.session.execute(_POINTERS, {"job_id": job_id}).all())
