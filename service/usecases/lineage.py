"""The job that a job was made from, and the jobs that were made from it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from baton.domain.lenient_reading import find_stored
from baton.domain.lineage import JobSource
from service.db.base import IS_DERIVED
from service.db.tables import Job
from service.db.unit_of_work import Unit


def sources(unit: Unit, jobs: Sequence[Job]) -> dict[str, JobSource]:
    """The job that each of these jobs was made from, by job id. Jobs that were not made from another are left out."""
    derived = [job for job in jobs if job.source_job is not None]
    if not derived:
        return {}
    ids = {job.source_job for job in derived}
    there = set(unit.session.scalars(select(Job.id).where(Job.id.in_(ids), Job.deleted_at.is_(None))))
    found = {job: find_stored(JobSource, job.source) for job in derived}
    return {
        job.id: source.model_copy(update={"deleted": job.source_job not in there})
        for job, source in found.items()
        if source is not None
    }


def children(unit: Unit, job_id: str, cursor: str | None, limit: int) -> tuple[list[Job], str | None]:
    """A page of the jobs that were made from this one, newest first, and the next cursor. Raises NotFound."""
    job = unit.find_job(job_id)
    query = select(Job).where(IS_DERIVED, Job.source_job == job.id, Job.deleted_at.is_(None), *unit.own(Job.project))
    if cursor is not None:
        query = query.where(Job.number < int(cursor))
    rows = list(unit.session.scalars(query.order_by(Job.number.desc()).limit(limit + 1)))
    page = rows[:limit]
    return page, str(page[-1].number) if len(rows) > limit else None
