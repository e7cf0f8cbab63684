"""What was used and what it cost, and the order of the queue."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import Query

from baton.domain.projects import ProjectName
from baton.domain.queues import QUEUE
from baton.domain.usage import UsageBy
from baton.domain.usage_views import UsageView, WaitingList
from service.api.auth import READ, Caller
from service.api.dependencies import Ctx, guarded_router, written
from service.api.problems import responses
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.usecases import usage_report, waiting_jobs
from service.usecases.usage_report import Wanted

router = guarded_router("usage")


IN_THIS_AGE = written(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}\Z", "must be a day from 2000 to 2999, such as 2026-11-30")
Day = Annotated[date, IN_THIS_AGE, Query(description="A day in UTC, such as 2026-11-30")]


@router.get("/usage", dependencies=[READ], responses=responses(404))
def show_usage(
    ctx: Ctx,
    caller: Caller,
    by: Literal["project", "owner", "job", "device", "month", "day"] = "project",
    since: Day | None = None,
    until: Day | None = None,
    project: Annotated[ProjectName | None, Query(description="Only this project")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of items")] = 100,
) -> UsageView:
    """Get what was used and what it cost, by project, owner, job, device, month or day.

    Days are in UTC, and both are included; left out: the last 30 days, by month the last 12 months. Deleted jobs count.
    Callers that belong to a project get the usage of this project.
    """
    if caller.project is not None and project not in (None, caller.project):
        raise NotFound(f"there is no project {project!r}")
    wanted = Wanted(UsageBy(by), since, until, caller.project or project, limit)
    with ctx.database.read() as session:
        return usage_report.report(Unit(session), wanted, ctx.settings.in_currency)


@router.get("/queue", dependencies=[READ])
def list_waiting(
    ctx: Ctx,
    caller: Caller,
    queue: Annotated[str | None, Query(pattern=QUEUE, description="Only jobs of this queue")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of jobs")] = 100,
) -> WaitingList:
    """List the waiting jobs in the order in which workers get them, and why each of them waits.

    The order is: priority; jobs that ran before; the project with the least recent device time; age.
    """
    with ctx.database.read() as session:
        unit = Unit(session)
        return waiting_jobs.waiting(unit, ctx.settings.limits, project=caller.project, queue=queue, most=limit)
