"""One metric of many jobs, downsampled: the curves in a list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import func, select

from baton.domain.views import CurveView
from service.db.tables import Epoch
from service.db.unit_of_work import Unit

Metric = Literal["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]


def curves(unit: Unit, job_ids: Sequence[str], metric: Metric, points: int) -> list[CurveView]:
    """The metric by epoch for each job: at most `points` evenly spaced epochs, counted back from the newest one."""
    newest = select(Epoch.job_id, func.max(Epoch.epoch).label("epoch")).where(Epoch.job_id.in_(job_ids))
    last = newest.group_by(Epoch.job_id).subquery()
    stride = (last.c.epoch + points - 1) // points
    query = select(Epoch.job_id, Epoch.epoch, getattr(Epoch, metric)).join(last, last.c.job_id == Epoch.job_id)
    query = query.where(Epoch.job_id.in_(job_ids), (last.c.epoch - Epoch.epoch) % stride == 0)
    found: dict[str, list[tuple[int, float]]] = {job_id: [] for job_id in job_ids}
    for job_id, epoch, value in unit.session.execute(query.order_by(Epoch.job_id, Epoch.epoch)):
        found[job_id].append((epoch, value))
    return [CurveView(job_id=job_id, points=points_of) for job_id, points_of in found.items()]
