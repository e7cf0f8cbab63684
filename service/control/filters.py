"""Which jobs a list shows, as a query that costs a page however many jobs there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, literal, select, tuple_

from core.domain.states import ACTIVE_JOBS, TERMINAL_JOBS, DesiredState, JobState
from service.db.base import IS_WANTED
from service.db.tables import Job, JobLabel

Status = Literal[
    "queued", "running", "recovering", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
"""What a user sees: the states of a job, and two for a wish that has not come true yet."""

LAST = 2**63 - 1
WISHES = ("pausing", "cancelling")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows. `label` is `key:value`, `cursor` comes from the page before."""

    status: Status | None = None
    label: str | None = None
    cursor: str | None = None
    limit: int = 50


def page(wanted: JobFilter) -> Select[Job]:
    """The jobs of the page, newest first, and one more if there are more."""
    query, order = _ordered(wanted)
    return query.order_by(*order).limit(wanted.limit + 1)


def _with_status(query: Select[Job], status: Status | None, *, labelled: bool) -> Select[Job]:
    """`labelled`: the state is compared here. Without a label the order of the page's index does that."""
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
    """With its order: that of an index, so that a page costs a page, whatever the jobs before it are."""
    below = LAST if wanted.cursor is None else int(wanted.cursor)
    query = _with_status(select(Job), wanted.status, labelled=wanted.label is not None)
    if wanted.label is not None:
        key, _, value = wanted.label.partition(":")
        query = query.join(JobLabel, JobLabel.job_number == Job.number).where(JobLabel.job_number < below)
        return query.where(JobLabel.key == key, JobLabel.value == value), [JobLabel.job_number.desc()]
    if wanted.status is None or wanted.status in WISHES:
        return query.where(Job.number < below), [Job.number.desc()]
    # Not `state = ... ORDER BY number`: PostgreSQL takes states for evenly spread and walks through all jobs, newest
    # first; with a backlog of another state on top it reads all of that. Only the index on both has this order.
    place, first = tuple_(Job.state, Job.number), tuple_(literal(wanted.status), literal(0))
    query = query.where(place < tuple_(literal(wanted.status), literal(below, BigInteger())), place > first)
    # SQLite uses an index for no more than the first column of a row of values: it needs both conditions by themselves.
    query = query.where(Job.state == wanted.status, Job.number < below)
    return query, [Job.state.desc(), Job.number.desc()]
