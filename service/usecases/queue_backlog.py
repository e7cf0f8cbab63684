"""Reads the placed queued attempts line by line. No query here reads more rows than it returns.

A line is the list of all placed attempts of one queue and project with the same requirements and urgency, in the order
of their jobs. A skip scan (loose index scan), written as a recursive query, finds the lines. It needs one index lookup
for each line, independent of the line's length.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from baton.domain.queues import PRIORITIES
from service.db.aliases import shared_alias
from service.db.base import IS_WAITING
from service.db.tables import Attempt, Job
from service.usecases.attempt_limits import Limits, Place
from service.usecases.queue_order import NOTHING, Requirements, key_of, requirements

TRIES = 3
"""Maximum number of jobs that are read to find the requirements of a line, because the first jobs may be malformed."""

STALE_ROWS = 200
"""A line is stale if its key was made when other labels had limits. At most this many attempts of a stale line are read
job by job, until the reconciler places them again."""

KNOWN = 4096
_known: dict[tuple[tuple[str, ...], str], Requirements] = {}
Key = tuple[str, str, str, int]
"""The values of LINE."""

_head, _before = shared_alias(Attempt), shared_alias(Attempt)
LINE: tuple[Any, ...] = (Attempt.queue, Attempt.project, Attempt.needs_key, Attempt.urgency)


@dataclass(frozen=True)
class Entry:
    """A placed attempt in its line. `sent`: its message was sent to Redis."""

    attempt_id: str
    job_number: int
    sent: bool


@dataclass(frozen=True, eq=False)
class Line:
    """A line. `head`: its first attempt. `places`: limits that apply to its attempts. `alone`: it has one attempt."""

    queue: str
    project: str
    needs_key: str
    urgency: int
    head: Entry
    required: Requirements = NOTHING
    places: tuple[Place, ...] = ()
    alone: bool = False

    @property
    def priority(self) -> str:
        """The priority of the line's jobs."""
        return PRIORITIES[self.urgency // 2]

    @property
    def again(self) -> bool:
        """Whether the line's jobs ran before."""
        return self.urgency % 2 == 0

    @property
    def key(self) -> Key:
        """The unique key of the line."""
        return self.queue, self.project, self.needs_key, self.urgency


def lines(session: Session, limits: Limits, queues: Collection[str] | None = None) -> list[Line]:
    """All lines of these queues, or of all queues if None. Each line has at least one attempt."""
    found = []
    for row in session.execute(_heads(None if queues is None else sorted(queues))):
        head = _head_of(row)
        required = _required(session, limits, head)
        if required is not None:
            found.append(_line(head, required, limits))
            continue
        # The key is stale, so return the first attempts as separate lines.
        for entry, own in _read(session, limits, head, STALE_ROWS):
            found.append(_line(replace(head, head=entry, alone=True), own, limits))
    return found


def stale_lines(session: Session, limits: Limits) -> list[Line]:
    """Lines whose key was made when other labels had limits. Their attempts must be placed again."""
    found = map(_head_of, session.execute(_heads()))
    return [line for line in found if _required(session, limits, line) is None]


def _head_of(row: Any) -> Line:
    head = Entry(row.id, row.job_number, row.dispatched_at is not None)
    return Line(row.queue, row.project, row.needs_key, row.urgency, head)


def entries(session: Session, line: Line, most: int, *, after: int = -1, unsent: bool = False) -> list[Entry]:
    """The next attempts of the line, of jobs with numbers above `after`. `unsent`: only those not in Redis."""
    query = select(Attempt.id, Attempt.job_number, Attempt.dispatched_at).where(
        of_line(line), Attempt.job_number > after
    )
    if unsent:
        query = query.where(Attempt.dispatched_at.is_(None))
    rows = session.execute(query.order_by(Attempt.job_number).limit(most))
    return [Entry(row.id, row.job_number or 0, row.dispatched_at is not None) for row in rows]


def count(session: Session, line: Line, most: int) -> int:
    """The number of attempts in the line, at most `most`."""
    if line.alone:
        return 1
    some = select(literal(1)).select_from(Attempt).where(of_line(line)).limit(most)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def of_line(line: Line) -> ColumnElement[bool]:
    """The attempts of the line."""
    return and_(IS_WAITING, *(column == value for column, value in zip(LINE, line.key, strict=True)))


def _line(head: Line, required: Requirements, limits: Limits) -> Line:
    return replace(head, required=required, places=limits.places(head.queue, dict(required.labels), head.project))


def _required(session: Session, limits: Limits, line: Line) -> Requirements | None:
    """The requirements that the line's key encodes. None if the key is stale."""
    name = (limits.label_patterns, line.needs_key)
    if name not in _known:
        if name == ((), ""):
            return NOTHING
        for _, required in _read(session, limits, line, TRIES):
            if key_of(required, limits) == line.needs_key:
                # A key is a digest of its requirements, so the cached value stays valid.
                if len(_known) >= KNOWN:
                    _known.clear()
                _known[name] = required
                return required
        return None
    return _known[name]


def _read(session: Session, limits: Limits, line: Line, most: int) -> list[tuple[Entry, Requirements]]:
    """The first attempts of a line with the requirements of their jobs. Malformed jobs are left out."""
    columns = (Attempt.id, Attempt.job_number, Attempt.dispatched_at, Job.spec_version)
    # Read as text, so that invalid JSON is a failure of one job and not of the whole query.
    query = select(*columns, cast(Job.needs, Text).label("needs"), cast(Job.labels, Text).label("labels"))
    query = query.join(Job, Job.id == Attempt.job_id).where(of_line(line)).order_by(Attempt.job_number).limit(most)
    found = []
    for row in session.execute(query):
        try:
            required = requirements(json.loads(row.needs), row.spec_version, json.loads(row.labels), limits)
        except (ValueError, TypeError):
            continue
        found.append((Entry(row.id, row.job_number or 0, row.dispatched_at is not None), required))
    return found


def _heads(queues: Sequence[str] | None = None) -> Select[Any]:
    """The first attempt of each line. The query finds each of them from the previous one."""
    return _heads_of_all() if queues is None else _heads_in([_first(Attempt.queue == one) for one in queues])


@cache
def _heads_of_all() -> Select[Any]:
    return _heads_in([_first()], of_all=True)


def _heads_in(first: Sequence[Any], *, of_all: bool = False) -> Select[Any]:
    anchors = union_all(*[select(one.label("id")) for one in first or (null(),)]).subquery()
    found = select(anchors.c.id).cte("heads", recursive=True)
    following = select(_behind(of_all=of_all)).select_from(found).join(_before, _before.id == found.c.id)
    found = found.union_all(following)
    columns: tuple[Any, ...] = (_head.id, _head.queue, _head.project, _head.needs_key, _head.urgency, _head.job_number)
    return select(*columns, _head.dispatched_at).select_from(found).join(_head, _head.id == found.c.id)


def _behind(*, of_all: bool) -> Any:
    """The first attempt of the line that follows the line of `_before`."""
    queue, project = Attempt.queue == _before.queue, Attempt.project == _before.project
    # A separate lookup for each column, because for a row value SQLite uses only the first column of an index.
    following = [
        _first(queue, project, Attempt.needs_key == _before.needs_key, Attempt.urgency > _before.urgency),
        _first(queue, project, Attempt.needs_key > _before.needs_key),
        _first(queue, Attempt.project > _before.project),
        *([_first(Attempt.queue > _before.queue)] if of_all else []),
    ]
    return func.coalesce(*following)


def _first(*where: ColumnElement[bool]) -> Any:
    query = select(Attempt.id).where(IS_WAITING, *where).order_by(*LINE, Attempt.job_number).limit(1)
    return query.correlate(_before).scalar_subquery()
