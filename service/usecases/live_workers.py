"""The workers that were seen recently and accept work. Bad values are ignored: a bad row does not hide others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Text, cast, select

from baton.domain.extensions import missing
from baton.domain.lenient_reading import names
from service.db.tables import Job, Worker
from service.db.unit_of_work import Unit

SEEN_WITHIN = timedelta(minutes=2)
MOST_WORKERS = 500
"""Maximum number of rows that one call reads: the workers that were seen last."""

# Read as text, so that invalid JSON affects one worker and not the whole query.
_QUEUES, _EXTENSIONS = cast(Worker.queues, Text), cast(Worker.extensions, Text)


@dataclass(frozen=True)
class Seen:
    """A worker that was seen recently. `has`: its extensions. `rests_until`: no work until then, after crashes."""

    name: str
    queues: list[str]
    has: list[str]
    spec_version: int
    rests_until: datetime | None
    project: str | None

    def serves(self, job: Job) -> bool:
        """Whether the worker takes attempts of the job's queue and project and has the required extensions."""
        return (
            self.project in (None, job.project) and job.queue in self.queues and not missing(names(job.needs), self.has)
        )


def seen(unit: Unit, now: datetime, *conditions: ColumnElement[bool]) -> list[Seen]:
    """At most MOST_WORKERS workers for which the conditions hold, the one that was seen last first."""
    columns = (
        Worker.name,
        _QUEUES.label("queues"),
        _EXTENSIONS.label("has"),
        Worker.spec_version,
        Worker.rests_until,
        Worker.project,
    )
    accepts = (Worker.last_seen_at > now - SEEN_WITHIN, Worker.ended_at.is_(None), Worker.refusal.is_(None))
    query = select(*columns).where(*accepts, *conditions).order_by(Worker.last_seen_at.desc()).limit(MOST_WORKERS)
    rows = unit.session.execute(query)
    return [
        Seen(row.name, _names(row.queues), _names(row.has), row.spec_version, row.rests_until, row.project)
        for row in rows
    ]


def may_serve(job: Job) -> list[ColumnElement[bool]]:
    """SQL conditions that hold for each worker for which `Seen.serves` is True, and for few others.

    A substring search is enough, because in the stored JSON such a name is in quotation marks and without escapes.
    """
    needs = [need for need in names(job.needs) if missing([need], ())]  # `serves` ignores needs of an unknown kind
    has = [_EXTENSIONS.contains(f'"{need}"', autoescape=True) for need in needs]
    return [_QUEUES.contains(f'"{job.queue}"', autoescape=True), *has]


def _names(stored: str) -> list[str]:
    try:
        return names(json.loads(stored))
    except ValueError:
        return []
