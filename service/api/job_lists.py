"""Lists: jobs, and what belongs to one job."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from fastapi import Query, Response
from pydantic import AfterValidator, WithJsonSchema

from baton.domain.metric_names import METRIC_NAME
from baton.domain.projects import ProjectName
from baton.domain.queues import QUEUE
from baton.domain.tokens import TOKEN_NAME
from baton.domain.views import (
    AttemptView,
    CheckpointView,
    History,
    JobPage,
    JobSummaryPage,
    Listing,
    StageView,
)
from service.api.accepted_types import JSON
from service.api.auth import READ, READ_OR_ATTEMPT
from service.api.context import Services
from service.api.dependencies import (
    COMPLETE,
    AttemptId,
    Ctx,
    Cursor,
    JobId,
    Most,
    PageSize,
    guarded_router,
    shaped,
    sort_by,
    written,
)
from service.api.problems import responses
from service.db.unit_of_work import Unit
from service.usecases import job_filters, job_list, job_parts, lineage, views
from service.usecases.job_conditions import Comparison, MetricBound
from service.usecases.job_query import KEYS, JobQuery
from service.usecases.paging import Rows, Sort

router = guarded_router("jobs")
NAME = METRIC_NAME.strip("^$")
NUMBER = r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
BOUND = re.compile(rf"((?:best:)?{NAME})(<=|>=|<|>)({NUMBER})")
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _bound(text: str) -> MetricBound:
    name, comparison, value = BOUND.fullmatch(text).groups()  # type: ignore[union-attr]  # MetricFilter has checked it
    return MetricBound(name, cast(Comparison, comparison), float(value))


def _moment(value: datetime) -> datetime:
    """In UTC, and within the times that every database holds. A time without a zone is UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return FIRST if value.year < FIRST.year else LAST if value.year >= LAST.year else value.astimezone(UTC)


LabelFilter = Annotated[str, *shaped(r"[^:\x00]{1,200}:[^\x00]{0,200}", "must be key:value")]
NameFilter = Annotated[
    str,
    *shaped(
        r"[A-Za-z0-9._-]{1,100}|[A-Za-z0-9._-]{1,99}\*",
        "must be a name, or the beginning of a name and a *, such as resnet-*",
    ),
    Query(description="The name; with `*` at the end, the beginning of the name"),
]
MetricFilter = Annotated[
    str, *shaped(BOUND.pattern, "must be a metric and a bound, such as val_loss<0.5 or best:val_accuracy>=0.7")
]
Time = Annotated[
    datetime,
    AfterValidator(_moment),
    written(r"[0-9]{4}-", "must be a time in ISO 8601, such as 2026-03-01T12:00:00Z"),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}),
]
JobSort = Annotated[str, *sort_by(*KEYS, others=f"metric:(?:best:)?{NAME}")]


def _jobs(ctx: Services, unit: Unit, rows: Rows[Any], summary: bool) -> Response:
    limits, beats = ctx.settings.limits, ctx.settings.beats
    if summary:
        short = views.job_summaries(unit, rows.rows, limits, beats)
        body = JobSummaryPage(items=short, next_cursor=rows.next_cursor).model_dump_json()
    else:
        full = views.job_views(unit, rows.rows, limits, beats)
        body = JobPage(items=full, next_cursor=rows.next_cursor).model_dump_json()
    return Response(body, media_type=JSON)


