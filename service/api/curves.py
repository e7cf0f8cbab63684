"""Curves of many jobs in one call, for lists of jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from baton.domain.metric_names import METRIC_NAME
from baton.domain.views import CurveView, Listing
from service.api.auth import READ
from service.api.dependencies import Ctx, guarded_router
from service.db.unit_of_work import Unit
from service.usecases import curves

router = guarded_router("jobs")
Ids = Annotated[
    list[Annotated[str, Query(pattern=r"^[0-9a-f]{32}$")]],
    Query(min_length=1, max_length=200, alias="job", description="Ids of jobs. An unknown job has no points"),
]
Metric = Annotated[str, Query(pattern=METRIC_NAME, description="Name of a metric, or learning_rate")]


@router.get("/curves", dependencies=[READ])
def show_curves(
    ctx: Ctx,
    job: Ids,
    metric: Metric = "val_accuracy",
    points: Annotated[int, Query(ge=2, le=500, description="Maximum number per job")] = 60,
) -> Listing[CurveView]:
    """Get one metric by epoch for each job, with fewer points for long jobs. The newest epoch is always included.

    An epoch without the metric has no point.
    """
    with ctx.database.read() as session:
        return Listing(items=curves.curves(Unit(session), list(dict.fromkeys(job)), metric, points))
