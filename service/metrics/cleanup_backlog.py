"""The cleanup backlog: how many rows each step of garbage collection has to handle."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Select, func, literal, select, union_all

from service.db.base import IS_DELETED, IS_DOOMED, IS_QUARANTINED, IS_UNPUBLISHED
from service.db.tables import Artifact, Checkpoint, Garbage, Job
from service.db.types import db_now
from service.db.unit_of_work import Unit

MOST = 10_000
"""Each count stops at this number, which bounds the cost of the query."""


def backlog(unit: Unit) -> Mapping[str, int]:
    """Rows by kind, counted in indexes: checkpoints and old objects to delete, artifacts to publish, jobs to sweep
    and jobs to delete.

    `quarantined` checkpoints of running jobs are kept on purpose until these jobs end.
    """
    kinds: dict[str, Select[int]] = {
        "checkpoints": select(literal(1)).select_from(Checkpoint).where(IS_DELETED),
        "quarantined": select(literal(1)).select_from(Checkpoint).where(IS_QUARANTINED),
        "objects": select(literal(1)).select_from(Garbage).where(Garbage.not_before <= db_now()),
        "unpublished": select(literal(1)).select_from(Artifact).where(IS_UNPUBLISHED),
        "sweeps": select(literal(1)).select_from(Job).where(Job.sweep_at <= db_now(), Job.deleted_at.is_(None)),
        "jobs": select(literal(1)).select_from(Job).where(IS_DOOMED),
    }
    counted = [
        select(literal(kind).label("kind"), func.count().label("rows")).select_from(rows.limit(MOST).subquery())
        for kind, rows in kinds.items()
    ]
    return dict(unit.session.execute(union_all(*counted)).all())
