"""Deletion of jobs, and what retention deletes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from baton.domain.retention import PruneView
from baton.domain.views import JobView
from service.api.auth import ADMIN, SUBMIT, Caller
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.jobs import tagged
from service.api.problems import responses
from service.db import audit
from service.db.unit_of_work import Unit
from service.usecases import deletion, views

router = guarded_router("jobs")


@router.delete(
    "/jobs/{job_id}",
    dependencies=[SUBMIT],
    status_code=202,
    response_model=JobView,
    responses={204: {"description": "The job is being deleted already"}, **responses(404, 409)},
)
def delete_job(
    ctx: Ctx,
    caller: Caller,
    job_id: JobId,
    force: Annotated[bool, Query(description="Cancel the job first if it has not ended")] = False,
) -> Response:
    """Delete an ended job with all its rows and objects. After this call, all other calls about the job answer 404.

    The objects are deleted in the background. 409 `conflict`: the job has not ended, and `force` is not set. A job that
    is `protected` from retention can be deleted.
    """
    with ctx.database.write() as session:
        unit = Unit(session)
        job = deletion.order_deletion(unit, job_id, caller.name, force=force)
        if job is None:
            return Response(status_code=204)
        text = f"deletion of job {job.name} requested"
        audit.record(unit, "job_delete_requested", caller, text, {"force": force}, subject=job.id)
        return tagged(views.job_view(unit, job, ctx.settings.limits, ctx.settings.beats), 202)


@router.post("/prune", dependencies=[ADMIN])
def prune(
    ctx: Ctx,
    caller: Caller,
    dry_run: Annotated[bool, Query(description="Only count")] = False,
) -> PruneView:
    """Delete what is older than BATON_RETENTION_* allows now, not only within the next hour. `protected` jobs are kept.

    For each kind, a call deletes at most 1,000 jobs, or the data of at most 1,000 jobs. The reconciler deletes the
    rest.
    """
    retention = ctx.reconciler.retention
    if dry_run:
        return retention.preview()
    with ctx.database.write() as session:
        kinds = ", ".join(retention.rules.kinds())
        audit.record(Unit(session), "prune_requested", caller, f"prune requested of: {kinds}")
    return retention.prune()
