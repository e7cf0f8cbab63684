"""One metric of many jobs, downsampled: the curves in a list of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from baton.domain.views import CurveView
from service.db.tables import Epoch, Job
from service.db.unit_of_work import Unit
from service.usecases import epoch_rows


def curves(unit: Unit, job_ids: Sequence[str], metric: str, points: int) -> list[CurveView]:
    """The metric by epoch for each job: at most `points` evenly spaced epochs, counted back from the newest one.

    An epoch without the metric has no point.
    """
    newest = select(Epoch.job_id, func.max(Epoch.epoch).label("epoch")).join(Job, Job.id == Epoch.job_id)
    newest = newest.where(Epoch.job_id.in_(job_ids), Job.deleted_at.is_(None), *unit.own(Job.project))
    last = newest.group_by(Epoch.job_id).subquery()
    stride = (last.c.epoch + points - 1) // points
    query = epoch_rows.values_of(metric).join(last, last.c.job_id == Epoch.job_id)
    query = query.where(Epoch.job_id.in_(job_ids), (last.c.epoch - Epoch.epoch) % stride == 0)
    rows = unit.session.execute(query.order_by(Epoch.job_id, Epoch.epoch))
    found: dict[str, list[tuple[int, float]]] = {job_id: [] for job_id in job_ids}
    for job_id, epoch, value in epoch_rows.read_values(metric, rows):
        found[job_id].append((epoch, value))
    return [CurveView(job_id=job_id, points=points_of) for job_id, points_of in found.items()]
