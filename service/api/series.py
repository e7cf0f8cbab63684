"""The series of a job, for users: the list, points for charts, and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from baton.domain.series import SeriesView
from baton.domain.views import Listing
from service.api.accepted_types import JSON, prefers
from service.api.auth import READ
from service.api.context import Services
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.problems import responses
from service.db.unit_of_work import Unit
from service.usecases.series_views import CSV_HEAD, csv_rows, series_names, series_views

CSV = "text/csv"
CSV_DOC = "Columns `name`, `step`, `value` and `at` (Unix seconds), one line for each point, by name and step"
POINTS = 500
router = guarded_router("jobs")
Names = Annotated[
    list[Annotated[str, Query(max_length=100)]] | None,
    Query(max_length=20, alias="name", description="Names of series. Without one, all series without their points"),
]
Points = Annotated[
    int | None,
    Query(ge=2, le=100_000, description=f"Points of each series, about; default: {POINTS}, or for CSV all"),
]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Listing[SeriesView],
        "description": "The series, or with `Accept: text/csv` their points as CSV",
        "content": {CSV: {"schema": {"type": "string", "description": CSV_DOC}}},
    },
    **responses(404),
}


@router.get("/jobs/{job_id}/series", dependencies=[READ], response_model=Listing[SeriesView], responses=ANSWERS)
async def list_series(ctx: Ctx, request: Request, job_id: JobId, names: Names = None, points: Points = None) -> Any:
    """List the job's series: metrics by step, such as the loss, and the system metrics of its workers.

    With `name`, the answer also has points of these series. If a series has more than `points`, the least and the
    greatest value of each bucket of steps are shown. 404: the job has no series with that name.
    """
    if prefers(request.headers.get("accept", ""), CSV):
        known = await run_in_threadpool(_names, ctx, job_id, names or [])
        headers = {"Vary": "Accept", "Cache-Control": "private, no-cache"}
        return StreamingResponse(_csv(ctx, job_id, known, points), headers=headers, media_type=f"{CSV}; charset=utf-8")
    view = await run_in_threadpool(_series, ctx, job_id, names or [], points or POINTS)
    return Response(view.model_dump_json(), headers={"Vary": "Accept"}, media_type=JSON)


def _series(ctx: Services, job_id: str, names: list[str], points: int) -> Listing[SeriesView]:
    with ctx.database.read() as session:
        return series_views(Unit(session), job_id, names, points)


def _names(ctx: Services, job_id: str, names: list[str]) -> list[str]:
    with ctx.database.read() as session:
        return series_names(Unit(session), job_id, names)


def _csv(ctx: Services, job_id: str, names: list[str], points: int | None) -> Iterator[str]:
    """One part for each series, each read in its own transaction: a job may have millions of points."""
    yield CSV_HEAD
    for name in names:
        with ctx.database.read() as session:
            part = csv_rows(Unit(session), job_id, name, points)
        yield part
