"""The filter of a job list, as a query whose cost depends on the page size and not on the number of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, literal, select, tuple_

from baton.domain.states import ACTIVE_JOBS, TERMINAL_JOBS, DesiredState, JobState
from service.db.base import IS_WANTED
from service.db.tables import Job, JobLabel
from service.db.unit_of_work import Unit

Status = Literal[
    "queued", "running", "recovering", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
"""The statuses that a user sees: the states of a job, and two for orders that the worker has not carried out yet."""

LAST = 2**63 - 1
ORDERS = ("pausing", "cancelling")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows. Jobs that are being deleted are left out.

    `label` is `key:value`. `cursor` comes from the previous page.
    """

    status: Status | None = None
    label: str | None = None
    cursor: str | None = None
    limit: int = 50


def page(unit: Unit, wanted: JobFilter) -> Select[Job]:
    """The jobs of the page that the caller may see, newest first, and one more if there are more."""
    query, order = _ordered(wanted)
    query = query.where(*unit.own(Job.project))
    return query.order_by(*order).limit(wanted.limit + 1)


def _with_status(query: Select[Job], status: Status | None, *, labelled: bool) -> Select[Job]:
    """Filters by status. `labelled`: compare the state here. Otherwise `_ordered` selects the state with its index."""
    if status is None:
        return query
    running = Job.state.in_([*ACTIVE_JOBS])
    if status == "cancelling":
        return query.where(IS_WANTED, running, Job.desired == DesiredState.CANCEL)
    if status == "pausing":
        return query.where(IS_WANTED, running, Job.desired == DesiredState.PAUSE, Job.state != JobState.PAUSED)
    if status in TERMINAL_JOBS:
        return query.where(Job.state == status) if labelled else query
    desired = DesiredState.PAUSE if status == JobState.PAUSED.value else DesiredState.RUN
    query = query.where(Job.desired == desired)
    return query.where(Job.state == status) if labelled else query


def _ordered(wanted: JobFilter) -> tuple[Select[Job], list[ColumnElement[Any]]]:
    """The query with its order. The order is that of an index, so that the cost depends only on the page size."""
    below = LAST if wanted.cursor is None else int(wanted.cursor)
    query = _with_status(select(Job).where(Job.deleted_at.is_(None)), wanted.status, labelled=wanted.label is not None)
    if wanted.label is not None:
        key, _, value = wanted.label.partition(":")
        query = query.join(JobLabel, JobLabel.job_number == Job.number).where(JobLabel.job_number < below)
        return query.where(JobLabel.key == key, JobLabel.value == value), [JobLabel.job_number.desc()]
    if wanted.status is None or wanted.status in ORDERS:
        return query.where(Job.number < below), [Job.number.desc()]
    # `state = ... ORDER BY number` would be slow: PostgreSQL assumes that states are evenly spread and scans all jobs,
    # newest first. If many newer jobs have another state, it reads all of them. Only the index on both columns has the
    # order that is used here.
    place, first = tuple_(Job.state, Job.number), tuple_(literal(wanted.status), literal(0))
    query = query.where(place < tuple_(literal(wanted.status), literal(below, BigInteger())), place > first)
    # For a row value, SQLite uses only the first column of an index, so the query also has both conditions separately.
    query = query.where(Job.state == wanted.status, Job.number < below)
    return query, [Job.state.desc(), Job.number.desc()]
