"""Selects many jobs by a filter, page by page. Each page is read in the order of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, get_args

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import aliased

from baton.domain.states import DesiredState, JobState, shown_status
from service.db.tables import Job, JobLabel
from service.db.types import glob_matches
from service.db.unit_of_work import Unit
from service.usecases import job_filters
from service.usecases.job_filters import JobFilter, Status

COUNTED = 100_000
"""The most jobs that are counted."""

STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = (Job.number, Job.id, Job.name, Job.state, Job.desired)


class Found(NamedTuple):
    """A selected job. `cursor`: selects the jobs after this one."""

    id: str
    name: str
    status: str
    cursor: str


@dataclass(frozen=True)
class Selection:
    """Selects jobs by their ids, or those that have one of the statuses, all of the labels (`key:value`), and the name.

    Without ids and conditions it selects all jobs. A `*` in `name` stands for any characters.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    labels: tuple[str, ...] = ()
    name: str | None = None


def selected(unit: Unit, selection: Selection, cursor: str | None, limit: int) -> list[Found]:
    """At most `limit` jobs after the cursor.

    A job whose status changes between two pages may be left out or selected twice.
    """
    if selection.ids:
        return _by_ids(unit, selection.ids[int(cursor or 0) :][:limit], int(cursor or 0))
    return list(islice(_by_filter(unit, selection, cursor, limit), limit))


def counted(unit: Unit, selection: Selection, cursor: str | None = None) -> int:
    """The number of jobs after the cursor, at most COUNTED + 1."""
    if selection.ids:
        return len(selection.ids) - int(cursor or 0)
    number = 0
    for _, query in _queries(unit, selection, cursor, COUNTED - number):
        rows = query.with_only_columns(Job.number).subquery()
        number += unit.session.scalar(select(func.count()).select_from(rows)) or 0
        if number > COUNTED:
            return COUNTED + 1
    return number


def _by_ids(unit: Unit, ids: Sequence[str], first: int) -> list[Found]:
    rows = {
        row.id: row
        for row in unit.session.execute(
            select(*_SHOWN).where(Job.id.in_(ids), Job.deleted_at.is_(None), *unit.own(Job.project))
        )
    }
    cursors = {job_id: str(first + k) for k, job_id in enumerate(ids, start=1)}
    return [
        _found(rows[job_id], cursors[job_id]) if job_id in rows else Found(job_id, "", "", cursors[job_id])
        for job_id in ids
    ]


def _by_filter(unit: Unit, selection: Selection, cursor: str | None, limit: int) -> Iterator[Found]:
    for place, query in _queries(unit, selection, cursor, limit):
        for row in unit.session.execute(query.with_only_columns(*_SHOWN)):
            yield _found(row, f"{place}.{row.number}")


def _found(row: Any, cursor: str) -> Found:
    return Found(row.id, row.name, shown_status(JobState(row.state), DesiredState(row.desired)), cursor)


def _queries(unit: Unit, selection: Selection, cursor: str | None, limit: int) -> Iterator[tuple[int, Select[Any]]]:
    """One query for each status, in a fixed order, newest jobs first. A cursor is `place of the status.job number`."""
    wanted: list[Status | None] = sorted(set(selection.statuses), key=STATUSES.index)
    start, _, number = (cursor or "0.").partition(".")
    first, *others = selection.labels or (None,)
    for place, status in enumerate(wanted or [None]):
        if place >= int(start):
            below = number or None if place == int(start) else None
            query = job_filters.page(unit, JobFilter(status, first, below, limit))
            yield place, _narrowed(query, others, selection.name)


def _narrowed(query: Select[Any], labels: Sequence[str | None], name: str | None) -> Select[Any]:
    for label in labels:
        key, _, value = str(label).partition(":")
        other = aliased(JobLabel)
        query = query.where(exists().where(other.job_number == Job.number, other.key == key, other.value == value))
    if name is None:
        return query
    if "*" not in name:
        return query.where(Job.name == name)
    return query.where(glob_matches.of(Job.name, name))
