"""The waiting jobs in the order in which workers get them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from sqlalchemy import select

from baton.domain.usage_views import WaitingList, WaitingView
from service.db.base import IS_UNPLACED
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases import recent_use
from service.usecases.attempt_limits import Limits
from service.usecases.queue_backlog import lines
from service.usecases.startable_attempts import in_order
from service.usecases.wait_reasons import waits

NO_LIMITS = Limits()


def waiting(unit: Unit, limits: Limits, *, project: str | None, queue: str | None, most: int) -> WaitingList:
    """At most `most` jobs. Those that wait for the end of a backoff come last. None: of all projects or queues.

    Reads no more attempts than it returns, and one row for each line (service.usecases.queue_backlog).
    """
    session = unit.session
    found = lines(session, limits, None if queue is None else [queue])
    found = [line for line in found if project is None or line.project == project]
    # A limit decides when a job starts, and not its place: show the jobs that wait for one too.
    placed = in_order(session, NO_LIMITS, [replace(line, places=()) for line in found])
    ids = [one.attempt_id for one in islice(placed, most + 1)]
    if len(ids) <= most:
        later = select(Attempt.id).where(IS_UNPLACED).order_by(Attempt.not_before)
        if project is not None:
            later = later.where(Attempt.project == project)
        if queue is not None:
            later = later.where(Attempt.queue == queue)
        ids += session.scalars(later.limit(most + 1 - len(ids)))
    return WaitingList(items=_views(unit, ids[:most], limits), more=len(ids) > most)


def _views(unit: Unit, ids: list[str], limits: Limits) -> list[WaitingView]:
    query = select(Attempt, Job).join(Job, Job.id == Attempt.job_id).where(Attempt.id.in_(ids))
    rows = {attempt.id: (attempt, job) for attempt, job in unit.session.execute(query)}
    shown = [rows[one] for one in ids if one in rows]
    jobs = [job for _, job in shown]
    reasons = waits(unit, jobs, {job.id: [attempt] for attempt, job in shown}, limits, unit.now())
    projects = {job.project for job in jobs}
    used = recent_use.of_projects(unit, projects) if len(projects) > 1 else {}
    return [
        WaitingView(
            position=position,
            job_id=job.id,
            job_name=job.name,
            project=job.project,
            owner=job.owner,
            queue=job.queue,
            priority=job.priority,
            attempt=attempt.number,
            ran_before=attempt.number > 1,
            since=attempt.created_at,
            waiting_for=reasons.get(job.id),
            recent_hours=round(used[job.project] / 3600, 2) if job.project in used else None,
        )
        for position, (attempt, job) in enumerate(shown, 1)
    ]
