"""Submission, control and state of one job."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from baton.domain.errors import SpecError
from baton.domain.spec import parse_spec
from baton.domain.views import JobView
from service.api.auth import READ_OR_ATTEMPT, SUBMIT, Caller
from service.api.context import Services
from service.api.dependencies import Ctx, JobId, guarded_router, installed
from service.api.problems import BODY, responses
from service.api.submission_body import SPEC_BODY, Body, requested_spec
from service.db import audit
from service.db.outage import away
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.live.status_cache import LEAST_WAIT, Status
from service.principal import Principal
from service.usecases import job_control, retry, views
from service.usecases.notifications import check_targets
from service.usecases.programs import check_start
from service.usecases.run_limits import check_budget
from service.usecases.submit import Repeatable, Submission, body_digest, submit_once

MAX_WAIT = 60.0
router = guarded_router("jobs")
ASKED: dict[str, Any] = {"status_code": 202, "response_model": JobView, "responses": responses(404, 409)}
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
HAS_ETAG = {"ETag": {"description": "Changes with each version of the job", "schema": {"type": "string"}}}


def sent(status: Status, code: int = 200) -> Response:
    """A job as an answer, with its ETag."""
    return Response(
        status.body, code, {"ETag": status.tag, "Cache-Control": "private, no-cache"}, media_type="application/json"
    )


def tagged(view: JobView, code: int = 200) -> Response:
    """The job's current state as an answer, with its ETag."""
    return sent(Status.of(view), code)


def matches(request: Request, tag: str) -> bool:
    """Whether the caller has this version already."""
    given = request.headers.get("if-none-match", "")
    theirs = [one.strip().removeprefix("W/") for one in given.split(",")]
    return given.strip() == "*" or tag.removeprefix("W/") in theirs


@router.post(
    "/jobs",
    status_code=201,
    response_model=JobView,
    dependencies=[SUBMIT],
    openapi_extra=SPEC_BODY,
    responses={200: {"model": JobView, "description": "The job of an earlier call with this key"}, **responses(*BODY)},
)
def submit_job(ctx: Ctx, caller: Caller, body: Body, key: Key = None) -> Response:
    """Submit a job. With an Idempotency-Key the call can be repeated.

    A spec with `program` also needs a token with the scope `programs`.

    `clone` takes the spec of another job. `from` also takes the state of one of its checkpoints. The new job waits
    until the checkpoint is copied; after that the other job may be deleted. If the changes do not affect the training
    before the checkpoint, training continues at the position of the checkpoint. Otherwise training starts at the first
    stage, with the weights that fit. The event `started_from` says which of these happened.
    """

    def wanted() -> Submission:
        data, request = requested_spec(body, ctx.database)
        try:
            found = parse_spec(data)
        except SpecError:  # only now read the workers' extensions, which costs a database query
            found = parse_spec(data, installed(ctx))
        check_targets(found.notify, ctx.post.names)
        check_budget(found.limits, priced=bool(ctx.settings.prices))
        return Submission(found, request.origin if request is not None else None)

    def show(unit: Unit, job: Job) -> JobView:
        return views.job_view(unit, job, ctx.settings.limits, ctx.settings.beats)

    view, new = submit_once(ctx.database, caller, Repeatable(key, body_digest(body)), wanted, show)
    answer = tagged(view, 201 if new else 200)
    if new:
        answer.headers["Location"] = f"{ctx.settings.prefix}/v1/jobs/{view.id}"
    return answer


@router.get(
    "/jobs/{job_id}",
    response_model=JobView,
    dependencies=[READ_OR_ATTEMPT],
    responses={200: {"headers": HAS_ETAG}, 304: {"description": "Not changed"}, **responses(404)},
)
async def show_job(
    ctx: Ctx,
    request: Request,
    job_id: JobId,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for a version above `version`")] = 0.0,
    version: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Get one job. With `wait`, the answer comes when the job's version is greater than `version` or its worker's
    heartbeat is late."""
    status = await run_in_threadpool(ctx.statuses.show, job_id)
    if wait and version is not None:
        status = await _changed(ctx, job_id, status, version, wait)
    if matches(request, status.tag):
        return Response(status_code=304, headers={"ETag": status.tag})
    return sent(status)


async def _changed(ctx: Services, job_id: str, status: Status, version: int, seconds: float) -> Status:
    """The job when its version is greater or its worker's heartbeat becomes late (which does not change the version),
    or after `seconds`. A database that is away for a shorter time only delays the answer."""
    end = time.monotonic() + seconds
    while status.version <= version and not ctx.watch.closing and (left := end - time.monotonic()) > 0:
        before = status
        await ctx.watch.newer(job_id, version, before.until_silent(left))
        try:
            status = await run_in_threadpool(ctx.statuses.show, job_id)
        except Exception as error:
            if not away(error) or time.monotonic() >= end or ctx.watch.closing:
                raise
            await asyncio.sleep(LEAST_WAIT)
            continue
        if status.silent and not before.silent:
            break
    return status


def _asked(ctx: Services, job_id: str, act: Any, caller: Principal, *, starts: bool = False) -> Response:
    """`starts`: whether the action lets the job run again, which for a program needs a scope of its own."""
    with ctx.database.write() as session:
        unit = Unit(session)
        locked = unit.lock_job(job_id)
        before = locked.version
        if starts:
            check_start(caller, locked)
        job: Job = act(unit, job_id, caller.name)
        if job.version != before:
            verb = act.__name__
            audit.record(unit, f"job_{verb}_requested", caller, f"{verb} of job {job.name} requested", subject=job.id)
        return tagged(views.job_view(unit, job, ctx.settings.limits, ctx.settings.beats), 202)


@router.post("/jobs/{job_id}/pause", dependencies=[SUBMIT], **ASKED)
def pause_job(ctx: Ctx, caller: Caller, job_id: JobId) -> Response:
    """Pause the job: it saves a checkpoint and stops. It can be resumed later."""
    return _asked(ctx, job_id, job_control.pause, caller)


@router.post("/jobs/{job_id}/resume", dependencies=[SUBMIT], **ASKED)
def resume_job(ctx: Ctx, caller: Caller, job_id: JobId) -> Response:
    """Resume a paused job. A program also needs a token with the scope `programs`."""
    return _asked(ctx, job_id, job_control.resume, caller, starts=True)


@router.post("/jobs/{job_id}/cancel", dependencies=[SUBMIT], **ASKED)
def cancel_job(ctx: Ctx, caller: Caller, job_id: JobId) -> Response:
    """Cancel the job. It cannot be resumed, only retried."""
    return _asked(ctx, job_id, job_control.cancel, caller)


@router.post("/jobs/{job_id}/retry", dependencies=[SUBMIT], **ASKED)
def retry_job(ctx: Ctx, caller: Caller, job_id: JobId) -> Response:
    """Retry a failed or cancelled job: it is queued again and continues from its last good checkpoint.

    It is the same job with a new attempt. The budgets of `retry` and `limits.max_runtime` start again, and the
    totals continue. 409: the job has not ended, it succeeded, or its pushed data was deleted. A program also needs a
    token with the scope `programs`.
    """
    return _asked(ctx, job_id, retry.retry, caller, starts=True)