@router.get("/jobs", dependencies=[READ], response_model=JobPage | JobSummaryPage)
def list_jobs(  # noqa: PLR0913, PLR0917  # one for each filter
    ctx: Ctx,
    status: Annotated[
        list[job_filters.Status], Query(max_length=9, description="Any of these statuses; can be repeated")
    ] = [],  # noqa: B006 - FastAPI copies it
    label: Annotated[
        list[LabelFilter], Query(max_length=10, description="All of these labels, as key:value; can be repeated")
    ] = [],  # noqa: B006
    name: NameFilter | None = None,
    id: Annotated[str | None, Query(pattern=r"^[0-9a-f]{1,32}$", description="The beginning of the id")] = None,
    queue: Annotated[str | None, Query(pattern=QUEUE)] = None,
    owner: Annotated[
        str | None, Query(pattern=TOKEN_NAME, description="The name of the token that submitted it")
    ] = None,
    project: ProjectName | None = None,
    created_after: Time | None = None,
    created_before: Time | None = None,
    ended_after: Time | None = None,
    ended_before: Time | None = None,
    metric: Annotated[
        list[MetricFilter],
        Query(
            max_length=10,
            description="A bound of a metric of the last epoch, such as `val_loss<0.5`, or of the best epoch, such as "
            "`best:val_loss<0.5`; can be repeated",
        ),
    ] = [],  # noqa: B006
    view: Annotated[Literal["full", "summary"], Query(description="`summary`: without `spec`")] = "full",
    sort: JobSort = "-created",
    limit: PageSize = 50,
    cursor: Cursor | None = None,
) -> Response:
    """List the jobs that match all filters, by pages, newest first.

    A page may have fewer items than `limit`, even none, although more follow: only `next_cursor: null` ends the list.
    Sorted by `ended` or by a metric, the list has only jobs that have ended, or have the metric. `metric:NAME` sorts
    by the last epoch, `metric:best:NAME` by the best one.
    """
    wanted = JobQuery(
        statuses=tuple(status),
        labels=tuple(label),
        name=name,
        id=id,
        queue=queue,
        owner=owner,
        project=project,
        created_after=created_after,
        created_before=created_before,
        ended_after=ended_after,
        ended_before=ended_before,
        metrics=tuple(map(_bound, metric)),
        sort=Sort.parse(sort),
    )
    with ctx.database.read() as session:
        unit, summary = Unit(session), view == "summary"
        return _jobs(ctx, unit, job_list.page(unit, wanted, cursor, limit, with_spec=not summary), summary)


@router.get("/jobs/{job_id}/children", dependencies=[READ], responses=responses(404), response_model=JobPage)
def list_children(
    ctx: Ctx,
    job_id: JobId,
    sort: Annotated[str, *sort_by("created")] = "-created",
    limit: PageSize = 50,
    cursor: Cursor | None = None,
) -> Response:
    """List by pages the jobs that were made from this one, newest first: its clones, and those that started from it."""
    with ctx.database.read() as session:
        unit = Unit(session)
        return _jobs(ctx, unit, lineage.children(unit, job_id, Sort.parse(sort), cursor, limit), summary=False)


@router.get("/jobs/{job_id}/stages", dependencies=[READ], responses=responses(404))
def list_stages(
    ctx: Ctx,
    job_id: JobId,
    sort: Annotated[str, *sort_by("stage")] = "stage",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> Listing[StageView]:
    """List the job's stages in order."""
    with ctx.database.read() as session:
        return job_parts.stages(Unit(session), job_id, Sort.parse(sort), cursor, limit)


@router.get("/jobs/{job_id}/attempts", dependencies=[READ_OR_ATTEMPT], responses=responses(404))
def list_attempts(
    ctx: Ctx,
    job_id: JobId,
    sort: Annotated[str, *sort_by("attempt")] = "attempt",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> Listing[AttemptView]:
    """List the job's attempts in order."""
    with ctx.database.read() as session:
        return job_parts.attempts(Unit(session), job_id, ctx.settings.beats, Sort.parse(sort), cursor, limit)


@router.get("/attempts/{attempt_id}", dependencies=[READ_OR_ATTEMPT], responses=responses(404))
def show_attempt(ctx: Ctx, attempt_id: AttemptId) -> AttemptView:
    """Get one attempt. `job_id` is its job."""
    with ctx.database.read() as session:
        return job_parts.attempt(Unit(session), attempt_id, ctx.settings.beats)


@router.get("/jobs/{job_id}/checkpoints", dependencies=[READ], responses=responses(404))
def list_checkpoints(
    ctx: Ctx,
    job_id: JobId,
    sort: Annotated[str, *sort_by("committed")] = "-committed",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> Listing[CheckpointView]:
    """List the job's committed and quarantined checkpoints and the newest 100 deleted ones, newest first."""
    with ctx.database.read() as session:
        return job_parts.checkpoints(Unit(session), job_id, Sort.parse(sort), cursor, limit)


@router.get("/jobs/{job_id}/history", dependencies=[READ], responses=responses(404))
def show_history(
    ctx: Ctx,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only epochs after this number")] = 0,
    sort: Annotated[str, *sort_by("epoch")] = "epoch",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> History:
    """Get the job's history, one row per epoch."""
    with ctx.database.read() as session:
        return job_parts.history(Unit(session), job_id, after, Sort.parse(sort), cursor, limit)
