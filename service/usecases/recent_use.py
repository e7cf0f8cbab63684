"""Recent device time of projects: the order of the queue gives the next worker to the project with the least.

Time counts less with its age: half after HALF_LIFE, a quarter after twice that. So the order follows about the last two
days, and a project that was idle for weeks does not occupy all workers until it has caught up with the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from baton.domain.states import HELD_ATTEMPTS
from service.db.base import IS_LIVE
from service.db.tables import Attempt, RecentUse
from service.db.unit_of_work import Unit

HALF_LIFE = 86_400.0
"""Seconds after which device time counts half."""

AHEAD = 3600.0
"""Seconds by which a held attempt counts in advance. So the attempts that start in one pass, which have used nothing
yet, are divided among the projects, and a small lead of one project does not give all free workers to another."""

_RATE = math.log(2) / HALF_LIFE
_INSERT: dict[str, Callable[..., Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def decayed(seconds: float, age: float) -> float:
    """What `seconds` count after `age` seconds. They do not grow if the clock was set back."""
    return seconds * math.exp(-_RATE * max(0.0, age))


def weight(begun: datetime, ended: datetime, now: datetime) -> float:
    """What the time from `begun` to `ended` counts at `now`: each moment by its age.

    >>> begin, end, later = datetime(2026, 1, 1, 23), datetime(2026, 1, 2), datetime(2026, 1, 3)
    >>> round(weight(begin, end, end)), round(weight(begin, end, later))
    (3549, 1774)
    """
    age = max(0.0, (now - ended).total_seconds())
    held = max(0.0, (ended - begun).total_seconds())
    return (math.exp(-_RATE * age) - math.exp(-_RATE * (age + held))) / _RATE


def add(unit: Unit, project: str, begun: datetime, ended: datetime, devices: int) -> None:
    """Count the device time of an ended attempt. Locks the row of its project until the end of the transaction."""
    now, session = unit.now(), unit.session
    insert = _INSERT[session.get_bind().dialect.name](RecentUse).values(project=project, seconds=0.0, at=now)
    session.execute(insert.on_conflict_do_nothing(index_elements=["project"]))
    query = select(RecentUse).where(RecentUse.project == project).with_for_update()
    row = session.execute(query.execution_options(populate_existing=True)).scalar_one()
    row.seconds = decayed(row.seconds, (now - row.at).total_seconds()) + devices * weight(begun, ended, now)
    row.at = now


def of_projects(unit: Unit, projects: Collection[str]) -> dict[str, float]:
    """The recent device time of these projects in seconds, with that of their held attempts, which count in advance.

    Reads one row for each of the projects, and one for each held attempt.
    """
    now, session, found = unit.now(), unit.session, dict.fromkeys(projects, 0.0)
    for row in session.scalars(select(RecentUse).where(RecentUse.project.in_(projects))):
        found[row.project] += decayed(row.seconds, (now - row.at).total_seconds())
    # Without a condition on the project: SQLite would use its index, and read the queued attempts of the projects too.
    held = select(Attempt.project, Attempt.claimed_at, Attempt.gpus).where(IS_LIVE, Attempt.state.in_([*HELD_ATTEMPTS]))
    for project, begun, gpus in session.execute(held):
        if project in found:
            found[project] += max(1, gpus or 0) * (weight(begun or now, now, now) + AHEAD)
    return found
